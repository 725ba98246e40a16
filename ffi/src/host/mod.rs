//! A small safe way to drive llama.cpp, for the tool and the tests.
//!
//! [`Llama`] is one set of libraries opened at run time, [`Model`] a loaded file, [`Context`] a place to evaluate tokens
//! in; [`Capture`] is one that gives residual streams. Each keeps the one before alive. [`Plugin`] is evenkeel itself behind its C functions, loaded as any host loads it.
//!
//! # Safety
//! Callers need no unsafe code: the layout of the structs that llama.cpp takes by value is checked before the first use
//! ([`Llama::open`] refuses a library with another layout), and what would make llama.cpp abort (a batch over its limit,
//! a sequence or token out of range) is an error here.
//!
//! # Thread-safety
//! A [`Context`] belongs to one thread at a time. Loading models and making contexts may happen on any thread.

mod callback;
mod capture;
mod context;
mod embed;
mod error;
mod log;
mod model;
mod open;
mod params;
mod plugin;

pub use callback::CallbackCapture;
pub use capture::Capture;
pub use context::{Context, ContextOptions, FlashAttention, Outputs, Row};
pub use embed::{Embedded, names as embedded_names};
pub use error::HostError;
pub use log::LogLevel;
pub use model::{Model, ModelOptions, Token};
pub use open::Llama;
pub use plugin::{Plugin, PluginError};

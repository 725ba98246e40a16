//! llama.cpp's and ggml's symbols and structs, resolved at run time from the libraries that a process already holds.
//!
//! Nothing here links or loads a ggml of its own: [`object`] finds the loaded objects, [`table`] and [`generated`]
//! resolve functions out of one of them, [`library`] is what the plug-in works with, [`selftest`] proves that the
//! structs are laid out as the bindings say, [`api`] takes
//! the functions of a program that has no symbols, [`reloc`] redirects the calls of an object, and [`host`] is a small safe
//! way to drive llama.cpp for the tool and the tests.
//!
//! # Safety
//! This crate is one of three places that may be unsafe. Each block says which fact it relies on and where that fact
//! was established.

pub mod api;
pub mod generated;
pub mod host;
pub mod library;
pub mod object;
pub mod params;
pub mod reloc;
pub mod selftest;
pub mod supported;
pub mod table;

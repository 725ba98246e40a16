//! The hooks: how the host's calls reach us, and how a patch becomes nodes of its graph.
//!
//! A hook is a function of the host's that we stand in front of. [`entry`] holds the assembly that every hooked call
//! passes through: it calls [`dispatch`], which does our work and finds the host's own function, and then jumps there
//! with all registers and the stack as they were. Calls reach the entries by symbol order (`LD_PRELOAD`) or because
//! [`install`] pointed the host's own call slots at them. In a program that contains llama.cpp neither is possible:
//! there, [`attach`] is the way to the graphs.

pub mod attach;
mod attention;
mod capacity;
mod capture;
mod commit;
mod computed;
mod constant;
mod context;
mod contrast;
mod counted;
mod decode;
mod dispatch;
mod edit;
mod entry;
mod fallback;
mod gate;
mod graph;
mod index;
mod install;
mod known;
mod library;
mod measure;
mod memory;
mod observe;
mod owned;
mod real;
mod request;
mod rows;
mod sampler;
mod saved;
mod slots;
mod split;
mod view;
mod vocab;

pub use attention::{AttentionGraph, Kept};
pub use capture::{Capture, CapturedRow, Captures};
pub use commit::RewrittenGraph;
pub use constant::Constants;
pub use contrast::Beside;
pub use decode::repair_all;
pub use install::install;
pub use library::{Host, given, take};
pub use split::split_of;
pub use vocab::{Pieces, Vocab};

//! The hosts: programs on stock llama.cpp libraries that nobody changed for evenkeel.

pub mod libraries;

mod c;
mod native;
mod node;
mod rust;
mod server;
mod unknown;

pub use c::{CHost, Decode, Native};
pub use native::native_vector;
pub use node::Node;
pub use rust::RustHost;
pub use server::{Arguments, Server, ServerKind};
pub use unknown::compile_unknown;

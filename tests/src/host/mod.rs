//! The hosts: programs on stock llama.cpp libraries that nobody changed for evenkeel.

pub mod libraries;

mod browser;
mod c;
mod embedded;
mod native;
mod node;
mod python;
mod rpc;
mod rust;
mod server;
mod unknown;

pub use browser::look;
pub use c::{CHost, Decode, Native};
pub use embedded::EmbeddedHost;
pub use native::native_vector;
pub use node::Node;
pub use python::Python;
pub use rpc::RpcServers;
pub use rust::RustHost;
pub use server::{Arguments, Server, ServerKind};
pub use unknown::compile_unknown;

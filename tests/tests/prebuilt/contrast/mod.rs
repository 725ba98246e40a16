//! `[contrast]` on stock hosts.

mod program;
mod server;

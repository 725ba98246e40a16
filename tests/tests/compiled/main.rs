//! On hosts that are compiled first: `make hosts`, then `make test-hosts`.

mod embedded;
mod generations;
mod invariance;
mod libraries;
mod operations;
mod packages;
mod python;
mod requests;
mod rpc;
mod rust;
mod server;

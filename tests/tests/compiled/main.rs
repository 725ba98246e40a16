//! On hosts that are compiled first: `make hosts`, then `make test-hosts`.

mod embedded;
mod generations;
mod invariance;
mod kept;
mod libraries;
mod packages;
mod python;
mod requests;
mod rpc;
mod rust;
mod server;
mod table;

//! On hosts that are compiled first: `make hosts`, then `make test-hosts`.

mod generations;
mod invariance;
mod libraries;
mod requests;
mod rust;
mod server;

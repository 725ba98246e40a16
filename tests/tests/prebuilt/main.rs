//! On hosts that package managers bring ready-made: `make fetch`, then `make test`.

mod bystander;
mod doors;
mod identity;
mod native;
mod operators;
mod server;
mod trouble;

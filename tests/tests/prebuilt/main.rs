//! On hosts that package managers bring ready-made: `make fetch`, then `make test`.

mod doors;
mod identity;
mod native;
mod server;

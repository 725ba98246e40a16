//! On hosts that package managers bring ready-made: `make fetch`, then `make test`.

mod bystander;
mod conditions;
mod doors;
mod factored;
mod float64;
mod generations;
mod identity;
mod invariance;
mod mixture;
mod native;
mod operators;
mod readme;
mod requests;
mod rotation;
mod safetensors;
mod sandbox;
mod server;
mod trouble;

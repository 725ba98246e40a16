//! On hosts that package managers bring ready-made: `make fetch`, then `make test`.

mod bystander;
mod conditions;
mod doors;
mod edits;
mod embed;
mod extremes;
mod factored;
mod float64;
mod formats;
mod generations;
mod gguf;
mod heads;
mod identity;
mod leace;
mod mixture;
mod native;
mod operators;
mod readme;
mod requests;
mod rotation;
mod safetensors;
mod sandbox;
mod server;
mod sites;
mod top;
mod trouble;

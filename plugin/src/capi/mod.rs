//! The exported C functions: `include/evenkeel.h` is their contract.

mod capture;
mod counters;
mod door;
mod embed;
mod error;
mod profile;
mod segments;
mod stats;
mod status;
mod strength;
mod version;

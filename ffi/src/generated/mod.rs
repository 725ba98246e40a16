//! Written by `ffi/generate` from llama.cpp's public headers; `make bindings` rewrites it.
#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

pub mod symbols;
pub mod types;

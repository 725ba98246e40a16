//! What the tests of this crate share: small writers of vector files, the files of the golden cases, and folders that
//! clean up after themselves.
#![allow(dead_code, missing_docs, reason = "every test file uses a part of it")]

pub mod cases;
pub mod folder;
pub mod gguf;
pub mod npy;
pub mod safetensors;
pub mod vectors;

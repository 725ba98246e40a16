//! A strict reader of GGUF metadata and tensor tables over bytes in memory.
//!
//! Our own, and small, because the published readers do not fit hostile input: `ggus` 0.5 reserves room for as many
//! keys and tensors as the header claims and unwraps a size computed from the file; `gguf-rs` 0.1 allocates a string's
//! claimed length before it reads it; `gguf-rs-lib` 0.3 reads through streams and copies every value. Here nothing is
//! allocated for a claim: names and values borrow from the bytes, and a count only bounds a loop that ends where the
//! bytes end.

mod cursor;
mod error;
mod metadata;
mod tensor;

pub(crate) use cursor::Cursor;
pub use error::GgufError;
pub(crate) use metadata::{Header, Metadata, Value};
pub(crate) use tensor::{TYPE_F32, tensors, type_name};

/// The first bytes of every GGUF file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

//! Models that need no download: GGUF files with random weights, for tests and benchmarks.
//!
//! - [`tiny`] writes a model of about a megabyte for each architecture in [`Arch`]; llama.cpp loads it and generates
//!   (nonsense) with it.
//! - [`Vision`] writes a tiny vision encoder for one, of the kind that `--mmproj` names.
//! - [`random_llama`] streams a llama of any [`Shape`] to disk, for instance [`Shape::BILLION`], so that speed can be
//!   measured on weights of real shape.
//! - [`control_vector`] writes directions in the format that llama.cpp's `--control-vector` reads.
//!
//! Equal arguments give equal bytes on every machine: no clock, no hash order, no math library.
#![forbid(unsafe_code)]

mod arch;
mod direction;
mod file_type;
mod gguf;
mod large;
mod random;
mod tiny;
mod vision;
mod vocabulary;

pub use arch::{Arch, Positions};
pub use direction::{ControlVector, control_vector};
pub use file_type::FileType;
pub use gguf::{Tensor, Value, Writer};
pub use large::{Shape, random_llama};
pub use random::Random;
pub use tiny::{TINY_CONTEXT, TINY_EMBD, TINY_LAYERS, TINY_VOCAB, Tiny, tiny, tiny_as};
pub use vision::Vision;

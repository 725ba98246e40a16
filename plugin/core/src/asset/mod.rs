//! Vector files, read as hostile input.
//!
//! A file is read into memory and never mapped; only regular files below the profile's folder or an asset-dir are
//! opened; every size that a file claims is checked against the file before anything is allocated; every value is
//! finite and every norm bounded when this module hands it over. What depends on a model is checked by
//! [`crate::plan`].

mod assets;
mod bound;
mod calibration;
mod debias;
mod direction;
mod edit;
mod error;
mod factors;
mod file;
pub(crate) mod gguf;
mod gguf_vector;
mod half;
mod npy;
mod place;
mod probe;
mod raw;
mod safetensors_vector;
mod vectors;

pub use assets::{Assets, State};
pub use bound::*;
pub use calibration::{CALIBRATION_TENSORS, CalibrationFile, Fitted, parse_calibration};
pub use direction::Direction;
pub use edit::{EditFile, EditPlace, Edits, LowRank, Weight, parse_edits};
pub use error::AssetError;
pub use factors::{ERASER, FEATURE, Factors, Layout, parse_factors};
pub use gguf::GgufError;
pub use place::Places;
pub use probe::{ProbeFile, parse_probe};
pub use raw::Raw;
pub use vectors::{Format, Vectors, parse, parse_with};

pub(crate) use direction::hex;
pub(crate) use file::{open_regular, read_regular};
pub(crate) use vectors::{norm, shown};

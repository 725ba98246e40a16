//! Reads ELF files without running them: what they define, import and need.

mod image;
mod scan;

pub use image::{Image, ImageError, Import};
pub use scan::Scan;

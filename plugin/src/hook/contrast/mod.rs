//! A contrast: sequences without their marked contexts, evaluated in a second context of the model before a micro-batch whose
//! rows are set off against them.
//!
//! The second context is made at the first row that needs one, like the host's own, and freed with it. It runs inside of the
//! host's call to decode, between two micro-batches: the host's context is left alone meanwhile, and whatever way it decodes
//! is fine.

mod evaluate;
mod inputs;
mod second;

pub use evaluate::{before_ubatch, feed};
pub use inputs::Inputs;
pub use second::{admit, free, is_made, leave};

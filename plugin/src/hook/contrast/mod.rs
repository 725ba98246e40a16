//! A contrast: sequences without their marked contexts, evaluated in a second context of the model before a micro-batch whose
//! rows are set off against them.
//!
//! The second context is made at the first row that needs one, like the host's own, and freed with it. It runs inside of the
//! host's call to decode, between two micro-batches: the host's context is left alone meanwhile, and whatever way it decodes
//! is fine.
//!
//! While few rows are evaluated, as in generation, time goes into reading weights. Then only the second context's graph is
//! made ([`keep`], [`beside`]) and evaluated with the host's own as one graph ([`joined`]), which reads every weight once.

mod adapters;
mod beside;
mod cells;
mod evaluate;
mod inputs;
mod joined;
mod keep;
mod second;

pub use adapters::{before_cvec, before_lora};
pub use beside::Beside;
pub use cells::Cells;
pub use evaluate::{before_ubatch, feed};
pub use inputs::Inputs;
pub use joined::{JoinError, Joined};
pub use keep::{before_alloc, before_compute, may_reuse};
pub use second::{admit, free, is_made, leave};

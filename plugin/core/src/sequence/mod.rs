//! What is known of one sequence of a host: its cells, what they were computed under, and where its text leads.
//!
//! Pure bookkeeping: no pointer, no lock, no host. The plug-in tells it what the host does (rows fed, cells removed,
//! moved, copied, saved, restored) and asks what is still true.

mod cells;
mod phase;
mod router;
mod saved;

pub use cells::{Cell, Cells, EMBEDDED_TOKEN, Identity, MAX_POSITION, PlanId, UNKNOWN_TOKEN, is_token};
pub use phase::{Phase, Phases};
pub use router::{Router, Routes};
pub use saved::{Saved, TRAILER_END};

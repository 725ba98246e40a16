//! A validated profile: what happens at which site of which layer of this model.

mod bound;
mod build;
mod calibrate;
mod curve;
mod display;
mod edit;
mod error;
mod factored;
mod fit;
mod hash;
mod heads;
mod hint;
mod hold;
mod merge;
mod place;
mod rotation;
mod subspace;
mod sum;
mod taps;
mod types;

pub use calibrate::{Calibration, Correction, Label, model_name};
pub use curve::{Bend, TILT_LEVELS, TILT_STEPS, Tilt};
pub use error::{PlanError, PlanErrors};
pub use hash::PlanHash;
pub use hold::{FIRST_SLOT, HELD_SLOTS, HeldState, Hold, SLOT_LOST, SLOT_ONE, SLOT_ZERO};
pub use merge::{GateSource, Merged};
pub use types::{Dose, GateIndex, Map, Plan, Probe, ProbeIndex, Rule, RuleIndex, Site, SitePlan, Term, Update, When};

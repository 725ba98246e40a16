//! A validated profile: what happens at which site of which layer of this model.

mod types;

pub use types::{GateIndex, Plan, Rule, RuleIndex, Site, SitePlan, Term};

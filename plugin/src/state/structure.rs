//! What every graph of a context has in it at one time: decided before a graph is built, the same for all of them.

use std::sync::Arc;

use evenkeel_core::{
    model::ModelFacts,
    plan::{Merged, Plan, RuleIndex},
};

use super::Instance;

/// The plans that stand in the graphs, and how.
pub struct Structure {
    /// Counts up: graphs of an earlier one are not evaluated again.
    pub version: u64,
    /// The plans, none of them empty.
    pub plans: Vec<Arc<Instance>>,
    /// Their terms, and where the gates come from; `None` if there is nothing to do.
    pub merged: Option<Merged>,
    /// Whether every row has the one plan, so that nothing needs a gate.
    pub alone: bool,
    /// Whether rows can be refused.
    pub refusal: bool,
}

impl Default for Structure {
    fn default() -> Self {
        Self::empty()
    }
}

impl Structure {
    /// The first structure: nothing.
    pub fn empty() -> Structure {
        Structure { version: 0, plans: vec![], merged: None, alone: false, refusal: false }
    }

    /// A structure of these plans, or of what they do before the logits. `refusal`: what is added to the logits of rows that
    /// may only end.
    pub fn new(
        (version, before_logits): (u64, bool),
        model: &ModelFacts,
        plans: Vec<Arc<Instance>>,
        alone: bool,
        refusal: Option<&Arc<[f32]>>,
    ) -> Structure {
        let cut: Vec<Plan> =
            if before_logits { plans.iter().map(|i| i.plan.before_logits()).collect() } else { Vec::new() };
        let refers: Vec<&Plan> =
            if before_logits { cut.iter().collect() } else { plans.iter().map(|i| &i.plan).collect() };
        let merged = match (&refers[..], refusal) {
            ([], None) => None,
            ([one], None) if alone => Some(Merged::alone(one)),
            (_, None) => Some(Merged::gated(model, &refers)),
            (_, Some(vector)) => Some(Merged::gated(model, &refers).with_refusal(vector.clone())),
        };
        Structure { version, plans, merged, alone, refusal: refusal.is_some() }
    }

    /// The place of a plan in it.
    pub fn position(&self, instance: &Arc<Instance>) -> Option<usize> {
        self.plans.iter().position(|i| Arc::ptr_eq(i, instance))
    }

    /// The instance and rule that a rule of the merged plan belongs to.
    pub fn origin(&self, rule: RuleIndex) -> Option<(&Arc<Instance>, usize)> {
        let (plan, rule) = self.merged.as_ref()?.origin(rule);
        Some((self.plans.get(plan)?, usize::from(rule.0)))
    }
}

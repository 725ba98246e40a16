//! The constant adds of one place, summed as llama.cpp sums control vectors.

use super::bound::is_bounded;
use super::types::RuleIndex;

/// A running sum.
pub(super) struct Sum {
    pub(super) rules: Vec<RuleIndex>,
    values: Vec<f32>,
}

impl Sum {
    pub(super) fn new(width: usize) -> Self {
        Self { rules: vec![], values: vec![0.0; width] }
    }

    /// Adds `strength · direction` in F32, product and sum rounded each, in the order of the calls. llama.cpp does the
    /// same per file and then over files, from a zero; so one rule per file gives its bits exactly.
    ///
    /// # Errors
    /// The index of the first value that is too large.
    pub(super) fn add(&mut self, rule: RuleIndex, direction: &[f32], strength: f32) -> Result<(), usize> {
        if self.rules.last() != Some(&rule) {
            self.rules.push(rule);
        }
        for (sum, value) in self.values.iter_mut().zip(direction) {
            *sum += value * strength;
        }
        self.values.iter().position(|v| !is_bounded(*v)).map_or(Ok(()), Err)
    }

    /// The sum, or `None` if every value is zero.
    pub(super) fn finish(self) -> Option<(Vec<RuleIndex>, Vec<f32>)> {
        self.values.iter().any(|v| *v != 0.0).then_some((self.rules, self.values))
    }
}

//! How far an adjustable rule's strength may go.

use super::types::{Plan, RuleIndex, Term};

/// The largest value that a rule may add to an activation, as a magnitude. Beyond, squares of activations would not be finite
/// any more in the norms that follow, and what is no number then spreads to every sequence through the values of a shared
/// cache, whose weight for others is 0.
pub(super) const MAX_ADDED: f32 = 1e15;

/// Whether a value may be added.
pub(super) fn is_bounded(value: f32) -> bool {
    value.abs() <= MAX_ADDED
}

/// The largest dose of a rule that reads what it changes: what it reads is not known beforehand.
const MAX_DOSE: f32 = 1e3;

impl Plan {
    /// The largest strength, as a magnitude, at which everything that an adjustable rule adds is bounded. Stronger ones put
    /// infinities into the residual stream.
    pub fn max_strength(&self, rule: RuleIndex) -> f32 {
        let mut largest = 0.0f32;
        for term in self.sites.iter().flat_map(|site| &site.terms) {
            match term {
                Term::AddGated { rules, vector, .. } if rules.contains(&rule) => {
                    largest = vector.iter().fold(largest, |max, v| max.max(v.abs()));
                }
                Term::Update { rules, .. } | Term::ScaleHeads { rules, .. } | Term::Edit { rules, .. }
                    if rules.contains(&rule) =>
                {
                    return MAX_DOSE;
                }
                _ => {}
            }
        }
        max_factor(largest)
    }
}

/// The largest factor with which a magnitude stays bounded.
pub(super) fn max_factor(magnitude: f32) -> f32 {
    if magnitude <= 1.0 {
        return MAX_ADDED;
    }
    let factor = MAX_ADDED / magnitude;
    // The quotient may have been rounded up.
    if is_bounded(factor * magnitude) { factor } else { factor.next_down() }
}

#[cfg(test)]
mod tests {
    use super::{is_bounded, max_factor};

    #[test]
    fn the_bound_is_finite_and_the_next_step_is_not_much_further() {
        for magnitude in [0.0, 1e-30, 1.0, 1.5, 3.0, 7.7, 1e5, 1e6] {
            let factor = max_factor(magnitude);
            assert!(is_bounded(factor * magnitude), "{magnitude}");
            assert!(magnitude <= 1.0 || !is_bounded(factor * 1.000_001 * magnitude), "{magnitude}");
        }
    }
}

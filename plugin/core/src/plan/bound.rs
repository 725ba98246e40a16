//! How far an adjustable rule's strength may go.

use super::types::{Plan, RuleIndex, Term};

/// The largest dose of a rule that reads what it changes: what it reads is not known beforehand.
const MAX_DOSE: f32 = 1e3;

impl Plan {
    /// The largest strength, as a magnitude, at which everything that an adjustable rule adds is finite; the largest
    /// F32 for a rule that adds nothing. Stronger ones put infinities into the residual stream.
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

/// The largest factor with which a magnitude stays finite.
pub(super) fn max_factor(magnitude: f32) -> f32 {
    if magnitude <= 1.0 {
        return f32::MAX;
    }
    let factor = f32::MAX / magnitude;
    // The quotient may have been rounded up.
    if (factor * magnitude).is_finite() { factor } else { factor.next_down() }
}

#[cfg(test)]
mod tests {
    use super::max_factor;

    #[test]
    fn the_bound_is_finite_and_the_next_step_is_not_much_further() {
        for magnitude in [0.0, 1e-30, 1.0, 1.5, 3.0, 7.7, 1e5, 1e6] {
            let factor = max_factor(magnitude);
            assert!((factor * magnitude).is_finite(), "{magnitude}");
            assert!(magnitude <= 1.0 || !(factor * 1.000_001 * magnitude).is_finite(), "{magnitude}");
        }
    }
}

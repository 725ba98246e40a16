//! Consecutive whole projections are one subspace.
//!
//! One after the other is not the same: with a cosine of 0.9 between two directions, the second brings back some of what
//! the first took out, and both read from one `x` turn a component of 2.05 into −1.10. Taken out together, nothing of
//! either is left.

use std::sync::Arc;

use super::types::{Dose, Map, RuleIndex, Term, Update};

/// A direction that has less than this left outside the others adds rounding errors, not a dimension.
pub(super) const DEPENDENT: f64 = 1e-4;

/// An orthonormal basis, in F64.
pub(super) struct Subspace {
    rules: Vec<RuleIndex>,
    basis: Vec<Vec<f64>>,
}

impl Subspace {
    /// The line along `v`, which has length 1.
    pub(super) fn new(rule: RuleIndex, v: Vec<f64>) -> Self {
        Self { rules: vec![rule], basis: vec![v] }
    }

    /// Adds a direction of length 1 (Gram and Schmidt, twice, which is enough in F64).
    pub(super) fn add(&mut self, rule: RuleIndex, mut v: Vec<f64>) {
        self.rules.push(rule);
        for b in self.basis.iter().chain(&self.basis) {
            let along = dot(b, &v);
            v.iter_mut().zip(b).for_each(|(v, b)| *v -= along * b);
        }
        let left = dot(&v, &v).sqrt();
        if left > DEPENDENT {
            v.iter_mut().for_each(|v| *v /= left);
            self.basis.push(v);
        }
    }

    /// `x −= Σ (b · x) b`
    pub(super) fn term(self) -> Term {
        let n = self.basis.len();
        let basis: Vec<Arc<[f32]>> =
            self.basis.into_iter().map(|b| b.into_iter().map(|x| x as f32).collect()).collect();
        let matrix = (0..n * n).map(|i| if i / n == i % n { -1.0 } else { 0.0 }).collect();
        let map = Map::Linear { matrix, offset: vec![0.0; n] };
        Term::Update {
            rules: self.rules,
            dose: Dose::default(),
            update: Update { reads: basis.clone(), writes: basis, map },
        }
    }
}

/// A direction at length 1, in F64; `None` if it is zero.
pub(super) fn unit(direction: &[f32]) -> Option<Vec<f64>> {
    let v: Vec<f64> = direction.iter().map(|x| f64::from(*x)).collect();
    let norm = dot(&v, &v).sqrt();
    (norm > 0.0).then(|| v.into_iter().map(|x| x / norm).collect())
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(term: &Term, x: &[f64]) -> Vec<f64> {
        let Term::Update { update, .. } = term else { panic!() };
        let mut y = x.to_vec();
        for b in &update.reads {
            let along: f64 = b.iter().zip(x).map(|(b, x)| f64::from(*b) * x).sum();
            y.iter_mut().zip(b.iter()).for_each(|(y, b)| *y -= along * f64::from(*b));
        }
        y
    }

    #[test]
    fn two_directions_with_a_cosine_of_nine_tenths_leave_nothing_of_either() {
        let (a, b) = (vec![1.0, 0.0, 0.0], vec![0.9, (1.0f64 - 0.81).sqrt(), 0.0]);
        let mut both = Subspace::new(RuleIndex(0), a.clone());
        both.add(RuleIndex(1), b.clone());
        let y = apply(&both.term(), &[2.05, 0.3, 0.7]);
        assert!(dot(&a, &y).abs() < 1e-6 && dot(&b, &y).abs() < 1e-6 && (y[2] - 0.7).abs() < 1e-6, "{y:?}");
    }

    #[test]
    fn a_direction_twice_is_once() {
        let v = unit(&[3.0, 4.0]).unwrap();
        let mut twice = Subspace::new(RuleIndex(0), v.clone());
        twice.add(RuleIndex(1), v.iter().map(|x| -x).collect());
        let Term::Update { rules, update, .. } = twice.term() else { panic!() };
        assert_eq!((rules.len(), update.reads.len()), (2, 1));
    }

    #[test]
    fn zeros_have_no_direction() {
        assert_eq!(unit(&[0.0, -0.0]), None);
    }
}

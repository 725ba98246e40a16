//! How good labels are: accuracy, calibration error, Brier score, ratings; with intervals over clusters.

use serde::{Deserialize, Serialize};

use super::{examples::Asked, fit};
use crate::estimate::{Clusters, Interval};

/// Bins of confidence.
pub const BINS: usize = 10;

/// One figure, before and after, and the difference of both on the same draws.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// Without the calibration.
    pub before: Interval,
    /// With it.
    pub after: Interval,
    /// After less before.
    pub change: Interval,
}

/// A bin of confidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Examples in it.
    pub n: f64,
    /// Their mean confidence.
    pub confidence: f64,
    /// How many of them were right, as a share.
    pub accuracy: f64,
}

/// A figure of examples, each with a weight.
type Measure<'a> = Box<dyn Fn(&[Asked], &[f64]) -> f64 + 'a>;

/// All figures of answered examples.
pub fn figures(before: &[Asked], after: &[Asked], labels: &[String], scores: Option<&[f64]>) -> Vec<Figure> {
    let mut list: Vec<(String, Measure)> = vec![
        ("accuracy".into(), Box::new(|asked, w| mean(asked, w, |a| truth(Some(top(&a.shares)) == a.answer)))),
        ("expected calibration error".into(), Box::new(error_of_bins)),
        ("Brier score".into(), Box::new(|asked, w| mean(asked, w, brier))),
    ];
    for (l, label) in labels.iter().enumerate() {
        list.push((
            format!("says {label:?}"),
            Box::new(move |asked, w| mean(asked, w, |a| truth(top(&a.shares) == l))),
        ));
        let share = move |asked: &[Asked], w: &[f64]| mean(asked, w, |a| a.shares[l]);
        list.push((format!("mean share of {label:?}"), Box::new(share)));
    }
    if let Some(scores) = scores {
        let said = |a: &Asked| fit::mean(&a.shares, scores);
        let slope = move |asked: &[Asked], w: &[f64]| {
            let pairs = asked.iter().zip(w).filter_map(|(a, w)| Some((scores[a.answer?], said(a), *w)));
            fit::line(pairs).map_or(f64::NAN, |(_, slope)| slope)
        };
        list.push(("slope of the mean rating".into(), Box::new(slope)));
        let miss = move |a: &Asked| a.answer.map_or(f64::NAN, |y| (scores[y] - said(a)).abs());
        list.push(("error of the mean rating".into(), Box::new(move |asked, w| mean(asked, w, miss))));
    }
    let clusters = Clusters::new(before.iter().map(|a| &a.cluster));
    let figure = |(name, measure): (String, Measure)| Figure {
        name,
        before: clusters.interval(|w| measure(before, w)),
        after: clusters.interval(|w| measure(after, w)),
        change: clusters.interval(|w| measure(after, w) - measure(before, w)),
    };
    list.into_iter().map(figure).collect()
}

/// How often each label is right.
pub fn right(asked: &[Asked], n: usize) -> Vec<f64> {
    (0..n).map(|l| mean(asked, &vec![1.0; asked.len()], |a| truth(a.answer == Some(l)))).collect()
}

/// The bins of the most probable label's share.
pub fn bins(asked: &[Asked], weights: &[f64]) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for (a, w) in asked.iter().zip(weights) {
        let best = top(&a.shares);
        let bin = &mut bins[((a.shares[best] * BINS as f64) as usize).min(BINS - 1)];
        bin.n += w;
        bin.confidence += w * a.shares[best];
        bin.accuracy += w * truth(Some(best) == a.answer);
    }
    for bin in bins.iter_mut().filter(|b| b.n > 0.0) {
        bin.confidence /= bin.n;
        bin.accuracy /= bin.n;
    }
    bins
}

/// Expected calibration error, in bins of one width (Guo et al. 2017, equation 3).
fn error_of_bins(asked: &[Asked], weights: &[f64]) -> f64 {
    let bins = bins(asked, weights);
    let all: f64 = bins.iter().map(|b| b.n).sum();
    bins.iter().map(|b| b.n * (b.confidence - b.accuracy).abs()).sum::<f64>() / all
}

/// The label with the largest share; of equal ones the first.
pub fn top(shares: &[f64]) -> usize {
    (0..shares.len()).rev().max_by(|a, b| shares[*a].total_cmp(&shares[*b])).unwrap_or(0)
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn mean(asked: &[Asked], weights: &[f64], of: impl Fn(&Asked) -> f64) -> f64 {
    asked.iter().zip(weights).map(|(a, w)| w * of(a)).sum::<f64>() / weights.iter().sum::<f64>()
}

/// The sum over the labels (Brier 1950): from 0 to 2.
fn brier(a: &Asked) -> f64 {
    a.shares.iter().enumerate().map(|(l, q)| (q - truth(a.answer == Some(l))).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answer: usize, first: f64) -> Asked {
        Asked {
            answer: Some(answer),
            cluster: format!("{answer} {first}"),
            shares: vec![first, 1.0 - first],
            mass: 1.0,
        }
    }

    #[test]
    fn figures_are_what_a_hand_computes() {
        let before = [asked(0, 0.85), asked(1, 0.85), asked(1, 0.35), asked(0, 0.65)];
        let after = [asked(0, 0.95), asked(1, 0.05), asked(1, 0.05), asked(0, 0.95)];
        let labels = ["yes".to_owned(), "no".to_owned()];
        let found = figures(&before, &after, &labels, None);
        let value = |name: &str| {
            let f = found.iter().find(|f| f.name == name).expect(name);
            [f.before.value, f.after.value, f.change.value]
        };
        let near = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(value("accuracy"), [0.75, 1.0, 0.25]));
        // Half of the examples in the bin at 0.85 are right, all of those at 0.65.
        assert!(near(value("expected calibration error"), [0.35, 0.05, -0.3]));
        let brier = 2.0 * (0.15f64.powi(2) + 0.85f64.powi(2) + 2.0 * 0.35f64.powi(2)) / 4.0;
        assert!(near(value("Brier score"), [brier, 0.005, 0.005 - brier]));
        assert!(near(value("says \"yes\""), [0.75, 0.5, -0.25]));
        assert!(near(value("mean share of \"no\""), [0.325, 0.5, 0.175]));
        assert_eq!(right(&before, 2), [0.5, 0.5]);
    }

    #[test]
    fn of_equal_labels_the_first_is_said() {
        assert_eq!((top(&[0.4, 0.4, 0.2]), top(&[0.2, 0.4, 0.4])), (0, 1));
    }
}

//! A label prior that is estimated from a stream of requests whose answers nobody knows.
//!
//! The estimate is that of ADTE (Wu et al. 2026, arXiv 2602.11743), with requests for its images: each request counts for the
//! label that it is given now, the mean shares of the last requests of each label are the rows of a matrix, and the prior is
//! the distribution that this matrix leaves as it is. A stream with many answers of one kind moves it less than a mean over
//! all requests (Batch Calibration). Not transferred is ADTE's entropy with an exponent per label, which chooses among
//! augmented views of an image: a request has none.

mod file;

pub use file::{StateError, replace};

use crate::profile::Learning;

/// Requests of one label that its mean goes back to.
const BANK: u32 = 20;
/// Even shares that a label's mean has besides: requests that nobody made.
const EVEN: f64 = 4.0;
/// Steps towards the distribution that the matrix leaves as it is.
const STEPS: usize = 200;

/// The prior of one rule, and what it is estimated from.
#[derive(Debug, Clone, PartialEq)]
pub struct Prior {
    /// Requests so far.
    seen: u64,
    /// By label: how many requests its mean is of, at most [`BANK`].
    counts: Vec<u32>,
    /// By label, the mean shares of all labels in its requests.
    means: Vec<Vec<f64>>,
    /// What the labels' shares are divided by: sums to 1.
    shares: Vec<f64>,
}

impl Prior {
    /// An even one, of `n` labels.
    pub fn even(n: usize) -> Self {
        let even = vec![1.0 / n as f64; n];
        Self { seen: 0, counts: vec![0; n], means: vec![even.clone(); n], shares: even }
    }

    /// One that was measured on `n` prompts; `None` if these are no shares, or one of them is 0.
    pub fn fixed_at(shares: &[f64], n: usize) -> Option<Self> {
        let sum: f64 = shares.iter().sum();
        let fine = (sum - 1.0).abs() < 1e-3 && shares.iter().all(|s| *s >= 1e-6);
        let shares: Vec<f64> = shares.iter().map(|s| s / sum).collect();
        fine.then(|| Self { seen: n as u64, shares, ..Self::even(0) })
    }

    /// Requests so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// One share per label, each above 0; together 1.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// A request has these shares of the labels, before any calibration. What is no distribution is passed over. No share of
    /// the prior moves by more than `learning.weight`, and none comes below `learning.min_prior`, unless it was there.
    pub fn observe(&mut self, shares: &[f32], learning: &Learning) -> bool {
        let sum: f64 = shares.iter().map(|s| f64::from(*s)).sum();
        let valid = shares.len() == self.shares.len() && shares.iter().all(|s| s.is_finite() && *s >= 0.0);
        if !valid || (sum - 1.0).abs() > 1e-3 {
            return false;
        }
        let q: Vec<f64> = shares.iter().map(|s| f64::from(*s) / sum).collect();
        let given = |i: &usize| q[*i] / self.shares[*i];
        let label = (0..q.len()).max_by(|a, b| given(a).total_cmp(&given(b))).unwrap_or(0);
        self.counts[label] = (self.counts[label] + 1).min(BANK);
        let rate = 1.0 / f64::from(self.counts[label]);
        self.means[label].iter_mut().zip(&q).for_each(|(mean, q)| *mean += rate * (q - *mean));
        self.seen += 1;
        let target = at_least(self.fixed(), f64::from(learning.min_prior));
        let gaps = target.iter().zip(&self.shares).map(|(to, from)| (to - from).abs());
        let step = (f64::from(learning.weight) / gaps.fold(1e-12, f64::max)).min(1.0);
        self.shares.iter_mut().zip(&target).for_each(|(share, to)| *share += step * (to - *share));
        true
    }

    /// The distribution that the matrix of means leaves as it is.
    fn fixed(&self) -> Vec<f64> {
        let n = self.shares.len();
        let row = |(count, mean): (&u32, &Vec<f64>)| -> Vec<f64> {
            let count = f64::from(*count);
            mean.iter().map(|m| (count * m + EVEN / n as f64) / (count + EVEN)).collect()
        };
        let matrix: Vec<Vec<f64>> = self.counts.iter().zip(&self.means).map(row).collect();
        let mut found = self.shares.clone();
        for _ in 0..STEPS {
            found = (0..n).map(|to| found.iter().zip(&matrix).map(|(p, row)| p * row[to]).sum()).collect();
        }
        found
    }
}

/// The distribution with no share below `least`: what the others have beyond it pays for it.
fn at_least(mut shares: Vec<f64>, least: f64) -> Vec<f64> {
    for _ in 0..shares.len() {
        let low = shares.iter().filter(|s| **s <= least).count();
        let above: f64 = shares.iter().filter(|s| **s > least).sum();
        let left = 1.0 - least * low as f64;
        shares.iter_mut().for_each(|s| *s = if *s <= least { least } else { *s * left / above });
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learning() -> Learning {
        Learning::of(2)
    }

    #[test]
    fn one_request_moves_a_share_by_no_more_than_its_weight() {
        let mut prior = Prior::even(3);
        let learning = Learning { weight: 0.02, min_prior: 0.1, ..Learning::of(3) };
        for i in 0..300 {
            let before = prior.shares.clone();
            let request = if i < 150 { [1.0, 0.0, 0.0] } else { [0.0, 0.5, 0.5] };
            assert!(prior.observe(&request, &learning));
            let moved = before.iter().zip(&prior.shares).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(moved <= 0.02 + 1e-9, "{moved}");
            assert!(prior.shares.iter().all(|s| *s >= 0.1 - 1e-7), "{:?}", prior.shares);
            assert!((prior.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        assert_eq!(prior.seen(), 300);
    }

    #[test]
    fn a_habit_is_found() {
        let mut prior = Prior::even(2);
        // Answers are yes and no in turns, and the model likes no.
        for i in 0..400 {
            prior.observe(if i % 2 == 0 { &[0.4, 0.6] } else { &[0.02, 0.98] }, &learning());
        }
        assert!((0.1..0.3).contains(&prior.shares[0]), "{:?}", prior.shares);
    }

    /// A mean over the stream comes to 0.86 here.
    #[test]
    fn a_one_sided_stream_without_a_habit_hardly_counts() {
        let mut prior = Prior::even(2);
        for i in 0..400 {
            prior.observe(if i % 10 == 0 { &[0.05, 0.95] } else { &[0.95, 0.05] }, &learning());
        }
        assert!((0.4..0.6).contains(&prior.shares[0]), "{:?}", prior.shares);
    }

    #[test]
    fn what_is_no_distribution_is_passed_over() {
        let mut prior = Prior::even(2);
        for bad in [&[f32::NAN, 0.5][..], &[0.2, 0.2], &[-0.5, 1.5], &[1.0], &[f32::INFINITY, 0.0]] {
            assert!(!prior.observe(bad, &learning()), "{bad:?}");
        }
        assert_eq!(prior, Prior::even(2));
    }
}

//! Paired ratios, their median, and how sure it is.

use serde::Serialize;

/// A median with its 95% bootstrap interval.
#[derive(Debug, Clone, Copy, Serialize, PartialEq)]
pub struct Estimate {
    /// The median of the pairs.
    pub median: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Draws of the bootstrap.
const DRAWS: usize = 4000;

/// The median of `values` with the 2.5% and 97.5% quantiles of the medians of resampled values. The same values give the
/// same interval.
pub fn estimate(values: &[f64]) -> Estimate {
    let mut state = 0x5EED_u64;
    let mut next = |n: usize| {
        // xorshift64*: good enough to pick indices, and the same everywhere.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        ((state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % n
    };
    if values.is_empty() {
        return Estimate { median: f64::NAN, low: f64::NAN, high: f64::NAN };
    }
    let mut medians: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let mut sample: Vec<f64> = (0..values.len()).map(|_| values[next(values.len())]).collect();
            median(&mut sample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |q: f64| medians[((DRAWS - 1) as f64 * q).round() as usize];
    Estimate { median: median(&mut values.to_vec()), low: at(0.025), high: at(0.975) }
}

/// Sorts, and takes the middle.
pub fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// What a measurement says about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The bad end of the interval is inside the target.
    Met,
    /// The whole interval is outside.
    Missed,
    /// Neither: this machine does not tell.
    NotResolved,
}

/// The answer for a target of at least `target`.
pub fn at_least(e: &Estimate, target: f64) -> Answer {
    if e.low >= target {
        Answer::Met
    } else if e.high < target {
        Answer::Missed
    } else {
        Answer::NotResolved
    }
}

/// The answer for a target of at most `target`.
pub fn at_most(e: &Estimate, target: f64) -> Answer {
    if e.high <= target {
        Answer::Met
    } else if e.low > target {
        Answer::Missed
    } else {
        Answer::NotResolved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_median_and_shrink() {
        let wide = estimate(&[0.9, 1.1, 1.0, 0.8, 1.2]);
        let sharp = estimate(&[1.0; 40]);
        assert!(wide.low <= wide.median && wide.median <= wide.high);
        assert_eq!(sharp, Estimate { median: 1.0, low: 1.0, high: 1.0 });
    }

    #[test]
    fn answers_follow_the_bad_end() {
        let e = |low, high| Estimate { median: 1.0, low, high };
        assert_eq!(at_least(&e(0.996, 1.0), 0.995), Answer::Met);
        assert_eq!(at_least(&e(0.9, 0.99), 0.995), Answer::Missed);
        assert_eq!(at_least(&e(0.9, 1.1), 0.995), Answer::NotResolved);
        assert_eq!(at_least(&estimate(&[]), 0.5), Answer::NotResolved);
        assert_eq!(at_most(&e(0.0, 50.0), 50.0), Answer::Met);
        assert_eq!(at_most(&e(50.1, 60.0), 50.0), Answer::Missed);
        assert_eq!(at_most(&e(40.0, 60.0), 50.0), Answer::NotResolved);
        assert_eq!(at_most(&estimate(&[]), 50.0), Answer::NotResolved);
    }
}

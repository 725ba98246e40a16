//! 95% intervals: percentile bootstrap over clusters, with a fixed seed.

use std::{collections::BTreeMap, fmt};

use evenkeel_model::Random;
use serde::{Deserialize, Serialize};

/// A figure and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    #[serde(deserialize_with = "number")]
    pub value: f64,
    #[serde(deserialize_with = "number")]
    pub low: f64,
    #[serde(deserialize_with = "number")]
    pub high: f64,
}

/// JSON has no NaN: it is written as null.
fn number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

impl Interval {
    /// Where nothing was measured.
    pub fn none() -> Interval {
        Interval::point(f64::NAN)
    }

    /// A value without an interval.
    pub fn point(value: f64) -> Interval {
        Interval { value, low: f64::NAN, high: f64::NAN }
    }

    /// Wholly between −margin and margin.
    pub fn within(&self, margin: f64) -> bool {
        -margin < self.low && self.high < margin
    }

    /// Wholly on one side of zero.
    pub fn apart(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.value, self.low, self.high)
    }
}

/// Draws.
const DRAWS: usize = 1000;

/// Items by cluster.
pub struct Clusters {
    members: Vec<Vec<usize>>,
    items: usize,
}

impl Clusters {
    /// From the cluster of each item.
    pub fn new<T: Ord>(of: impl IntoIterator<Item = T>) -> Clusters {
        let mut members: BTreeMap<T, Vec<usize>> = BTreeMap::new();
        let mut items = 0;
        for cluster in of {
            members.entry(cluster).or_default().push(items);
            items += 1;
        }
        Clusters { members: members.into_values().collect(), items }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// A figure of weighted items, with the interval over clusters drawn with replacement. A draw for which it is no
    /// number (no item of one class) does not count.
    pub fn interval(&self, figure: impl Fn(&[f64]) -> f64) -> Interval {
        self.test(figure).0
    }

    /// The same, and a two-sided p: how often draws lie on the other side of zero.
    pub fn test(&self, figure: impl Fn(&[f64]) -> f64) -> (Interval, f64) {
        let value = figure(&vec![1.0; self.items]);
        let mut random = Random::named(1, "bootstrap");
        let mut weights = vec![0f64; self.items];
        let mut values: Vec<f64> = (0..DRAWS)
            .map(|_| {
                weights.fill(0.0);
                for _ in 0..self.members.len() {
                    let cluster = (random.bits() % self.members.len() as u64) as usize;
                    self.members[cluster].iter().for_each(|i| weights[*i] += 1.0);
                }
                figure(&weights)
            })
            .filter(|v| v.is_finite())
            .collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = values.len().saturating_sub(1);
            values.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
        };
        let share = |n: usize| (n + 1) as f64 / (values.len() + 1) as f64;
        let sides = [values.iter().filter(|v| **v <= 0.0).count(), values.iter().filter(|v| **v >= 0.0).count()];
        let p = (2.0 * share(sides[0]).min(share(sides[1]))).min(1.0);
        (Interval { value, low: at(0.025), high: at(0.975) }, p)
    }

    /// The mean of values.
    pub fn mean(&self, values: &[f64]) -> Interval {
        self.interval(|weights| weighted_mean(values, weights))
    }
}

/// The mean of values.
pub fn weighted_mean(values: &[f64], weights: &[f64]) -> f64 {
    let sum: f64 = values.iter().zip(weights).map(|(v, w)| v * w).sum();
    sum / weights.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_of_clusters_not_of_items() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i / 10)).collect();
        let items = Clusters::new(0..40).mean(&values);
        let clusters = Clusters::new((0..40).map(|i| i / 10)).mean(&values);
        assert_eq!((items.value, clusters.value), (1.5, 1.5));
        assert!(clusters.high - clusters.low > 2.0 * (items.high - items.low), "{items} {clusters}");
        assert!(clusters.apart() == (clusters.low > 0.0));
        assert!(Clusters::new(0..9).mean(&[0.0; 9]).within(1e-9));
    }
}

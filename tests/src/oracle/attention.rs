//! One layer's attention.

use super::rope::Rope;
use super::segments::{Mode, Segments};

/// Queries, keys or values: `[token][head][dimension]`, without positions.
pub type Heads = Vec<Vec<Vec<f64>>>;

/// The order of the segments for one query and head: the nearest first.
pub type Order = Vec<usize>;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// How a query and a key make a score.
#[derive(Clone, Debug)]
pub struct Score {
    /// What turns both.
    pub rope: Rope,
    /// What their product is multiplied by.
    pub scale: f64,
    /// What scores stay below, by a hyperbolic tangent; `None`: they are not capped.
    pub cap: Option<f64>,
    /// What stands in the place of the weights.
    pub instead: Option<Instead>,
}

/// Weights that are not the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// All equal.
    Uniform,
    /// Shares that depend on the positions of query and key.
    Random,
    /// The largest, and a millionth, less each, over their sum.
    Reversed,
    /// Those of other keys, by an order that depends on positions.
    Shuffled,
}

impl Instead {
    /// For a query at its position, over keys at theirs, in order.
    fn of(self, query: usize, keys: &[usize], weights: &[f64]) -> Vec<f64> {
        let over_sum = |list: Vec<f64>| -> Vec<f64> {
            let sum: f64 = list.iter().sum();
            list.into_iter().map(|x| x / sum).collect()
        };
        match self {
            Self::Uniform => over_sum(vec![1.0; keys.len()]),
            Self::Random => {
                over_sum(keys.iter().map(|k| ((splitmix(query, *k) >> 33) as f64 + 1.0) / f64::exp2(31.0)).collect())
            }
            Self::Reversed => {
                let most = weights.iter().copied().fold(0.0, f64::max);
                over_sum(weights.iter().map(|w| most - w + 1e-6).collect())
            }
            Self::Shuffled => {
                let mut from: Vec<usize> = (0..keys.len()).collect();
                from.sort_by_key(|i| splitmix(query, keys[*i]));
                from.into_iter().map(|i| weights[i]).collect()
            }
        }
    }
}

/// The first number of splitmix64 from a seed that two positions are the halves of.
fn splitmix(high: usize, low: usize) -> u64 {
    let mut z = ((high as u64) << 32 | low as u64).wrapping_add(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

impl Score {
    /// Products over the root of a head's width.
    pub fn plain(rope: Rope, width: usize) -> Self {
        Self { rope, scale: 1.0 / (width as f64).sqrt(), cap: None, instead: None }
    }

    /// The same in a layer that turns nothing.
    #[must_use]
    pub fn without_positions(&self) -> Self {
        Self { rope: self.rope.none(), ..self.clone() }
    }

    fn of(&self, query: &[f64], key: &[f64]) -> f64 {
        let score = dot(query, key) * self.scale;
        self.cap.map_or(score, |cap| cap * (score / cap).tanh())
    }
}

/// What every query gets, and by query and head the order of the segments where there is one.
///
/// Under [`Mode::Pine`] the importance of a segment is the mean over its tokens of a softmax over the region of the scores
/// without positions, and so without the length that a rotation gives (YaRN). For a query in a segment its own segment is
/// left out of the softmax and comes first, and the importance is summed over the segment's queries.
pub fn attend(
    q: &Heads,
    k: &Heads,
    v: &Heads,
    score: &Score,
    segments: &Segments,
    mode: Mode,
) -> (Heads, Vec<Vec<Order>>) {
    let (n, heads) = (q.len(), q[0].len());
    let group = heads / k[0].len();
    let count = segments.lengths.len();
    let region: Vec<usize> = (segments.prefix..segments.end().min(n)).collect();
    let importance = |token: usize, head: usize, without: Option<usize>| -> Vec<f64> {
        let seen: Vec<usize> = region
            .iter()
            .copied()
            .filter(|j| segments.place(*j).map(|(s, _)| s) != without || without.is_none())
            .collect();
        let scores: Vec<f64> = seen.iter().map(|j| score.of(&q[token][head], &k[*j][head / group])).collect();
        let mut sums = vec![0.0; count];
        if !seen.is_empty() {
            for (j, weight) in seen.iter().zip(softmax(&scores)) {
                let (s, _) = segments.place(*j).expect("a token of the region");
                sums[s] += weight / segments.lengths[s] as f64;
            }
        }
        sums
    };
    let sorted = |importance: &[f64]| -> Order {
        let mut order: Order = (0..count).collect();
        // Stable: of equals the first in the input comes first.
        order.sort_by(|a, b| importance[*b].total_cmp(&importance[*a]));
        order
    };
    // One order for all queries of a segment.
    let of_segment: Vec<Vec<Order>> = if mode == Mode::Pine {
        let order = |i: usize, head: usize| {
            let mut sum = vec![0.0; count];
            for token in segments.first(i)..segments.first(i) + segments.lengths[i] {
                sum.iter_mut().zip(importance(token, head, Some(i))).for_each(|(sum, one)| *sum += one);
            }
            sum[i] = f64::INFINITY;
            sorted(&sum)
        };
        (0..count).map(|i| (0..heads).map(|head| order(i, head)).collect()).collect()
    } else {
        vec![]
    };
    let (mut out, mut orders) = (Heads::new(), Vec::new());
    for (token, queries) in q.iter().enumerate() {
        let (mut row, mut row_orders) = (Vec::new(), Vec::new());
        for head in 0..heads {
            let order = match (mode, segments.place(token)) {
                (Mode::Pine, Some((i, _))) => of_segment[i][head].clone(),
                (Mode::Pine, None) if token >= segments.end() => sorted(&importance(token, head, None)),
                _ => vec![],
            };
            let seen: Vec<usize> = (0..n).filter(|j| segments.sees(token, *j, mode)).collect();
            let query = score.rope.turn(&queries[head], segments.position(token, mode));
            let position = |j: usize| match segments.place(j).filter(|_| !order.is_empty()) {
                Some((s, c)) => {
                    let nearer = order.iter().take_while(|t| **t != s).map(|t| segments.lengths[*t]).sum::<usize>();
                    (segments.end() - segments.lengths[s] - nearer + c) as f64
                }
                None => segments.position(j, mode),
            };
            let of = |j: &usize| score.of(&query, &score.rope.turn(&k[*j][head / group], position(*j)));
            let weights = softmax(&seen.iter().map(of).collect::<Vec<_>>());
            let weights = score.instead.map_or(weights.clone(), |instead| instead.of(token, &seen, &weights));
            let mut sum = vec![0.0; v[0][0].len()];
            for (j, weight) in seen.iter().zip(weights) {
                sum.iter_mut().zip(&v[*j][head / group]).for_each(|(sum, v)| *sum += weight * v);
            }
            row.push(sum);
            row_orders.push(order);
        }
        out.push(row);
        orders.push(row_orders);
    }
    (out, orders)
}

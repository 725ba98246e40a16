//! Logits and what follows from them.

use evenkeel_ffi::host::Token;

/// The natural logarithms of the probabilities, in F64.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from(l - max).exp()).sum();
    let norm = sum.ln();
    logits.iter().map(|&l| f64::from(l - max) - norm).collect()
}

/// The `k` likeliest tokens, best first; of equal ones the smaller number.
pub fn top(values: &[f64], k: usize) -> Vec<Token> {
    let mut order: Vec<Token> = (0..values.len() as Token).collect();
    let key = |t: &Token| (std::cmp::Reverse(Ordered(values[*t as usize])), *t);
    let k = k.min(order.len());
    if k > 0 && k < order.len() {
        order.select_nth_unstable_by_key(k - 1, key);
        order.truncate(k);
    }
    order.sort_by_key(key);
    order
}

/// Kullback-Leibler divergence of `q` from `p` in nats, both as logarithms.
pub fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let terms = p.iter().zip(q).map(|(&p, &q)| if p == f64::NEG_INFINITY { 0.0 } else { p.exp() * (p - q) });
    terms.sum::<f64>().max(0.0)
}

/// A token drawn at `temperature` (above 0) by `uniform` (0 to 1).
pub fn draw(logits: &[f32], temperature: f32, uniform: f64) -> Token {
    let scaled: Vec<f32> = logits.iter().map(|l| l / temperature.max(1e-4)).collect();
    let mut left = uniform;
    let probabilities = log_softmax(&scaled);
    for (token, p) in probabilities.iter().enumerate() {
        left -= p.exp();
        if left < 0.0 {
            return token as Token;
        }
    }
    top(&probabilities, 1).first().copied().unwrap_or(0)
}

/// Numbers as `total_cmp` orders them.
#[derive(PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_survive_large_logits() {
        let p = log_softmax(&[1e30, 1e30, -1e30]);
        assert!((p.iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(divergence(&p, &p), 0.0);
    }

    #[test]
    fn the_likeliest_come_first() {
        assert_eq!(top(&[0.1, 0.9, 0.5, 0.9], 3), [1, 3, 2]);
        assert_eq!(top(&[0.1], 5), [0]);
        assert_eq!(draw(&[0.0, 100.0, 0.0], 1.0, 0.5), 1);
        assert_eq!(draw(&[0.0, 0.0], 1.0, 0.75), 1);
    }
}

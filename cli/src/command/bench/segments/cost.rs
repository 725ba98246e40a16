//! What position-invariant attention has to cost, counted: operations of a prompt, bytes of a step of decoding.
//!
//! PINE (Wang et al., arXiv 2407.01100) lets every segment see all others, has each query weigh the segments by scores without
//! positions, and turns each query once for each segment. A prompt is bound by operations, of which plain attention needs half
//! a square; a step of decoding is bound by what it reads: the weights, the cache, and the region's keys without positions.
//! A machine that reaches the same speed for both kinds of attention takes as much longer as these counts say; all that is
//! slower than that is the way it is computed.

use evenkeel_ffi::host::Model;

use super::prompt::{DOCUMENT, PREFIX, Prompt, QUESTION};

/// The extents that count.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub layers: f64,
    pub heads: f64,
    pub kv_heads: f64,
    /// Of a head.
    pub width: f64,
    /// Weights that a token is multiplied with.
    pub weights: f64,
    /// What they take.
    pub bytes: f64,
}

/// Bytes of a number in the cache (F16).
const CACHED: f64 = 2.0;
/// Bytes of a number that is kept of a region (F32).
const KEPT: f64 = 4.0;

impl Shape {
    /// A model's; `None` where its metadata do not say enough: heads that differ by layer, experts of which some are used.
    pub fn of(model: &Model) -> Option<Shape> {
        let arch = model.metadata("general.architecture")?;
        let number = |key: &str| model.metadata(&format!("{arch}.{key}")).and_then(|v| v.parse::<f64>().ok());
        if number("expert_count").is_some_and(|n| n > 0.0) {
            return None;
        }
        let heads = number("attention.head_count")?;
        let kv_heads = match model.metadata(&format!("{arch}.attention.head_count_kv")) {
            Some(text) => text.parse().ok()?,
            None => heads,
        };
        let width = number("attention.key_length").unwrap_or(model.n_embd() as f64 / heads);
        // A row of the embedding is looked up, not multiplied.
        let parameters = model.n_params() as f64;
        let weights = parameters - (model.n_vocab() * model.n_embd()) as f64;
        let bytes = model.size() as f64 * weights / parameters;
        Some(Shape { layers: model.n_layer() as f64, heads, kv_heads, width, weights, bytes })
    }

    /// Operations of a prompt under PINE, as a multiple of plain causal ones.
    pub fn prefill(&self, prompt: &Prompt) -> f64 {
        let (p, t, s) = (PREFIX as f64, prompt.region() as f64, QUESTION as f64);
        self.operations(p, (prompt.documents as f64, DOCUMENT as f64, t), s)
    }

    /// The same for `p` tokens, `k` segments of `l` (together `t`), `s` tokens.
    fn operations(&self, p: f64, (k, l, t): (f64, f64, f64), s: f64) -> f64 {
        let n = p + t + s;
        let of_head = self.heads * self.width;
        let plain = 2.0 * of_head * n * n;
        let seen = t * (p + t - l / 2.0) + s * (p + t + s / 2.0) + p * p / 2.0;
        // Two segments need not be weighed to stand in order for each other's tokens.
        let others = if k > 2.0 { t * (t - l) } else { 0.0 };
        let weighed = 2.0 * of_head * (others + s * t);
        let turned = 6.0 * k * n * of_head;
        let pine = 4.0 * of_head * seen + weighed + turned;
        let rest = 2.0 * self.weights * n;
        (rest + self.layers * pine) / (rest + self.layers * plain)
    }

    /// Bytes that a step reads under PINE with `n` tokens in the cache, `region` of them segments', as a multiple of plain ones.
    pub fn decode(&self, n: f64, region: f64) -> f64 {
        self.read(n, region, KEPT)
    }

    fn read(&self, n: f64, region: f64, kept: f64) -> f64 {
        let token = self.layers * self.kv_heads * self.width;
        let plain = self.bytes + 2.0 * CACHED * n * token;
        1.0 + kept * region * token / plain
    }

    /// Bytes that the plug-in keeps of a region: keys without positions, keys, values.
    pub fn kept(&self, region: usize) -> f64 {
        3.0 * KEPT * self.layers * self.kv_heads * self.width * region as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3 8B.
    const SHAPE: Shape =
        Shape { layers: 32.0, heads: 32.0, kv_heads: 8.0, width: 128.0, weights: 7.5e9, bytes: 15.0e9 };

    #[test]
    fn counts_are_those_of_a_model_of_eight_billion() {
        // Worked out by hand: segments, tokens of each, of the prompt beside 60 before and 60 after them.
        for (k, l, more) in [(2.0, 512.0, 0.009), (5.0, 200.0, 0.025), (10.0, 150.0, 0.043), (20.0, 400.0, 0.23)] {
            let found = SHAPE.operations(60.0, (k, l, k * l), 60.0) - 1.0;
            assert!((found - more).abs() < 0.05 * more + 0.001, "{k} x {l}: {found}");
        }
        let found = SHAPE.read(1620.0, 1500.0, CACHED) - 1.0;
        assert!((found - 0.0065).abs() < 0.0001, "{found}");
    }

    #[test]
    fn one_segment_is_plain_attention_and_costs_as_much() {
        let model = Shape { weights: 0.0, bytes: 0.0, ..SHAPE };
        // Only turning and weighing are left over, which vanish beside a long segment.
        let found = model.operations(0.0, (1.0, 1e6, 1e6), 0.0);
        assert!((found - 1.0).abs() < 1e-4, "{found}");
        let most = model.decode(1000.0, 1000.0);
        assert!((most - 2.0).abs() < 1e-9, "as much again as keys and values in F16: {most}");
    }
}

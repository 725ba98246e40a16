//! A decoder of the llama kind.

use std::path::Path;

use super::attention::{Heads, Order, attend};
use super::gguf::Weights;
use super::rope::{Rope, Style};
use super::segments::{Mode, Segments};
use crate::Recording;

/// A model whose blocks are RMS norm, attention, RMS norm and a gated feed-forward network: llama, qwen2.
pub struct Decoder {
    weights: Weights,
    rope: Rope,
}

/// What a sequence came to.
pub struct Passed {
    /// Logits of every token.
    pub logits: Vec<Vec<f64>>,
    /// By layer, token and head: the order of the segments, the nearest first.
    pub orders: Vec<Vec<Vec<Order>>>,
}

impl Decoder {
    /// Reads an F32 model.
    ///
    /// # Panics
    /// When it is of another kind.
    pub fn read(path: &Path) -> Self {
        let weights = Weights::read(path);
        let style = match weights.arch.as_str() {
            "llama" => Style::Norm,
            "qwen2" => Style::Neox,
            arch => panic!("no decoder for {arch}"),
        };
        let n_rot = weights.number("rope.dimension_count") as usize;
        let rope = Rope::new(style, n_rot, weights.number("rope.freq_base"), None);
        Self { weights, rope }
    }

    fn norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let root = (mean + self.weights.number("attention.layer_norm_rms_epsilon")).sqrt();
        let scale = self.weights.vector(name).expect("a norm");
        x.iter().zip(scale).map(|(x, w)| x / root * w).collect()
    }

    /// Queries, keys or values of all tokens.
    fn heads(&self, x: &[Vec<f64>], name: &str, heads: usize) -> Heads {
        let bias = self.weights.vector(&format!("{name}.bias"));
        let row = |x: &Vec<f64>| {
            let mut y = self.weights.times(&format!("{name}.weight"), x);
            bias.into_iter().flatten().zip(&mut y).for_each(|(b, y)| *y += b);
            y.chunks(y.len() / heads).map(<[f64]>::to_vec).collect()
        };
        x.iter().map(row).collect()
    }

    /// Computes a sequence: the prompt, and what was generated after it.
    pub fn pass(&self, tokens: &[usize], segments: &Segments, mode: Mode) -> Passed {
        let w = &self.weights;
        let (n_heads, n_kv) = (w.number("attention.head_count") as usize, w.number("attention.head_count_kv") as usize);
        let mut x: Vec<Vec<f64>> = tokens.iter().map(|t| w.row("token_embd.weight", *t).to_vec()).collect();
        let mut orders = Vec::new();
        for layer in 0..w.number("block_count") as usize {
            let blk = format!("blk.{layer}");
            let y: Vec<_> = x.iter().map(|x| self.norm(x, &format!("{blk}.attn_norm.weight"))).collect();
            let [q, k, v] = [("q", n_heads), ("k", n_kv), ("v", n_kv)]
                .map(|(name, heads)| self.heads(&y, &format!("{blk}.attn_{name}"), heads));
            let (out, order) = attend(&q, &k, &v, &self.rope, segments, mode);
            orders.push(order);
            for (x, out) in x.iter_mut().zip(out) {
                add(x, &w.times(&format!("{blk}.attn_output.weight"), &out.concat()));
                let y = self.norm(x, &format!("{blk}.ffn_norm.weight"));
                let gate = w.times(&format!("{blk}.ffn_gate.weight"), &y);
                let up = w.times(&format!("{blk}.ffn_up.weight"), &y);
                let inner: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                add(x, &w.times(&format!("{blk}.ffn_down.weight"), &inner));
            }
        }
        let logits = x.iter().map(|x| w.times("output.weight", &self.norm(x, "output_norm.weight"))).collect();
        Passed { logits, orders }
    }
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// The largest difference between a sequence's rows of a recording and what the oracle computes, and the number of rows.
///
/// # Panics
/// When the recording has other labels than the C host writes for a script.
pub fn distance(recording: &Recording, sequence: usize, expected: &[Vec<f64>]) -> (f64, usize) {
    let label = format!("prompt {sequence} ");
    let (mut worst, mut rows) = (0f64, 0);
    for row in recording.rows.iter().filter(|row| row.label.starts_with(&label)) {
        let position: usize = row.label[label.len()..].parse().expect("a position");
        let found = row.logits.iter().map(|bits| f64::from(f32::from_bits(*bits)));
        worst = found.zip(&expected[position]).map(|(a, b)| (a - b).abs()).fold(worst, f64::max);
        rows += 1;
    }
    (worst, rows)
}

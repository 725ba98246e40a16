//! A decoder.

use std::path::Path;

use super::attention::{Heads, Instead, Order, Score, attend};
use super::gguf::Weights;
use super::rope::{Rope, Style};
use super::segments::{Mode, Segments};
use crate::Recording;

/// A model whose blocks are norm, attention, norm and a gated feed-forward network or a mixture of them, with whatever of
/// biases, further norms and scales its file has.
pub struct Decoder {
    weights: Weights,
    score: Score,
    /// Every so many layers, one without positions.
    bare_every: Option<usize>,
    /// Other attention weights, and at which layers.
    instead: Option<(Instead, Vec<usize>)>,
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
            "llama" | "chatglm" | "smollm3" => Style::Norm,
            "qwen2" | "qwen3" | "phi3" | "stablelm" | "grok" => Style::Neox,
            arch => panic!("no decoder for {arch}"),
        };
        let number = |key: &str, otherwise: f64| weights.find(key).unwrap_or(otherwise);
        let (n_rot, base) = (weights.number("rope.dimension_count") as usize, number("rope.freq_base", 10_000.0));
        let mut rope = Rope::new(style, n_rot, base, weights.vector("rope_freqs.weight"));
        if let Some(factor) = weights.find("rope.scaling.factor") {
            let original = weights.number("rope.scaling.original_context_length");
            rope = if weights.text("rope.scaling.type") == Some("yarn") {
                rope.yarn(base, factor, original)
            } else {
                rope.linear(factor)
            };
        }
        let mut score = Score::plain(rope, weights.head());
        if let Some(scale) = weights.find("attention.output_scale") {
            (score.scale, score.cap) = (scale, weights.find("attn_logit_softcapping"));
        }
        let bare_every = (weights.arch == "smollm3").then_some(4);
        Self { weights, score, bare_every, instead: None }
    }

    /// The same with other attention weights at these layers.
    #[must_use]
    pub fn attending(self, instead: Instead, layers: &[usize]) -> Self {
        Self { instead: Some((instead, layers.to_vec())), ..self }
    }

    /// RMS norm; where the file has a bias, of the difference from the mean.
    fn norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        let w = &self.weights;
        let bias = w.vector(&format!("{name}.bias"));
        let n = x.len() as f64;
        let mean = bias.map_or(0.0, |_| x.iter().sum::<f64>() / n);
        let key = if bias.is_some() { "attention.layer_norm_epsilon" } else { "attention.layer_norm_rms_epsilon" };
        let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let root = (square + w.number(key)).sqrt();
        let scale = w.vector(&format!("{name}.weight")).expect("a norm");
        let shift = |i: usize| bias.map_or(0.0, |bias| bias[i]);
        x.iter().zip(scale).enumerate().map(|(i, (x, w))| (x - mean) / root * w + shift(i)).collect()
    }

    /// The norm of that name, if there is one.
    fn normed(&self, x: Vec<f64>, name: &str) -> Vec<f64> {
        if self.weights.vector(&format!("{name}.weight")).is_some() { self.norm(&x, name) } else { x }
    }

    /// A matrix and its bias, if there is one.
    fn linear(&self, x: &[f64], name: &str) -> Vec<f64> {
        let mut y = self.weights.times(&format!("{name}.weight"), x);
        let bias = self.weights.vector(&format!("{name}.bias"));
        bias.into_iter().flatten().zip(&mut y).for_each(|(b, y)| *y += b);
        y
    }

    /// Queries, keys and values of all tokens.
    fn heads(&self, x: &[Vec<f64>], blk: &str) -> [Heads; 3] {
        let w = &self.weights;
        let width = w.head();
        let fused = w.vector(&format!("{blk}.attn_qkv.weight")).is_some();
        let (q, kv) =
            (w.number("attention.head_count") as usize * width, w.number("attention.head_count_kv") as usize * width);
        let row = |x: &Vec<f64>| -> [Vec<Vec<f64>>; 3] {
            let all = if fused {
                let all = self.linear(x, &format!("{blk}.attn_qkv"));
                [all[..q].to_vec(), all[q..q + kv].to_vec(), all[q + kv..].to_vec()]
            } else {
                ["q", "k", "v"].map(|name| self.linear(x, &format!("{blk}.attn_{name}")))
            };
            let mut norms = ["attn_q_norm", "attn_k_norm", "none"].into_iter();
            all.map(|all| {
                let name = format!("{blk}.{}", norms.next().unwrap_or_default());
                all.chunks(width).map(|head| self.normed(head.to_vec(), &name)).collect()
            })
        };
        let mut heads = [vec![], vec![], vec![]];
        for x in x {
            row(x).into_iter().zip(&mut heads).for_each(|(row, heads)| heads.push(row));
        }
        heads
    }

    fn feed_forward(&self, x: &[f64], blk: &str) -> Vec<f64> {
        let w = &self.weights;
        let gated = |gate: &[f64], up: &[f64]| -> Vec<f64> {
            gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
        };
        if w.vector(&format!("{blk}.ffn_gate_inp.weight")).is_some() {
            let likely = w.times(&format!("{blk}.ffn_gate_inp.weight"), x);
            let mut chosen: Vec<usize> = (0..likely.len()).collect();
            chosen.sort_by(|a, b| likely[*b].total_cmp(&likely[*a]));
            chosen.truncate(w.number("expert_used_count") as usize);
            // Of a softmax over all, divided by the sum over the chosen.
            let weight = |e: usize| (likely[e] - likely[chosen[0]]).exp();
            let sum: f64 = chosen.iter().map(|e| weight(*e)).sum();
            let mut y = vec![0.0; x.len()];
            for e in &chosen {
                let [gate, up] = ["gate", "up"].map(|n| w.times_one(&format!("{blk}.ffn_{n}_exps.weight"), *e, x));
                let one = w.times_one(&format!("{blk}.ffn_down_exps.weight"), *e, &gated(&gate, &up));
                y.iter_mut().zip(one).for_each(|(y, one)| *y += weight(*e) / sum * one);
            }
            return y;
        }
        let up = w.times(&format!("{blk}.ffn_up.weight"), x);
        let inner = if w.vector(&format!("{blk}.ffn_gate.weight")).is_some() {
            gated(&w.times(&format!("{blk}.ffn_gate.weight"), x), &up)
        } else {
            let (gate, up) = up.split_at(up.len() / 2);
            gated(gate, up)
        };
        w.times(&format!("{blk}.ffn_down.weight"), &inner)
    }

    /// Computes a sequence: the prompt, and what was generated after it.
    pub fn pass(&self, tokens: &[usize], segments: &Segments, mode: Mode) -> Passed {
        let w = &self.weights;
        let (of_tokens, of_logits) = (w.find("embedding_scale").unwrap_or(1.0), w.find("logit_scale").unwrap_or(1.0));
        let token = |t: &usize| w.row("token_embd.weight", *t).iter().map(|x| x * of_tokens).collect();
        let mut x: Vec<Vec<f64>> = tokens.iter().map(token).collect();
        let mut orders = Vec::new();
        for layer in 0..w.number("block_count") as usize {
            let blk = format!("blk.{layer}");
            let y: Vec<_> = x.iter().map(|x| self.norm(x, &format!("{blk}.attn_norm"))).collect();
            let [q, k, v] = self.heads(&y, &blk);
            let bare = self.bare_every.is_some_and(|every| (layer + 1) % every == 0);
            let mut score = if bare { self.score.without_positions() } else { self.score.clone() };
            score.instead = self.instead.as_ref().filter(|(_, layers)| layers.contains(&layer)).map(|(kind, _)| *kind);
            let (out, order) = attend(&q, &k, &v, &score, segments, mode);
            orders.push(order);
            for (x, out) in x.iter_mut().zip(out) {
                let out = w.times(&format!("{blk}.attn_output.weight"), &out.concat());
                add(x, &self.normed(out, &format!("{blk}.attn_output_norm")));
                let y = self.feed_forward(&self.norm(x, &format!("{blk}.ffn_norm")), &blk);
                add(x, &self.normed(y, &format!("{blk}.layer_output_norm")));
            }
        }
        let logits = |x: &Vec<f64>| -> Vec<f64> {
            w.times("output.weight", &self.norm(x, "output_norm")).iter().map(|y| y * of_logits).collect()
        };
        Passed { logits: x.iter().map(logits).collect(), orders }
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

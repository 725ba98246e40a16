//! What differs between two runs of one prompt.

use evenkeel_ffi::host::{Model, Token};
use serde::Serialize;

use super::{Generated, first_difference, token};
use crate::{logits, stats::Stats};

/// The result of `run`.
#[derive(Serialize)]
pub struct Report {
    pub model: String,
    pub prompt: String,
    /// The text without the plug-in.
    pub without: Side,
    /// The text with it.
    pub with: Side,
    /// Where the two first differ; none if they do not.
    pub first_difference: Option<Difference>,
    /// The candidates at that place, or at the first token if there is none: as long as the tokens before are the same,
    /// they are answers to the same question.
    pub candidates: Vec<Candidate>,
    /// Divergence of the distribution with the profile from that without, in nats, per token up to that place.
    pub divergence: Vec<f64>,
    /// What the plug-in tells.
    pub stats: Stats,
    /// What is not as it should be.
    pub problems: Vec<String>,
}

/// One text.
#[derive(Serialize)]
pub struct Side {
    pub text: String,
    /// The part of the text before the difference, in bytes.
    pub same: usize,
    pub tokens: Vec<Token>,
    /// The model ended it by itself.
    pub ended: bool,
}

/// The first tokens that differ.
#[derive(Serialize)]
pub struct Difference {
    /// Index into the generated tokens, from 0.
    pub at: usize,
    /// The token without the profile; none if the text had ended.
    pub without: Option<String>,
    /// The token with it.
    pub with: Option<String>,
}

/// A token and its probabilities.
#[derive(Serialize)]
pub struct Candidate {
    pub token: Token,
    pub text: String,
    pub without: f64,
    pub with: f64,
}

pub fn compare(model: &Model, prompt: &str, a: &Generated, b: &Generated, k: usize, stats: Stats) -> Report {
    let differ = first_difference(a, b);
    let shared = a.steps.iter().zip(&b.steps).take(differ.map_or(usize::MAX, |at| at + 1));
    let piece = |t: Token| model.text(&[t]);
    let side = |g: &Generated| Side {
        text: model.text(&g.tokens),
        same: model.text(&g.tokens[..differ.unwrap_or(g.tokens.len())]).len(),
        tokens: g.tokens.clone(),
        ended: g.ended,
    };
    let problems = stats.problems();
    Report {
        model: model.description(),
        prompt: prompt.to_owned(),
        without: side(a),
        with: side(b),
        first_difference: differ.map(|at| Difference {
            at,
            without: token(a, at).map(piece),
            with: token(b, at).map(piece),
        }),
        candidates: candidates(a, b, differ.unwrap_or(0), k, piece),
        divergence: shared.map(|(p, q)| logits::divergence(p, q)).collect(),
        stats,
        problems,
    }
}

/// The best of both sides at one step, by what they gain or had.
fn candidates(a: &Generated, b: &Generated, at: usize, k: usize, piece: impl Fn(Token) -> String) -> Vec<Candidate> {
    let (Some(p), Some(q)) = (a.steps.get(at), b.steps.get(at)) else { return Vec::new() };
    let mut tokens = logits::top(p, k);
    tokens.extend(logits::top(q, k));
    tokens.sort_unstable();
    tokens.dedup();
    let best = |t: &Token| p[*t as usize].max(q[*t as usize]);
    tokens.sort_by(|x, y| best(y).total_cmp(&best(x)));
    tokens.truncate(k);
    tokens.sort_by(|x, y| p[*y as usize].total_cmp(&p[*x as usize]));
    let candidate =
        |&t: &Token| Candidate { token: t, text: piece(t), without: p[t as usize].exp(), with: q[t as usize].exp() };
    tokens.iter().map(candidate).collect()
}

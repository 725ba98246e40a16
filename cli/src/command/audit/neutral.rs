//! What an arm does to text that has nothing to do with any bias.

use std::time::Instant;

use evenkeel_ffi::host::Plugin;

use super::refused::Refused;
use crate::{
    ask::{Question, ask_checked},
    estimate::{Clusters, Interval, weighted_mean},
    failure::Failure,
    logits::{divergence, log_softmax},
    neutral::{Plain, spread},
    session::Session,
};

/// Texts and what the plain model says at some places in them.
pub struct Neutral {
    questions: Vec<Question>,
    plain: Vec<Vec<f32>>,
    /// The text of each place.
    of: Vec<usize>,
}

/// What an arm costs.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Cost {
    pub arm: String,
    /// Divergence of the next token's distribution from the plain model's, nats per token.
    pub kl: Interval,
    pub perplexity: f64,
    /// Evaluated tokens per second, prompts in batches.
    pub tokens_per_second: f64,
    /// How many of the safe questions are refused; None where they were not asked.
    #[serde(default)]
    pub refused: Option<Refused>,
}

/// Bytes of log-probabilities that are kept.
const KEPT: usize = 64 << 20;
/// Places, at most.
const PLACES: usize = 2048;

impl Neutral {
    /// From texts.
    pub fn new(session: &Session, texts: &[Plain], longest: usize) -> Result<Neutral, Failure> {
        let room = PLACES.min(KEPT / (4 * session.model.n_vocab().max(1)));
        let each = room.div_ceil(texts.len().max(1));
        let mut questions = Vec::new();
        for text in texts {
            if let Some((tokens, from)) = text.tokens(&session.model, longest)? {
                let outputs = spread(from, tokens.len() - 1, each);
                questions.push(Question { tokens, outputs });
            }
        }
        let of = questions.iter().enumerate().flat_map(|(i, q)| vec![i; q.outputs.len()]).collect();
        Ok(Neutral { questions, plain: Vec::new(), of })
    }

    /// No text has a place to look at.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// Runs the texts as the model is now. The first call is the plain model's.
    pub fn measure(&mut self, session: &Session, plugin: Option<&Plugin>, arm: &str) -> Result<Cost, Failure> {
        let first = self.plain.is_empty();
        let (mut kl, mut surprise, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        let begin = Instant::now();
        ask_checked(session, plugin, &self.questions, |q, at, logits| {
            let question = &self.questions[q];
            let p = log_softmax(logits);
            surprise.push(-p[question.tokens[question.outputs[at] + 1] as usize]);
            if first {
                seen.push(p.into_iter().map(|p| p as f32).collect::<Vec<f32>>());
                kl.push(0.0);
            } else if let Some(plain) = self.plain.get(kl.len()) {
                let plain: Vec<f64> = plain.iter().map(|p| f64::from(*p)).collect();
                kl.push(divergence(&plain, &p));
            }
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        if first {
            self.plain = seen;
        }
        let tokens: usize = self.questions.iter().map(|q| q.tokens.len()).sum();
        let by = Clusters::new(self.of.iter().copied());
        Ok(Cost {
            arm: arm.to_owned(),
            kl: by.interval(|w| weighted_mean(&kl, w)),
            perplexity: (surprise.iter().sum::<f64>() / surprise.len().max(1) as f64).exp(),
            tokens_per_second: tokens as f64 / seconds,
            refused: None,
        })
    }
}

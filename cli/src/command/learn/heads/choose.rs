//! Sets of heads, and what they do to what a model answers.

use std::path::Path;

use evenkeel_ffi::host::Plugin;

use super::figure::{accuracy, push};
use crate::{
    ask::{Question, ask_under},
    command::calibrate::{Asked, Example, Said},
    failure::Failure,
    session::Session,
};

/// Heads as layer and number, all scaled alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    pub heads: Vec<[u32; 2]>,
    pub scale: f64,
}

/// How many heads are tried, and the scales.
const COUNTS: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 16];
const SCALES: [f64; 2] = [0.0, 0.5];

/// As a profile names a head.
pub fn name([layer, head]: &[u32; 2]) -> String {
    format!("{layer}.{head}")
}

impl Set {
    /// The profile that scales them.
    pub fn profile(&self, name: &str) -> String {
        let heads: Vec<String> = self.heads.iter().map(|h| format!("\"{}\"", self::name(h))).collect();
        let scale = self.scale;
        format!("schema = 1\n\n[[heads]]\nname = \"{name}\"\nscale = {scale:?}\nheads = [{}]\n", heads.join(", "))
    }
}

/// A model and the three parts of questions to it.
pub struct Bench<'a> {
    pub session: &'a Session,
    pub plugin: &'a Plugin,
    pub folder: &'a Path,
    pub labels: &'a [String],
    pub tokens: &'a [Vec<u32>],
    /// The answer that heads may push to.
    pub pushed: usize,
    pub parts: &'a [Vec<Example>; 3],
    pub asked: &'a [Vec<Question>],
    /// What the plain model says.
    pub before: &'a [Vec<Asked>],
    /// Accuracy that a set may cost.
    pub max_loss: f64,
}

fn all(asked: &[Asked]) -> Vec<f64> {
    vec![1.0; asked.len()]
}

impl Bench<'_> {
    /// What is said to a part with a set of heads scaled.
    pub fn under(&self, set: &Set, part: usize) -> Result<Vec<Asked>, Failure> {
        let path = self.folder.join("candidate.toml");
        // Written again and again: it is read when it is loaded, and not watched.
        let text = set.profile("candidate") + "\n[runtime]\nreload = \"off\"\n";
        std::fs::write(&path, text).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        let mut said = Said::new(&self.parts[part], self.labels, self.tokens);
        ask_under(self.session, self.plugin, &path, &self.asked[part], |q, _, logits| said.see(q, logits))?;
        said.all()
    }

    fn push(&self, asked: &[Asked]) -> f64 {
        push(asked, self.pushed, &all(asked))
    }

    /// How much of the push is gone with it, in log-odds.
    pub fn relief(&self, set: &Set, part: usize) -> Result<f64, Failure> {
        Ok(self.push(&self.before[part]) - self.push(&self.under(set, part)?))
    }

    /// The share of the push that is gone with it: 1 where nothing is left on either side.
    pub fn effect(&self, set: &Set, part: usize) -> Result<f64, Failure> {
        let after = self.under(set, part)?;
        Ok(self.share(part, &after))
    }

    fn share(&self, part: usize, after: &[Asked]) -> f64 {
        1.0 - self.push(after).abs() / self.push(&self.before[part]).abs().max(1e-9)
    }

    /// Of the first so many heads of an order, at one of the scales, those that take most of the push away on the second part
    /// and cost no more accuracy than they may; `None` where none takes any. And how many were tried.
    pub fn choose(&self, order: &[[u32; 2]]) -> Result<(Option<Set>, usize), Failure> {
        let (before, mut best, mut tried) = (accuracy(&self.before[1], &all(&self.before[1])), None, 0);
        let mut most = 0.0;
        for count in COUNTS.into_iter().filter(|n| *n <= order.len()) {
            for scale in SCALES {
                let set = Set { heads: order[..count].to_vec(), scale };
                let after = self.under(&set, 1)?;
                tried += 1;
                let effect = self.share(1, &after);
                if effect > most && accuracy(&after, &all(&after)) >= before - self.max_loss {
                    (most, best) = (effect, Some(set));
                }
            }
        }
        Ok((best, tried))
    }
}

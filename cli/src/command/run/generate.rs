//! Generates tokens and keeps the probabilities they were chosen from.

use evenkeel_ffi::host::{Context, Outputs, Token};
use indicatif::ProgressBar;

use crate::{failure::Failure, logits};

/// How a token is chosen.
#[derive(Debug, Clone, Copy)]
pub enum Sampling {
    /// The likeliest.
    Greedy,
    /// By chance.
    Random { temperature: f32, seed: u64 },
}

/// A generated text.
pub struct Generated {
    /// The tokens after the prompt.
    pub tokens: Vec<Token>,
    /// For each step, the logarithms of the probabilities of all tokens; one more than tokens if the text ended early.
    pub steps: Vec<Vec<f64>>,
    /// Ended by the model itself.
    pub ended: bool,
}

/// Feeds the prompt and generates up to `n` tokens.
pub fn generate(
    context: &mut Context,
    prompt: &[Token],
    n: usize,
    sampling: Sampling,
    progress: &ProgressBar,
) -> Result<Generated, Failure> {
    feed(context, prompt)?;
    let mut out = Generated { tokens: Vec::new(), steps: Vec::new(), ended: false };
    let mut random = match sampling {
        Sampling::Greedy => 0,
        Sampling::Random { seed, .. } => seed,
    };
    while out.tokens.len() < n {
        let row = context.logits(-1).ok_or_else(|| Failure::new("llama.cpp gave no logits"))?;
        let step = logits::log_softmax(row);
        let next = match sampling {
            Sampling::Greedy => logits::top(&step, 1).first().copied().unwrap_or(0),
            Sampling::Random { temperature, .. } => logits::draw(row, temperature, uniform(&mut random)),
        };
        out.steps.push(step);
        progress.inc(1);
        if context.model().is_end(next) {
            out.ended = true;
            progress.inc((n - out.tokens.len() - 1) as u64);
            break;
        }
        context.decode(&[next], prompt.len() + out.tokens.len(), 0, Outputs::Last)?;
        out.tokens.push(next);
    }
    Ok(out)
}

/// Evaluates a prompt in batches; its last row gives logits.
pub fn feed(context: &mut Context, prompt: &[Token]) -> Result<(), Failure> {
    let size = context.n_batch();
    let last = prompt.len().div_ceil(size).saturating_sub(1);
    for (i, part) in prompt.chunks(size).enumerate() {
        let outputs = if i == last { Outputs::Last } else { Outputs::None };
        context.decode(part, i * size, 0, outputs)?;
    }
    Ok(())
}

/// The next number from 0 to 1 (splitmix64): the same on both sides.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

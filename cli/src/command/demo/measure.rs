//! The share of the first of two answers, for each subject.

use evenkeel_ffi::host::{Context, Model, Outputs, Token};
use serde::Serialize;

use super::data::Data;
use crate::{failure::Failure, logits};

/// One subject, one context.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Share {
    /// P(first) / (P(first) + P(second)).
    pub share: f64,
    /// P(first) + P(second): how sure the model is that one of the two comes next.
    pub mass: f64,
}

/// The token that an answer is after a prompt, given as text and as tokens. It is tokenized where it stands: some vocabularies
/// put a space in front of every text.
pub fn answer(model: &Model, text: &str, prompt: &[Token], answer: &str) -> Result<Token, Failure> {
    let whole = model.tokenize(&format!("{text}{answer}"), true)?;
    match whole.strip_prefix(prompt) {
        Some([token]) => Ok(*token),
        _ => Err(Failure::usage(format!("\"{answer}\" is not one token after \"{text}\" for this model"))
            .todo("each answer must be one token; mostly it begins with a space")),
    }
}

/// Prompts, and the tokens that the two answers are after each.
pub struct Questions(Vec<(Vec<Token>, [Token; 2])>);

impl Questions {
    /// Tokenizes everything.
    pub fn new(model: &Model, data: &Data) -> Result<Questions, Failure> {
        let question = |s: &super::data::Subject| {
            let text = data.prompt.replace("{}", &s.name);
            let prompt = model.tokenize(&text, true)?;
            let [first, second] = &data.answers;
            let answers = [answer(model, &text, &prompt, first)?, answer(model, &text, &prompt, second)?];
            Ok((prompt, answers))
        };
        Ok(Questions(data.subjects.iter().map(question).collect::<Result<_, Failure>>()?))
    }

    /// Tokens of the longest prompt.
    pub fn longest(&self) -> usize {
        self.0.iter().map(|(prompt, _)| prompt.len()).max().unwrap_or(0)
    }

    /// Asks them all.
    pub fn ask(&self, context: &mut Context) -> Result<Vec<Share>, Failure> {
        let ask = |(prompt, answers): &(Vec<Token>, [Token; 2])| {
            context.clear();
            context.decode(prompt, 0, 0, Outputs::Last)?;
            let row = context.logits(-1).ok_or_else(|| Failure::new("llama.cpp gave no logits"))?;
            let p = logits::log_softmax(row);
            let [first, second] = answers.map(|t| p[t as usize].exp());
            Ok(Share { share: first / (first + second), mass: first + second })
        };
        self.0.iter().map(ask).collect()
    }
}

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

/// Prompts and answers as tokens.
pub struct Questions {
    prompts: Vec<Vec<Token>>,
    answers: [Token; 2],
}

impl Questions {
    /// Tokenizes everything.
    pub fn new(model: &Model, data: &Data) -> Result<Questions, Failure> {
        let answer = |text: &String| match model.tokenize(text, false)?[..] {
            [token] => Ok(token),
            ref tokens => {
                Err(Failure::usage(format!("the answer \"{text}\" is {} tokens for this model", tokens.len()))
                    .todo("each answer must be one token; mostly it begins with a space"))
            }
        };
        let prompt = |s: &super::data::Subject| Ok(model.tokenize(&data.prompt.replace("{}", &s.name), true)?);
        Ok(Questions {
            prompts: data.subjects.iter().map(prompt).collect::<Result<_, Failure>>()?,
            answers: [answer(&data.answers[0])?, answer(&data.answers[1])?],
        })
    }

    /// Tokens of the longest prompt.
    pub fn longest(&self) -> usize {
        self.prompts.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Asks them all.
    pub fn ask(&self, context: &mut Context) -> Result<Vec<Share>, Failure> {
        let ask = |prompt: &Vec<Token>| {
            context.clear();
            context.decode(prompt, 0, 0, Outputs::Last)?;
            let row = context.logits(-1).ok_or_else(|| Failure::new("llama.cpp gave no logits"))?;
            let p = logits::log_softmax(row);
            let [first, second] = self.answers.map(|t| p[t as usize].exp());
            Ok(Share { share: first / (first + second), mass: first + second })
        };
        self.prompts.iter().map(ask).collect()
    }
}

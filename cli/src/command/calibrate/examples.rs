//! Questions with or without an answer, and what a model says to them.

use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    ask::{self, Question},
    failure::Failure,
    logits::log_softmax,
    session::Session,
};

/// One line of an examples file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The whole prompt; the answer's first token comes next.
    pub prompt: String,
    /// The right label, if it is known.
    #[serde(default)]
    pub answer: Option<String>,
    /// What it has in common with others: they are drawn together, and never on both sides of a split.
    #[serde(default)]
    pub group: Option<String>,
}

impl Example {
    /// What it is drawn with.
    pub fn cluster(&self) -> &str {
        self.group.as_ref().unwrap_or(&self.prompt)
    }
}

/// An example and what a model said.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The right label, by number.
    pub answer: Option<usize>,
    /// What it is drawn with.
    pub cluster: String,
    /// The labels' shares, which sum to 1; each at least [`LEAST`].
    pub shares: Vec<f64>,
    /// What the labels have together.
    pub mass: f64,
}

/// What a share counts as at least, as in the graph.
const LEAST: f64 = 1e-30;

/// Reads a file of examples, one JSON object per line, and the hash of its bytes.
pub fn read(path: &Path, labels: &[String]) -> Result<(Vec<Example>, String), Failure> {
    let bad = |what: String| Failure::usage(format!("examples {}{what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| bad(format!(": {e}")))?;
    let mut examples = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let example: Example = serde_json::from_str(text).map_err(|e| {
            bad(format!(":{line}: {e}"))
                .todo("a line is {\"prompt\": \"...\", \"answer\": \"...\", \"group\": \"...\"}; the last two can be left out")
        })?;
        if let Some(answer) = example.answer.as_ref().filter(|a| !labels.contains(a)) {
            return Err(bad(format!(":{line}: the answer, got {answer:?}, allowed: {}", labels.join(", "))));
        }
        examples.push(example);
    }
    if examples.is_empty() {
        return Err(bad(": no example in it".into()));
    }
    let sha256 = Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    Ok((examples, sha256))
}

/// The questions as the model reads them.
pub fn questions(
    session: &Session,
    examples: &[Example],
    (chat, longest): (bool, usize),
) -> Result<Vec<Question>, Failure> {
    let question = |example: &Example| {
        let text = match chat {
            false => example.prompt.clone(),
            true => session.model.chat(&example.prompt).ok_or_else(|| {
                Failure::usage("this model has no chat template that llama.cpp knows").todo("leave out --chat")
            })?,
        };
        let tokens = session.model.tokenize(&text, true)?;
        match tokens.len() {
            0 => Err(Failure::usage("a prompt is empty")),
            n if n > longest => {
                let begin: String = example.prompt.chars().take(60).collect();
                Err(Failure::usage(format!("a prompt of {n} tokens, allowed: {longest}: {begin:?}"))
                    .todo("allow more with --context, if the model was trained on as many"))
            }
            _ => Ok(Question::next(tokens)),
        }
    };
    examples.iter().map(question).collect()
}

/// What a row of logits says; `tokens` are those of each label. None where the labels have no probability.
pub fn said(example: &Example, labels: &[String], tokens: &[Vec<u32>], logits: &[f32]) -> Option<Asked> {
    let log = log_softmax(logits);
    let has: Vec<f64> = tokens.iter().map(|set| set.iter().map(|t| log[*t as usize].exp()).sum()).collect();
    let mass: f64 = has.iter().sum();
    (mass.is_finite() && mass > 0.0).then(|| Asked {
        answer: example.answer.as_ref().and_then(|a| labels.iter().position(|l| l == a)),
        cluster: example.cluster().to_owned(),
        shares: has.iter().map(|p| (p / mass).max(LEAST)).collect(),
        mass,
    })
}

/// Collects what is said to each example while questions are asked.
pub struct Said<'a> {
    examples: &'a [Example],
    labels: &'a [String],
    tokens: &'a [Vec<u32>],
    found: Vec<Option<Asked>>,
}

impl<'a> Said<'a> {
    pub fn new(examples: &'a [Example], labels: &'a [String], tokens: &'a [Vec<u32>]) -> Said<'a> {
        Said { examples, labels, tokens, found: vec![None; examples.len()] }
    }

    pub fn see(&mut self, question: usize, logits: &[f32]) {
        self.found[question] = said(&self.examples[question], self.labels, self.tokens, logits);
    }

    /// All of it; an error where the labels have no probability.
    pub fn all(self) -> Result<Vec<Asked>, Failure> {
        let example = |(said, example): (Option<Asked>, &Example)| {
            let begin: String = example.prompt.chars().take(60).collect();
            said.ok_or_else(|| Failure::new(format!("the labels have no probability after {begin:?}")))
        };
        self.found.into_iter().zip(self.examples).map(example).collect()
    }
}

/// What the model says without a profile.
pub fn plain(session: &Session, questions: &[Question], mut said: Said<'_>) -> Result<Vec<Asked>, Failure> {
    ask::ask(session, questions, |question, _, logits| said.see(question, logits))?;
    said.all()
}

/// Splits by groups into halves that do not depend on the order: what is fitted on, and what is reported.
pub fn halves(examples: Vec<Example>) -> (Vec<Example>, Vec<Example>) {
    examples.into_iter().partition(|e| Sha256::digest(e.cluster().as_bytes())[0] & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_share_no_group_and_do_not_depend_on_the_order() {
        let example = |i: usize| Example { prompt: format!("{i}"), answer: None, group: Some(format!("{}", i / 3)) };
        let all: Vec<Example> = (0..300).map(example).collect();
        let (fit, report) = halves(all.clone());
        assert!(fit.len() > 100 && report.len() > 100, "{} and {}", fit.len(), report.len());
        assert!(fit.iter().all(|a| report.iter().all(|b| a.group != b.group)));
        let (again, _) = halves(all.into_iter().rev().collect());
        assert!(again.iter().rev().eq(&fit));
    }

    #[test]
    fn shares_are_of_the_labels_alone() {
        let example = Example { prompt: "p".into(), answer: Some("b".into()), group: None };
        let labels = ["a".to_owned(), "b".to_owned()];
        let logits: Vec<f32> = [0.1f32, 0.2, 0.3, 0.4].iter().map(|p| p.ln()).collect();
        let asked = said(&example, &labels, &[vec![0, 2], vec![1]], &logits).unwrap();
        assert_eq!(asked.answer, Some(1));
        assert!((asked.mass - 0.6).abs() < 1e-6 && (asked.shares[0] - 2.0 / 3.0).abs() < 1e-6, "{asked:?}");
    }
}

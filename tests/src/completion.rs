//! Completions of a llama-server, with log-probabilities.

use serde_json::{Value, json};

/// One generated token: the most probable candidates, as the server printed them.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The token.
    pub token: u64,
    /// Token and log-probability, the most probable first.
    pub candidates: Vec<(u64, f64)>,
}

/// A request: greedy, without prefix reuse, so that equal computations give equal answers.
#[derive(Clone, Debug)]
pub struct Request(Value);

impl Request {
    /// A prompt of token ids.
    pub fn tokens(tokens: &[u32]) -> Self {
        Self(json!({
            "prompt": tokens, "n_predict": 8, "n_probs": 20, "temperature": 0.0, "ignore_eos": true,
            "cache_prompt": false, "seed": 1,
        }))
    }

    /// Sets one field.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.0[key] = value;
        self
    }

    pub(crate) fn body(&self) -> &Value {
        &self.0
    }
}

/// Reads a server's answer.
///
/// # Panics
/// When there are no probabilities in it.
pub fn steps(answer: &Value) -> Vec<Step> {
    let steps = drafted_steps(answer);
    assert!(steps.iter().all(|step| !step.candidates.is_empty()), "a token without candidates: {answer}");
    steps
}

/// Reads the answer of a server with a draft model, which does not say what the accepted tokens of a draft were chosen from.
///
/// # Panics
/// When there are no probabilities in it.
pub fn drafted_steps(answer: &Value) -> Vec<Step> {
    let list = answer["completion_probabilities"].as_array();
    let list = list.unwrap_or_else(|| panic!("an answer without probabilities: {answer}"));
    let id = |entry: &Value| entry["id"].as_u64().expect("a token");
    let candidate = |entry: &Value| (id(entry), entry["logprob"].as_f64().expect("a log-probability"));
    let step = |entry: &Value| Step {
        token: id(entry),
        candidates: entry["top_logprobs"].as_array().expect("candidates").iter().map(candidate).collect(),
    };
    list.iter().map(step).collect()
}

/// Checks that two answers are the same to the last digit.
///
/// # Panics
/// When they are not; the message names the first token that differs and the largest gap there.
#[track_caller]
pub fn assert_same(a: &[Step], b: &[Step], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}: number of tokens");
    if let Some(number) = a.iter().zip(b).position(|(a, b)| a != b) {
        let (a, b) = (&a[number], &b[number]);
        let gap = a.candidates.iter().zip(&b.candidates).map(|(a, b)| (a.1 - b.1).abs()).fold(0.0, f64::max);
        panic!("{what}: token {number} is {} and {}, log-probabilities differ by up to {gap:e}", a.token, b.token);
    }
}

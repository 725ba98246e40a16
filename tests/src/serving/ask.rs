//! One request, and what came of it.

use serde_json::{Value, json};

use crate::completion::{Step, drafted_steps, steps};
use crate::host::Server;

/// The token of byte 0x80 in the tiny models' vocabulary.
const FIRST_HIGH_BYTE: u32 = 3 + 128;

/// A greedy request.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Token ids.
    pub prompt: Vec<u32>,
    /// The profile that it chooses.
    pub profile: Option<String>,
    /// Whether the server may reuse a prefix.
    pub cache: bool,
    /// The slot, if it matters.
    pub slot: Option<u32>,
    /// Tokens to generate.
    pub predict: u32,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Tokens with their likeliest alternatives.
    pub steps: Vec<Step>,
    /// Prompt tokens that the server took from its cache.
    pub cached: u64,
}

impl Ask {
    /// Fresh, under the default.
    pub fn tokens(prompt: &[u32]) -> Ask {
        Ask { prompt: prompt.to_vec(), profile: None, cache: false, slot: None, predict: 6 }
    }

    /// The same, under a profile of its choice.
    #[must_use]
    pub fn under(&self, profile: &str) -> Ask {
        Ask { profile: Some(profile.to_owned()), ..self.clone() }
    }

    /// The same, with what the server has in its cache.
    #[must_use]
    pub fn warm(&self) -> Ask {
        Ask { cache: true, ..self.clone() }
    }

    /// The same, on one slot.
    #[must_use]
    pub fn on(&self, slot: u32) -> Ask {
        Ask { slot: Some(slot), ..self.clone() }
    }

    /// The body that is sent.
    pub fn body(&self) -> Value {
        // A server says nothing of tokens that end within a character.
        let bytes: Vec<Value> = (FIRST_HIGH_BYTE..FIRST_HIGH_BYTE + 128).map(|token| json!([token, false])).collect();
        let mut body = json!({
            "logit_bias": bytes,
            "prompt": self.prompt, "n_predict": self.predict, "n_probs": 20, "temperature": 0.0, "ignore_eos": true,
            "cache_prompt": self.cache, "seed": 1,
        });
        if let Some(profile) = &self.profile {
            body["dry_sequence_breakers"] = json!([format!("evenkeel={profile}")]);
        }
        if let Some(slot) = self.slot {
            body["id_slot"] = json!(slot);
        }
        body
    }

    /// Sends it.
    ///
    /// # Panics
    /// When the server refuses it or answers without probabilities.
    pub fn send(&self, server: &Server) -> Answer {
        let (answer, cached) = self.answer(server);
        Answer { steps: steps(&answer), cached }
    }

    /// Sends it to a server with a draft model: the answer, in which tokens that were drafted come without candidates, and the
    /// number of those.
    ///
    /// # Panics
    /// When the server refuses it or answers without probabilities.
    pub fn drafted(&self, server: &Server) -> (Answer, u64) {
        let (answer, cached) = self.answer(server);
        let accepted = answer["timings"]["draft_n_accepted"].as_u64().unwrap_or(0);
        (Answer { steps: drafted_steps(&answer), cached }, accepted)
    }

    fn answer(&self, server: &Server) -> (Value, u64) {
        let answer =
            server.post("/completion", &self.body()).unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
        let cached = answer["timings"]["cache_n"].as_u64().unwrap_or(0);
        (answer, cached)
    }
}

impl Answer {
    /// The tokens.
    pub fn tokens(&self) -> Vec<u64> {
        self.steps.iter().map(|step| step.token).collect()
    }

    /// The largest difference of a log-probability from another answer's, over candidates that both name; infinite where
    /// tokens differ.
    pub fn distance(&self, other: &Answer) -> f64 {
        if self.tokens() != other.tokens() {
            return f64::INFINITY;
        }
        let mut largest = 0.0f64;
        for (a, b) in self.steps.iter().zip(&other.steps) {
            for (token, p) in &a.candidates {
                if let Some((_, q)) = b.candidates.iter().find(|(t, _)| t == token) {
                    largest = largest.max((p - q).abs());
                }
            }
        }
        largest
    }
}

//! The likeliest tokens at a place, as servers list them.

use serde_json::Value;

/// Tokens as bytes, with the logarithms of their probabilities; the likeliest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed(Vec<(Vec<u8>, f64)>);

/// A token that a text begins with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Bytes of the text that it is.
    pub length: usize,
    pub logp: f64,
    /// It is the likeliest of all.
    pub best: bool,
}

impl Listed {
    /// From `logprobs` of a choice, in the form of chats (which llama-server gives on both endpoints) or of the older
    /// completions.
    pub fn read(logprobs: &Value) -> Option<Listed> {
        let mut all: Vec<(Vec<u8>, f64)> = if let Some(list) = logprobs["content"][0]["top_logprobs"].as_array() {
            let entry = |e: &Value| {
                let bytes: Option<Vec<u8>> =
                    e["bytes"].as_array().map(|b| b.iter().filter_map(|n| u8::try_from(n.as_u64()?).ok()).collect());
                let bytes = bytes.filter(|b| !b.is_empty());
                Some((bytes.or_else(|| Some(e["token"].as_str()?.as_bytes().to_vec()))?, e["logprob"].as_f64()?))
            };
            list.iter().filter_map(entry).collect()
        } else {
            let tokens = logprobs["top_logprobs"][0].as_object()?;
            tokens.iter().filter_map(|(token, p)| Some((token.as_bytes().to_vec(), p.as_f64()?))).collect()
        };
        // Tokens that read the same are one.
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|b, a| {
            let same = a.0 == b.0;
            if same {
                a.1 = (a.1.exp() + b.1.exp()).ln();
            }
            same
        });
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        (!all.is_empty()).then_some(Listed(all))
    }

    /// The longest listed token that the text begins with, as tokenizers mostly cut it. `loose`: white space before it does
    /// not matter.
    pub fn find(&self, text: &[u8], loose: bool) -> Option<Match> {
        let plain = |token: &'_ [u8]| if loose { token.trim_ascii_start().to_vec() } else { token.to_vec() };
        let fitting = self.0.iter().enumerate().filter_map(|(i, (token, logp))| {
            let token = plain(token);
            (!token.is_empty() && text.starts_with(&token)).then_some(Match {
                length: token.len(),
                logp: *logp,
                best: i == 0,
            })
        });
        fitting.reduce(|a, b| if b.length > a.length { b } else { a })
    }

    /// The logarithm of the probability of the last.
    pub fn least(&self) -> f64 {
        self.0.last().map_or(f64::NEG_INFINITY, |l| l.1)
    }

    /// Divergence of `other` from this, in nats, over the tokens that this one lists and all others as one token: at most
    /// that over all.
    pub fn divergence(&self, other: &Listed) -> f64 {
        let (mut sum, mut p_rest, mut q_rest) = (0.0, 1.0, 1.0);
        for (token, p) in &self.0 {
            // What the other does not list counts among the rest of both.
            if let Some((_, q)) = other.0.iter().find(|(t, _)| t == token) {
                sum += p.exp() * (p - q);
                p_rest -= p.exp();
                q_rest -= q.exp();
            }
        }
        let (p, q): (f64, f64) = (p_rest.max(0.0), q_rest.max(1e-12));
        if p > 1e-12 {
            sum += p * (p / q).ln();
        }
        sum.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_are_read_and_the_longest_token_counts() {
        let entry = |t: &str, p: f64| json!({ "token": t, "bytes": t.as_bytes(), "logprob": p });
        let chat =
            json!({ "content": [{ "top_logprobs": [entry(" sh", -0.5), entry(" she", -1.0), entry(" he", -2.0)] }] });
        let old = json!({ "top_logprobs": [{ " he": -2.0, " she": -1.0, " sh": -0.5 }] });
        let found = Listed::read(&chat).unwrap();
        assert_eq!(found, Listed::read(&old).unwrap());
        assert_eq!(found.find(b" she said", false), Some(Match { length: 4, logp: -1.0, best: false }));
        assert_eq!(found.find(b"sh", true), Some(Match { length: 2, logp: -0.5, best: true }));
        assert_eq!((found.find(b"she", false), found.least()), (None, -2.0));
        assert!(Listed::read(&json!(null)).is_none());
        let twice = json!({ "content": [{ "top_logprobs": [entry("a", 0.25f64.ln()), entry("a", 0.25f64.ln())] }] });
        assert!((Listed::read(&twice).unwrap().least() - 0.5f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn divergence_is_none_of_itself_and_never_more_than_the_real_one() {
        let p = [0.5f64, 0.3, 0.15, 0.05];
        let q = [0.4f64, 0.2, 0.1, 0.3];
        let real: f64 = p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum();
        let listed = |p: &[f64], n: usize| Listed((0..n).map(|i| (vec![b'a' + i as u8], p[i].ln())).collect());
        assert!(listed(&p, 3).divergence(&listed(&p, 3)).abs() < 1e-12);
        for n in 1..=4 {
            let found = listed(&p, n).divergence(&listed(&q, n));
            assert!(found > 0.0 && found <= real + 1e-9, "{n}: {found} {real}");
        }
    }
}

//! What is measured of an answer, and what steering costs elsewhere.

use evenkeel_ffi::host::{Model, Token};

use crate::{
    ask::Question,
    capture::Text,
    failure::Failure,
    logits::{divergence, log_softmax},
    neutral::spread,
};

/// A number for the distribution of the token after a text: higher is more like what follows positive texts.
pub enum Outcome {
    /// P(first) / (P(first) + P(second)) of two answers.
    Answers([String; 2]),
    /// The probabilities of the tokens by which the classes differ most in the plain model on the texts that are fitted,
    /// weighted so that the classes are 1 apart there.
    Contrast(Vec<(Token, f64)>),
}

/// Tokens that a contrast is made of.
const TOKENS: usize = 64;

/// The mean probabilities of the next token, by class.
pub struct Classes {
    sums: [Vec<f64>; 2],
    counts: [f64; 2],
}

impl Classes {
    pub fn new(n_vocab: usize) -> Classes {
        Classes { sums: [vec![0.0; n_vocab], vec![0.0; n_vocab]], counts: [0.0; 2] }
    }

    pub fn add(&mut self, positive: bool, logits: &[f32]) {
        let class = usize::from(!positive);
        self.counts[class] += 1.0;
        self.sums[class].iter_mut().zip(log_softmax(logits)).for_each(|(s, p)| *s += p.exp());
    }

    /// None where nothing differs.
    pub fn contrast(&self) -> Option<Outcome> {
        let mean = |class: usize, token: usize| self.sums[class][token] / self.counts[class].max(1.0);
        let mut apart: Vec<(Token, f64)> =
            (0..self.sums[0].len()).map(|t| (t as Token, mean(0, t) - mean(1, t))).collect();
        apart.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        apart.truncate(TOKENS);
        let scale: f64 = apart.iter().map(|(_, d)| d * d).sum();
        if scale.is_nan() || scale <= 1e-12 {
            return None;
        }
        apart.iter_mut().for_each(|(_, d)| *d /= scale);
        Some(Outcome::Contrast(apart))
    }
}

impl Outcome {
    /// The tokens of the answers after a text; nothing for a contrast.
    ///
    /// # Errors
    /// An answer of several tokens.
    pub fn tokens(&self, model: &Model, text: &[Token], source: &str) -> Result<Option<[Token; 2]>, Failure> {
        let Outcome::Answers(answers) = self else { return Ok(None) };
        let token = |answer: &String| {
            // Where it stands: some vocabularies put a space in front of every text.
            let whole = model.tokenize(&format!("{source}{answer}"), true)?;
            match whole.strip_prefix(text) {
                Some([token]) => Ok(*token),
                _ => Err(Failure::usage(format!("\"{answer}\" is not one token after \"{source}\" for this model"))
                    .todo("each answer must be one token; mostly it begins with a space")),
            }
        };
        Ok(Some([token(&answers[0])?, token(&answers[1])?]))
    }

    /// The number.
    pub fn of(&self, tokens: Option<[Token; 2]>, logits: &[f32]) -> f64 {
        match (self, tokens) {
            (Outcome::Contrast(weights), _) => {
                let p = log_softmax(logits);
                weights.iter().map(|(t, w)| w * p[*t as usize].exp()).sum()
            }
            (Outcome::Answers(_), Some([a, b])) => {
                let [a, b] = [a, b].map(|t| f64::from(logits[t as usize]));
                1.0 / (1.0 + (b - a).exp())
            }
            (Outcome::Answers(_), None) => f64::NAN,
        }
    }

    /// In words.
    pub fn describe(&self, model: &Model) -> String {
        match self {
            Outcome::Answers([a, b]) => format!("P(\"{a}\") / (P(\"{a}\") + P(\"{b}\")) after the text"),
            Outcome::Contrast(weights) => {
                let name = |(t, _): &(Token, f64)| format!("\"{}\"", model.text(&[*t]).escape_debug());
                let side = |sign: f64| {
                    let some: Vec<String> = weights.iter().filter(|(_, w)| w * sign > 0.0).take(4).map(name).collect();
                    if some.is_empty() { "nothing".to_owned() } else { some.join(", ") }
                };
                format!("what comes next: {} … against {} …", side(1.0), side(-1.0))
            }
        }
    }
}

/// Texts of one part, with what the plain model does on them.
pub struct Panel {
    pub questions: Vec<Question>,
    /// For each question that has an outcome (they come first): its example.
    pub examples: Vec<usize>,
    tokens: Vec<Option<[Token; 2]>>,
    /// The plain model's outcomes.
    pub plain: Vec<f64>,
    /// Log-probabilities of the plain model at each further place, in order.
    neutral: Vec<Vec<f32>>,
    /// Minus the log-probability that the plain model gives to what really comes next there, in nats.
    pub surprise: Vec<f64>,
    pub cluster: Vec<usize>,
}

/// What was measured under one profile.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// The outcome of each example of the panel.
    pub outcome: Vec<f64>,
    /// Divergence of the next token's distribution from the plain model's where it should not change, in nats.
    pub divergence: Vec<f64>,
    /// Minus the log-probability of what really comes next there, in nats.
    pub surprise: Vec<f64>,
}

/// Bytes of log-probabilities that a panel keeps.
const KEPT: usize = 64 << 20;
/// Places where a panel measures what steering costs, at most.
const PLACES: usize = 1024;

impl Panel {
    /// A panel of some examples. The cost is measured on `neutral` texts, or where there are none at the places inside the
    /// examples before their last token.
    pub fn new(
        model: &Model,
        outcome: &Outcome,
        texts: &[Text],
        members: &[usize],
        cluster: &[usize],
        neutral: &[(Vec<Token>, usize)],
    ) -> Result<Panel, Failure> {
        let mut panel = Panel {
            questions: Vec::new(),
            examples: members.to_vec(),
            tokens: Vec::new(),
            plain: Vec::new(),
            neutral: Vec::new(),
            surprise: Vec::new(),
            cluster: members.iter().map(|i| cluster[*i]).collect(),
        };
        let room = PLACES.min(KEPT / (4 * model.n_vocab().max(1)));
        let share = |texts: usize| room.div_ceil(texts.max(1));
        let each = if neutral.is_empty() { share(members.len()) } else { 0 };
        for i in members {
            let text = &texts[*i];
            let last = text.tokens.len().saturating_sub(1);
            let mut outputs = spread(0, last, each);
            outputs.push(last);
            let source = match outcome {
                Outcome::Answers(_) => model.text(&text.tokens),
                Outcome::Contrast(_) => String::new(),
            };
            panel.tokens.push(outcome.tokens(model, &text.tokens, &source)?);
            panel.questions.push(Question { tokens: text.tokens.clone(), outputs });
        }
        for (tokens, from) in neutral {
            let outputs = spread(*from, tokens.len() - 1, share(neutral.len()));
            panel.questions.push(Question { tokens: tokens.clone(), outputs });
        }
        Ok(panel)
    }

    /// Takes in what the plain model answers.
    pub fn see_plain(&mut self, outcome: &Outcome, question: usize, at: usize, logits: &[f32]) {
        if self.has_outcome(question, at) {
            self.plain.push(outcome.of(self.tokens[question], logits));
        } else {
            let p = log_softmax(logits);
            self.surprise.push(-p[self.next(question, at)]);
            self.neutral.push(p.into_iter().map(|p| p as f32).collect());
        }
    }

    /// Takes in what the steered model answers.
    pub fn see(&self, measured: &mut Measured, outcome: &Outcome, question: usize, at: usize, logits: &[f32]) {
        if self.has_outcome(question, at) {
            measured.outcome.push(outcome.of(self.tokens[question], logits));
        } else if let Some(plain) = self.neutral.get(measured.divergence.len()) {
            let p: Vec<f64> = plain.iter().map(|p| f64::from(*p)).collect();
            let q = log_softmax(logits);
            measured.surprise.push(-q[self.next(question, at)]);
            measured.divergence.push(divergence(&p, &q));
        }
    }

    /// The token that follows a place.
    fn next(&self, question: usize, at: usize) -> usize {
        let question = &self.questions[question];
        question.tokens.get(question.outputs[at] + 1).map_or(0, |t| *t as usize)
    }

    fn has_outcome(&self, question: usize, at: usize) -> bool {
        question < self.examples.len() && at + 1 == self.questions[question].outputs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contrast_puts_the_classes_one_apart() {
        let mut classes = Classes::new(4);
        let (a, b) = ([2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]);
        classes.add(true, &a);
        classes.add(false, &b);
        let outcome = classes.contrast().expect("they differ");
        assert!((outcome.of(None, &a) - outcome.of(None, &b) - 1.0).abs() < 1e-9);
        let mut same = Classes::new(4);
        same.add(true, &a);
        same.add(false, &a);
        assert!(same.contrast().is_none());
    }
}

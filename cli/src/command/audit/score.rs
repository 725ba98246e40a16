//! How likely a model finds the options of items.

use evenkeel_ffi::host::{Model, Plugin, Token};

use crate::{
    ask::{Question, ask_checked},
    failure::Failure,
    logits::log_softmax,
    session::Session,
    suite::{Item, Score},
};

/// How prompts are put.
#[derive(Debug, Clone, Default)]
pub struct Form {
    /// In the model's chat template.
    pub chat: bool,
    /// Before each prompt.
    pub instruction: Option<String>,
}

/// An item as the model reads it.
pub struct Prepared {
    questions: Vec<Question>,
    /// For each question: the option, and its tokens; or, where each option is one token, all of them.
    targets: Vec<Target>,
    /// Tokens of the longest.
    pub longest: usize,
}

enum Target {
    One { option: usize, tokens: Vec<Token> },
    Each(Vec<Token>),
}

impl Form {
    /// A prompt with the instruction before it.
    pub fn instructed(&self, prompt: &str) -> String {
        match &self.instruction {
            Some(text) => format!("{text}\n\n{prompt}"),
            None => prompt.to_owned(),
        }
    }

    /// A prompt as the model reads it.
    ///
    /// # Errors
    /// A chat template that is asked for and missing.
    pub fn prompt(&self, model: &Model, prompt: &str) -> Result<String, Failure> {
        let plain = self.instructed(prompt);
        match self.chat {
            true => model.chat(&plain).ok_or_else(|| {
                Failure::usage("this model has no chat template that llama.cpp knows").todo("leave out --chat")
            }),
            false => Ok(plain),
        }
    }

    /// Tokenizes an item.
    ///
    /// # Errors
    /// A chat template that is asked for and missing.
    pub fn prepare(&self, model: &Model, item: &Item) -> Result<Prepared, Failure> {
        let prompt = self.prompt(model, &item.prompt)?;
        let before = model.tokenize(&prompt, true)?;
        let option = |text: &String| -> Result<(Vec<Token>, usize), Failure> {
            let text = if self.chat { text.trim_start() } else { text };
            let whole = model.tokenize(&format!("{prompt}{text}"), true)?;
            // A token may reach over the end of the prompt.
            let same = before.iter().zip(&whole).take_while(|(a, b)| a == b).count();
            // The first token of all has nothing before it from which it could be foretold.
            Ok((whole, same.max(1)))
        };
        let options = item.options.iter().map(option).collect::<Result<Vec<_>, Failure>>()?;
        let longest = options.iter().map(|(whole, _)| whole.len()).max().unwrap_or(before.len());
        let single = !before.is_empty()
            && !options.is_empty()
            && options.iter().all(|(whole, from)| *from == before.len() && whole.len() == before.len() + 1);
        if single {
            let tokens = options.iter().filter_map(|(whole, _)| whole.last().copied()).collect();
            return Ok(Prepared {
                questions: vec![Question::next(before)],
                targets: vec![Target::Each(tokens)],
                longest,
            });
        }
        let (mut questions, mut targets) = (Vec::new(), Vec::new());
        for (option, (whole, from)) in options.into_iter().enumerate() {
            let tokens: Vec<Token> = whole.get(from..).unwrap_or_default().to_vec();
            let mut context = whole;
            context.pop();
            let outputs = (from - 1..from - 1 + tokens.len()).collect();
            questions.push(Question { tokens: context, outputs });
            targets.push(Target::One { option, tokens });
        }
        Ok(Prepared { questions, targets, longest })
    }
}

/// Scores prepared items in a context made now.
pub fn score(
    session: &Session,
    plugin: Option<&Plugin>,
    items: &[&Item],
    prepared: &[Prepared],
) -> Result<Vec<Score>, Failure> {
    let mut scores: Vec<Score> = items
        .iter()
        .map(|i| Score { logp: vec![0.0; i.options.len()], tokens: vec![1; i.options.len()], greedy: true, text: None })
        .collect();
    let at: Vec<(usize, usize)> =
        prepared.iter().enumerate().flat_map(|(i, p)| (0..p.questions.len()).map(move |q| (i, q))).collect();
    let questions: Vec<Question> = prepared.iter().flat_map(|p| p.questions.clone()).collect();
    for ((i, q), _) in at.iter().zip(&questions) {
        if let Target::One { option, tokens } = &prepared[*i].targets[*q] {
            scores[*i].tokens[*option] = tokens.len();
        }
    }
    ask_checked(session, plugin, &questions, |question, output, logits| {
        let (i, q) = at[question];
        let p = log_softmax(logits);
        let best = |token: Token| p[token as usize] >= p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let score = &mut scores[i];
        match &prepared[i].targets[q] {
            Target::Each(tokens) => {
                tokens.iter().enumerate().for_each(|(o, t)| score.logp[o] = p[*t as usize]);
                score.greedy = tokens.first().is_some_and(|t| best(*t));
            }
            Target::One { option, tokens } => {
                let token = tokens[output];
                score.logp[*option] += p[token as usize];
                if *option == 0 && !best(token) {
                    score.greedy = false;
                }
            }
        }
    })?;
    Ok(scores)
}

//! Texts as tokens, and the positions that are read.

use std::ops::Range;

use evenkeel_ffi::host::{HostError, Model, Token};

use crate::{
    examples::{Example, Examples, Kind},
    failure::Failure,
};

/// Which tokens are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum At {
    /// The last token: what the model is about to say.
    Last,
    /// The mean over all tokens but the first, on which attention rests and whose norm drowns the others.
    Mean,
    /// The mean over the answer: the tokens after the prompt.
    Answer,
}

/// One text as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub tokens: Vec<Token>,
    /// The positions that are read.
    pub read: Range<usize>,
}

/// Tokenizes all examples; those of more than `longest` tokens, and none at all, are left out of `examples`.
///
/// # Errors
/// A chat template that is asked for and missing; texts that llama.cpp refuses.
pub fn texts(model: &Model, examples: &mut Examples, at: At, chat: bool, longest: usize) -> Result<Vec<Text>, Failure> {
    if at == At::Answer && examples.all.iter().all(|e| e.prompt.is_empty()) {
        return Err(Failure::usage("--at answer: no example has a `prompt`, so nothing says where answers begin"));
    }
    let mut found = examples.all.iter().map(|e| text(model, e, at, chat)).collect::<Result<Vec<_>, Failure>>()?;
    let lengths: Vec<usize> = found.iter().map(|t| t.tokens.len()).collect();
    let unit = examples.unit();
    let fits = |i: usize| (1..=longest).contains(&lengths[i]);
    examples.leave_out(Kind::TooLong, |i, _| (!fits(i)).then(|| format!("{} tokens, at most {longest}", lengths[i])));
    let keep: Vec<bool> = (0..found.len()).map(|i| (i / unit * unit..i / unit * unit + unit).all(fits)).collect();
    let mut keep = keep.into_iter();
    found.retain(|_| keep.next().unwrap_or(false));
    Ok(found)
}

fn text(model: &Model, example: &Example, at: At, chat: bool) -> Result<Text, Failure> {
    let templated = |text: &str| {
        model.chat(text).ok_or_else(|| {
            Failure::usage("this model has no chat template that llama.cpp knows").todo("leave out --chat")
        })
    };
    let (before, whole) = match (chat, example.prompt.is_empty()) {
        (false, _) => (example.prompt.clone(), format!("{}{}", example.prompt, example.text)),
        (true, true) => (String::new(), templated(&example.text)?),
        (true, false) => {
            let before = templated(&example.prompt)?;
            let whole = format!("{before}{}", example.text);
            (before, whole)
        }
    };
    let named = |e: HostError| Failure::new(format!("{}:{}: {e}", example.origin.file.display(), example.origin.line));
    let tokens = model.tokenize(&whole, true).map_err(named)?;
    let n = tokens.len();
    let read = match at {
        At::Last => n.saturating_sub(1)..n,
        At::Mean => usize::from(n > 1)..n,
        At::Answer => {
            let before = model.tokenize(&before, true).map_err(named)?;
            // A token may reach over the end of the prompt: what both have in common is the prompt.
            let same = before.iter().zip(&tokens).take_while(|(a, b)| a == b).count();
            same.min(n.saturating_sub(1))..n
        }
    };
    Ok(Text { tokens, read })
}

//! `run`: the same prompt without and with a profile, side by side.

mod compare;
mod generate;
mod show;

use evenkeel_ffi::host::Token;

use self::generate::{Generated, Sampling, generate};
use super::check;
use crate::{
    args,
    failure::{Failure, Outcome, Verdict},
    screen,
    session::{self, Session},
    stats::Stats,
};

pub fn main(args: &args::Run, json: bool) -> Outcome {
    session::start_clean(&args.host)?;
    let profile = session::profile_path(&args.profile)?;
    let text = prompt(&args.prompt)?;
    // Mistakes in the profile are told before minutes of generating.
    if let Err(verdict) = check::plan(&profile, &args.model, json)? {
        return Ok(verdict);
    }
    let session = Session::open(&args.host, &args.model)?;
    let text = match args.chat {
        true => session.model.chat(&text).ok_or_else(|| {
            Failure::usage("this model has no chat template that llama.cpp knows").todo("leave out --chat")
        })?,
        false => text,
    };
    let prompt = session.model.tokenize(&text, true)?;
    if prompt.is_empty() {
        return Err(Failure::usage("the prompt is empty").todo("give one with --prompt TEXT or --file FILE"));
    }
    let n = args.n as usize;
    let most = most_tokens(session.model.n_vocab());
    if n > most {
        return Err(Failure::usage(format!(
            "-n {n}: the probabilities of all tokens at each step take too much memory"
        ))
        .todo(format!("at most {most} for a vocabulary of {} tokens", session.model.n_vocab())));
    }
    let sampling = match args.temperature {
        None => Sampling::Greedy,
        Some(temperature) => Sampling::Random { temperature, seed: args.seed },
    };
    let progress = screen::progress(2 * n as u64, "without the profile");
    // Made before the plug-in is loaded: this context is what the program would be without it.
    let mut plain = session.context(prompt.len() + n)?;
    let without = generate(&mut plain, &prompt, n, sampling, &progress)?;
    drop(plain);

    progress.set_message("with the profile");
    let plugin = session.plugin()?;
    let folder = tempfile::tempdir().map_err(Failure::new)?;
    plugin.load_profile(Some(&session::alone(&profile, folder.path())?))?;
    let mut steered = session.context(prompt.len() + n)?;
    let with = generate(&mut steered, &prompt, n, sampling, &progress)?;
    progress.finish_and_clear();

    let stats = Stats::of(&plugin)?;
    let report = compare::compare(&session.model, &text, &without, &with, args.top as usize, stats);
    if json {
        screen::json(&report);
    } else {
        show::show(&report);
    }
    Ok(if report.problems.is_empty() { Verdict::Good } else { Verdict::Bad })
}

/// The most tokens to generate: both texts keep an F64 per token of the vocabulary and step, 4 GiB in all.
fn most_tokens(n_vocab: usize) -> usize {
    (4 << 30) / (2 * size_of::<f64>() * n_vocab.max(1))
}

fn prompt(prompt: &args::Prompt) -> Result<String, Failure> {
    match (&prompt.prompt, &prompt.file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(file)) => {
            std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("prompt {}: {e}", file.display())))
        }
        (None, None) => Ok("Once upon a time".into()),
    }
}

/// The first place where two texts differ: an index into the generated tokens.
fn first_difference(a: &Generated, b: &Generated) -> Option<usize> {
    let same = a.tokens.iter().zip(&b.tokens).take_while(|(x, y)| x == y).count();
    let shorter = |g: &Generated| same == g.tokens.len();
    (!(shorter(a) && shorter(b))).then_some(same)
}

/// A token of a generated text, if it goes so far.
fn token(g: &Generated, at: usize) -> Option<Token> {
    g.tokens.get(at).copied()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_large_vocabulary_leaves_room_for_fewer_tokens() {
        assert_eq!(super::most_tokens(32_768), 8192);
        assert!(super::most_tokens(262_144) >= 1024 && super::most_tokens(0) > 65536);
    }
}

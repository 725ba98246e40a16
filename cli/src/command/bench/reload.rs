//! A reload while an answer is generated: what it holds up, and that it changes nothing that has begun.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use evenkeel_ffi::host::{Context, ContextOptions, HostError, Outputs, Plugin, PluginError, Token};
use indicatif::ProgressBar;

use super::{
    library::{self, Library, write, write_vector},
    report::ReloadReport,
    statistics::{estimate, median},
};
use crate::failure::Failure;

/// Tokens of a prompt.
const PROMPT: usize = 16;
/// Tokens of the answer that is under way.
const ANSWER: usize = 28;
/// The step at which the file changes and is read, on another thread.
const CHANGE: usize = 4;
/// The step by which it is read at the latest: where steps are short, the generation waits here, which is no pause of a step.
const READ: usize = 16;
/// The step at which the next request comes, which the first one's answer still goes on beside.
const NEXT: usize = 22;
/// Tokens of its answer.
const NEXT_ANSWER: usize = 4;

/// What one generation gave.
#[derive(Default)]
struct Generated {
    tokens: Vec<Token>,
    /// Milliseconds of each step.
    steps: Vec<f64>,
    /// The beginning of the next request's answer.
    next: Vec<Token>,
}

/// The context, and two profiles that take turns in one file.
struct Bed<'a> {
    context: Context,
    plugin: &'a Plugin,
    file: PathBuf,
    prompt: Vec<Token>,
}

/// One reload for each pair, and beside it the same generation without one.
pub fn measure(library: &Library, pairs: usize, bar: &ProgressBar) -> Result<ReloadReport, Failure> {
    bar.set_message("reload");
    let folder = library::folder()?;
    for (side, seed) in [(0, 300), (1, 400)] {
        // Stronger than elsewhere: the two profiles have to give different answers.
        write_vector(folder.path().join(vector(side)), &library.vector(seed).scaled(20.0))?;
    }
    let file = folder.path().join("reloaded.toml");
    change(&file, 0)?;
    // Two sequences with cells of their own, so that neither moves the other's last bits.
    let options = ContextOptions { n_ctx: 2 * 256, n_seq_max: 2, ..library.session.options(2 * 256) };
    let context = library.context(Some(&file), &options)?;
    let n_vocab = library.session.model.n_vocab();
    let prompt = (0..PROMPT).map(|i| (4 + i * 7919 % n_vocab.saturating_sub(8).max(1)) as Token).collect();
    let mut bed = Bed { context, plugin: library.plugin()?, file, prompt };

    let mut expected = Vec::new();
    for side in [1, 0] {
        change(&bed.file, side)?;
        bed.plugin.reload()?;
        expected.insert(0, bed.generate(None)?.tokens);
    }
    if expected[0][..NEXT_ANSWER] == expected[1][..NEXT_ANSWER] {
        return Err(Failure::new("the two profiles of the reload give the same answer: nothing can be told apart"));
    }
    let (mut pauses, mut quiet, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    let (mut answers_kept, mut next_new, mut failed, mut why) = (0, 0, 0, None);
    for pair in 0..=pairs {
        let (now, then) = (pair % 2, (pair + 1) % 2);
        let without = bed.generate(None)?;
        let with = bed.generate(Some(then));
        bar.inc(1);
        // The first pair warms up.
        if pair == 0 {
            with?;
            continue;
        }
        match with {
            Ok(with) => {
                pauses.push(pause(&with.steps));
                answers_kept += usize::from(with.tokens == expected[now] && without.tokens == expected[now]);
                next_new += usize::from(with.next[..] == expected[then][..NEXT_ANSWER]);
            }
            Err(e) => {
                failed += 1;
                why.get_or_insert(e.to_string());
                // The next pair begins under the profile that it believes to be in force.
                change(&bed.file, then)?;
                bed.plugin.reload()?;
            }
        }
        quiet.push(pause(&without.steps));
        steps.extend(without.steps);
    }
    Ok(ReloadReport {
        reloads: pairs,
        pause_ms: estimate(&pauses),
        without_ms: estimate(&quiet),
        longest_ms: pauses.iter().copied().fold(0.0, f64::max),
        step_ms: median(&mut steps),
        answers_kept,
        next_new,
        failed,
        why,
    })
}

/// The longest step from the reload on, beyond the median step.
fn pause(steps: &[f64]) -> f64 {
    let longest = steps[CHANGE..].iter().copied().fold(0.0, f64::max);
    longest - median(&mut steps.to_vec())
}

fn vector(side: usize) -> String {
    format!("side-{side}.gguf")
}

/// The profile that is in the file from now on; it is replaced in one step.
fn change(file: &Path, side: usize) -> Result<(), Failure> {
    let rule = format!("[[steer]]\nname = \"rule\"\ndirection = \"{}\"\noperator = \"add\"\n", vector(side));
    let new = write(file.with_extension("new"), format!("schema = 1\nname = \"reloaded\"\n{rule}"))?;
    std::fs::rename(&new, file).map_err(|e| Failure::new(format!("{} cannot be replaced: {e}", file.display())))
}

impl Bed<'_> {
    /// Generates an answer from an empty context; `other`: the profile that comes into force meanwhile.
    fn generate(&mut self, other: Option<usize>) -> Result<Generated, Failure> {
        let Bed { context, plugin, file, prompt } = self;
        let plugin: &Plugin = plugin;
        context.clear();
        let mut token = feed(context, prompt, 0, 0)?;
        let (mut made, mut next) = (Generated::default(), None);
        std::thread::scope(|scope| {
            let mut reading: Option<std::thread::ScopedJoinHandle<Result<(), PluginError>>> = None;
            for step in 0..ANSWER {
                if let Some(other) = other {
                    if step == CHANGE {
                        change(file, other)?;
                        reading = Some(scope.spawn(|| plugin.reload()));
                    }
                    if step == READ
                        && let Some(reading) = reading.take()
                    {
                        reading.join().map_err(|_| Failure::new("the reading thread ended with a panic"))??;
                    }
                    if step >= NEXT && made.next.len() < NEXT_ANSWER {
                        let said = match next {
                            None => feed(context, prompt, 0, 1)?,
                            Some(token) => feed(context, &[token], PROMPT + made.next.len() - 1, 1)?,
                        };
                        made.next.push(said);
                        next = Some(said);
                    }
                }
                made.tokens.push(token);
                let start = Instant::now();
                token = feed(context, &[token], PROMPT + step, 0)?;
                made.steps.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(made)
        })
    }
}

/// Evaluates tokens of a sequence, and takes the likeliest next one.
fn feed(context: &mut Context, tokens: &[Token], pos: usize, seq: i32) -> Result<Token, Failure> {
    context.decode(tokens, pos, seq, Outputs::Last)?;
    let row = context.logits(-1).ok_or(HostError::Decode { code: -1 })?;
    let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    Ok(best.map_or(0, |(token, _)| token as Token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_the_longest_step_after_the_change() {
        let mut steps = vec![10.0; ANSWER];
        steps[CHANGE - 1] = 500.0;
        assert_eq!(pause(&steps), 0.0);
        steps[CHANGE] = 35.0;
        assert_eq!(pause(&steps), 25.0);
    }
}

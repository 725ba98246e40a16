//! Asks a model many texts at once, plain or under a profile, as a server would run it.

use std::path::Path;

use evenkeel_ffi::host::{Context, Plugin, Row, Token};

use crate::{
    capture::{Batch, TOGETHER, batch_options, batches, most_outputs},
    failure::Failure,
    session::Session,
    stats::Stats,
};

/// One text, and the positions after which the next token's logits are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub tokens: Vec<Token>,
    /// Ascending.
    pub outputs: Vec<usize>,
}

impl Question {
    /// One that wants the token after the last.
    pub fn next(tokens: Vec<Token>) -> Question {
        let last = tokens.len().saturating_sub(1);
        Question { tokens, outputs: vec![last] }
    }
}

/// Evaluates the questions in a context made now, so that the profile in force acts. `see` gets the number of the
/// question, the place in its `outputs`, and the logits.
pub fn ask(
    session: &Session,
    questions: &[Question],
    see: impl FnMut(usize, usize, &[f32]),
) -> Result<Context, Failure> {
    ask_by(session, TOGETHER, questions, see)
}

/// The same with `together` questions in a batch at most.
pub fn ask_by(
    session: &Session,
    together: usize,
    questions: &[Question],
    mut see: impl FnMut(usize, usize, &[f32]),
) -> Result<Context, Failure> {
    let longest = questions.iter().map(|q| q.tokens.len()).max().unwrap_or(1);
    let mut context = Context::new(&session.model, &batch_options(session, longest, together))?;
    let lengths: Vec<(usize, usize)> = questions.iter().map(|q| (q.tokens.len(), q.outputs.len())).collect();
    let most = most_outputs(session.model.n_vocab(), longest);
    for Batch { texts } in batches(&lengths, context.n_batch(), together, most) {
        let rows: Vec<Row> = texts
            .iter()
            .enumerate()
            .flat_map(|(seq, i)| {
                let question = &questions[*i];
                question.tokens.iter().enumerate().map(move |(pos, token)| Row {
                    token: *token,
                    pos: pos as i32,
                    seq: seq as i32,
                    output: question.outputs.binary_search(&pos).is_ok(),
                })
            })
            .collect();
        context.clear();
        context.decode_rows(&rows)?;
        let mut first = 0;
        for i in texts {
            for (at, pos) in questions[i].outputs.iter().enumerate() {
                let row = (first + pos) as i32;
                let logits = context.logits(row).ok_or_else(|| Failure::new("llama.cpp gave no logits"))?;
                see(i, at, logits);
            }
            first += questions[i].tokens.len();
        }
    }
    Ok(context)
}

/// The same under the profile in force, if there is a plug-in; what makes it worth less than it looks is an error.
pub fn ask_checked(
    session: &Session,
    plugin: Option<&Plugin>,
    questions: &[Question],
    see: impl FnMut(usize, usize, &[f32]),
) -> Result<(), Failure> {
    checked(plugin, ask(session, questions, see)?)
}

/// The same under a profile that is loaded for it.
pub fn ask_under(
    session: &Session,
    plugin: &Plugin,
    profile: &Path,
    questions: &[Question],
    see: impl FnMut(usize, usize, &[f32]),
) -> Result<(), Failure> {
    ask_under_by(session, plugin, profile, TOGETHER, questions, see)
}

/// The same with `together` questions in a batch at most.
pub fn ask_under_by(
    session: &Session,
    plugin: &Plugin,
    profile: &Path,
    together: usize,
    questions: &[Question],
    see: impl FnMut(usize, usize, &[f32]),
) -> Result<(), Failure> {
    plugin.load_profile(Some(profile))?;
    let asked = ask_by(session, together, questions, see).and_then(|context| checked(Some(plugin), context));
    plugin.load_profile(None)?;
    asked
}

/// What the plug-in says of the context, which has to live until it was asked.
fn checked(plugin: Option<&Plugin>, context: Context) -> Result<(), Failure> {
    let problems = plugin.map(|p| Ok::<_, Failure>(Stats::of(p)?.problems())).transpose()?.unwrap_or_default();
    drop(context);
    if problems.is_empty() { Ok(()) } else { Err(Failure::new(problems.join("; "))) }
}

//! Lets a model write: several texts at once, as a server would.

use evenkeel_ffi::host::{Context, Plugin, Row, Token};
use evenkeel_model::Random;

use crate::{
    capture::{Batch, TOGETHER, batches},
    failure::Failure,
    logits::{draw, top},
    session::Session,
    stats::Stats,
};

/// What is continued.
#[derive(Debug, Clone)]
pub struct Draft {
    pub tokens: Vec<Token>,
    /// Tokens to write, at most.
    pub most: usize,
    /// Tokens are drawn at temperature 1 with random numbers of this name; None: the likeliest each time.
    pub random: Option<String>,
}

impl Draft {
    /// One that is continued with the likeliest tokens.
    pub fn likeliest(tokens: Vec<Token>, most: usize) -> Draft {
        Draft { tokens, most, random: None }
    }
}

/// Cells of a context, unless one text needs more.
const CELLS: usize = 4096;
/// Rows that are evaluated at once.
const ROWS: u32 = 512;

struct Pen {
    draft: usize,
    next: Token,
    random: Option<Random>,
    done: bool,
}

/// Continues texts in a context made now, so that the profile in force acts. What makes it worth less than it looks is an
/// error.
pub fn write(session: &Session, plugin: Option<&Plugin>, drafts: &[Draft]) -> Result<Vec<String>, Failure> {
    let lengths: Vec<(usize, usize)> = drafts.iter().map(|d| (d.tokens.len() + d.most, 1)).collect();
    let cells = lengths.iter().map(|l| l.0).max().unwrap_or(1).max(CELLS);
    let options = session.options(cells);
    let options = evenkeel_ffi::host::ContextOptions {
        n_batch: options.n_ctx,
        n_ubatch: ROWS,
        n_seq_max: TOGETHER as u32,
        kv_unified: true,
        ..options
    };
    let mut context = Context::new(&session.model, &options)?;
    let mut written: Vec<Vec<Token>> = vec![Vec::new(); drafts.len()];
    for Batch { texts } in batches(&lengths, cells, TOGETHER, TOGETHER) {
        together(session, &mut context, drafts, &texts, &mut written)?;
    }
    let problems = plugin.map(|p| Ok::<_, Failure>(Stats::of(p)?.problems())).transpose()?.unwrap_or_default();
    if !problems.is_empty() {
        return Err(Failure::new(problems.join("; ")));
    }
    Ok(written.iter().map(|tokens| session.model.text(tokens)).collect())
}

fn together(
    session: &Session,
    context: &mut Context,
    drafts: &[Draft],
    texts: &[usize],
    written: &mut [Vec<Token>],
) -> Result<(), Failure> {
    let row =
        |seq: usize, token: Token, pos: usize, output: bool| Row { token, pos: pos as i32, seq: seq as i32, output };
    let random = |d: &Draft| d.random.as_ref().map(|name| Random::named(1, name));
    let mut pens: Vec<Pen> = texts
        .iter()
        .map(|i| Pen { draft: *i, next: 0, random: random(&drafts[*i]), done: drafts[*i].most == 0 })
        .collect();
    context.clear();
    let mut rows = Vec::new();
    for (seq, i) in texts.iter().enumerate() {
        let tokens = &drafts[*i].tokens;
        rows.extend(tokens.iter().enumerate().map(|(pos, t)| row(seq, *t, pos, pos + 1 == tokens.len())));
    }
    while !rows.is_empty() {
        context.decode_rows(&rows)?;
        let outputs: Vec<(usize, usize)> =
            rows.iter().enumerate().filter(|(_, r)| r.output).map(|(at, r)| (at, r.seq as usize)).collect();
        for (at, seq) in outputs {
            let logits = context.logits(at as i32).ok_or_else(|| Failure::new("llama.cpp gave no logits"))?;
            let pen = &mut pens[seq];
            pen.next = match &mut pen.random {
                Some(random) => draw(logits, 1.0, (random.bits() >> 11) as f64 / (1u64 << 53) as f64),
                None => {
                    let wide: Vec<f64> = logits.iter().map(|l| f64::from(*l)).collect();
                    top(&wide, 1).first().copied().unwrap_or(0)
                }
            };
        }
        rows.clear();
        for (seq, pen) in pens.iter_mut().enumerate().filter(|(_, p)| !p.done) {
            let (draft, own) = (&drafts[pen.draft], &mut written[pen.draft]);
            pen.done = session.model.is_end(pen.next);
            if !pen.done {
                own.push(pen.next);
                pen.done = own.len() == draft.most;
            }
            if !pen.done {
                rows.push(row(seq, pen.next, draft.tokens.len() + own.len() - 1, true));
            }
        }
    }
    Ok(())
}

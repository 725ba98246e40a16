//! Residual streams of many texts: evaluated in batches, all layers in one pass, kept on disk.

mod batch;
mod store;
mod tokens;

use std::path::Path;

use evenkeel_ffi::host::{Capture, HostError, Row};

pub use batch::{Batch, TOGETHER, batches, most_outputs, options as batch_options};
pub use store::Store;
pub use tokens::{At, Text, texts};

use crate::{failure::Failure, screen, session::Session};

/// Captures the residual stream of each text at its position, after each layer. `n_ctx`: the longest text.
///
/// # Errors
/// What llama.cpp refuses; a disk that is full.
pub fn capture(session: &Session, texts: &[Text], path: Option<&Path>, metadata: &Metadata) -> Result<Store, Failure> {
    tried(session, texts, path, metadata, false)
}

/// The same, and as a last layer what the output matrix reads.
///
/// # Errors
/// As [`capture`].
pub fn capture_to_the_end(session: &Session, texts: &[Text], metadata: &Metadata) -> Result<Store, Failure> {
    tried(session, texts, None, metadata, true)
}

fn tried(
    session: &Session,
    texts: &[Text],
    path: Option<&Path>,
    metadata: &Metadata,
    to_the_end: bool,
) -> Result<Store, Failure> {
    match attempt(session, texts, path, metadata, batch::TOGETHER, to_the_end) {
        // Recurrent models regroup the rows of several sequences.
        Err(Refused::Host(HostError::Capture { .. })) => attempt(session, texts, path, metadata, 1, to_the_end),
        other => other,
    }
    .map_err(Failure::from)
}

/// What a saved file says about itself.
#[derive(Debug, Clone, Default)]
pub struct Metadata(pub Vec<(String, String)>);

/// Why a capture failed.
enum Refused {
    Host(HostError),
    Other(Failure),
}

impl From<HostError> for Refused {
    fn from(error: HostError) -> Self {
        Refused::Host(error)
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Refused::Other(Failure::new(format!("the captured activations cannot be kept: {error}")))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match refused {
            Refused::Host(error) => error.into(),
            Refused::Other(failure) => failure,
        }
    }
}

fn attempt(
    session: &Session,
    texts: &[Text],
    path: Option<&Path>,
    metadata: &Metadata,
    together: usize,
    to_the_end: bool,
) -> Result<Store, Refused> {
    let model = &session.model;
    let longest = texts.iter().map(|t| t.tokens.len()).max().unwrap_or(1);
    let options = batch::options(session, longest, together);
    let mut context = if to_the_end { Capture::to_the_end(model, &options)? } else { Capture::new(model, &options)? };
    let (layers, width) = (model.n_layer() + usize::from(to_the_end), model.n_embd());
    let mut store = Store::new(path, texts.len(), layers, width, metadata)?;
    let most = batch::most_outputs(model.n_vocab(), longest);
    let lengths: Vec<(usize, usize)> = texts.iter().map(|t| (t.tokens.len(), t.read.len())).collect();
    let bar = screen::progress(texts.iter().map(|t| t.tokens.len() as u64).sum(), "capturing");
    let mut mean = vec![0f64; width];
    for Batch { texts: part } in batches(&lengths, context.n_batch(), together, most) {
        let rows: Vec<Row> = part
            .iter()
            .enumerate()
            .flat_map(|(seq, i)| {
                let text = &texts[*i];
                text.tokens.iter().enumerate().map(move |(pos, token)| Row {
                    token: *token,
                    pos: pos as i32,
                    seq: seq as i32,
                    output: text.read.contains(&pos),
                })
            })
            .collect();
        context.clear();
        let read = context.read(&rows)?;
        for (layer, values) in read.iter().enumerate() {
            let Some(values) = values else { continue };
            let mut at = 0;
            for i in &part {
                let n = texts[*i].read.len();
                let own = &values[at * width..(at + n) * width];
                at += n;
                if n == 1 {
                    store.put(layer, *i, own)?;
                    continue;
                }
                mean.fill(0.0);
                for row in own.chunks_exact(width) {
                    mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x));
                }
                let row: Vec<f32> = mean.iter().map(|m| (m / n as f64) as f32).collect();
                store.put(layer, *i, &row)?;
            }
        }
        bar.inc(rows.len() as u64);
    }
    bar.finish_and_clear();
    store.finish()?;
    Ok(store)
}

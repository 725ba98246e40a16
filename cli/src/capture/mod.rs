//! Residual streams of many texts: evaluated in batches, all layers in one pass, kept on disk.

mod batch;
mod store;
mod tokens;

use std::path::Path;

use evenkeel_ffi::host::{Capture, Plugin, Row};

pub use batch::{Batch, TOGETHER, batches, most_outputs, options as batch_options};
pub use store::Store;
pub use tokens::{At, Text, texts};

use crate::{failure::Failure, screen, session::Session};

/// Captures the residual stream of each text at its position, after each layer, in batches, through the plug-in's hook and under
/// the profile that is in force. `path`: where it is kept.
///
/// # Errors
/// What llama.cpp or the plug-in refuses; a disk that is full.
pub fn capture(
    (session, plugin): (&Session, &Plugin),
    texts: &[Text],
    path: Option<&Path>,
    metadata: &Metadata,
) -> Result<Store, Failure> {
    captured((session, plugin), texts, path, metadata, false)
}

/// The same, and as a last layer what the output matrix reads.
///
/// # Errors
/// As [`capture`].
pub fn capture_to_the_end((session, plugin): (&Session, &Plugin), texts: &[Text]) -> Result<Store, Failure> {
    captured((session, plugin), texts, None, &Metadata::default(), true)
}

/// What a saved file says about itself.
#[derive(Debug, Clone, Default)]
pub struct Metadata(pub Vec<(String, String)>);

fn captured(
    (session, plugin): (&Session, &Plugin),
    texts: &[Text],
    path: Option<&Path>,
    metadata: &Metadata,
    to_the_end: bool,
) -> Result<Store, Failure> {
    let kept = |error: std::io::Error| Failure::new(format!("the captured activations cannot be kept: {error}"));
    let model = &session.model;
    let longest = texts.iter().map(|t| t.tokens.len()).max().unwrap_or(1);
    let mut context = Capture::new(plugin, model, &batch::options(session, longest, TOGETHER))?;
    let (layers, width) = (model.n_layer() + usize::from(to_the_end), model.n_embd());
    let mut store = Store::new(path, texts.len(), layers, width, metadata).map_err(kept)?;
    let most = batch::most_outputs(model.n_vocab(), longest);
    let lengths: Vec<(usize, usize)> = texts.iter().map(|t| (t.tokens.len(), t.read.len())).collect();
    let bar = screen::progress(texts.iter().map(|t| t.tokens.len() as u64).sum(), "capturing");
    let mut mean = vec![0f64; width];
    for Batch { texts: part } in batches(&lengths, context.n_batch(), TOGETHER, most) {
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
        for (layer, values) in read.iter().enumerate().take(layers) {
            let Some(values) = values else { continue };
            let mut at = 0;
            for i in &part {
                let n = texts[*i].read.len();
                let own = &values[at * width..(at + n) * width];
                at += n;
                if n == 1 {
                    store.put(layer, *i, own).map_err(kept)?;
                    continue;
                }
                mean.fill(0.0);
                for row in own.chunks_exact(width) {
                    mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x));
                }
                let row: Vec<f32> = mean.iter().map(|m| (m / n as f64) as f32).collect();
                store.put(layer, *i, &row).map_err(kept)?;
            }
        }
        bar.inc(rows.len() as u64);
    }
    bar.finish_and_clear();
    store.finish().map_err(kept)?;
    Ok(store)
}

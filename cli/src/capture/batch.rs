//! Which texts are evaluated together.

use evenkeel_ffi::host::ContextOptions;

use crate::session::Session;

/// Sequences in one batch.
pub const TOGETHER: usize = 32;

/// Rows in one batch, unless one text is longer.
const ROWS: usize = 512;

/// Bytes of logits that llama.cpp may keep for one batch.
const LOGITS: usize = 256 << 20;

/// Texts that are evaluated at once, by number.
pub struct Batch {
    pub texts: Vec<usize>,
}

/// Rows with an output that one batch may have: llama.cpp keeps a vector of logits for each.
pub fn most_outputs(n_vocab: usize, longest: usize) -> usize {
    (LOGITS / (4 * n_vocab.max(1))).max(longest)
}

/// A context for texts of up to `longest` tokens, `together` of them in a batch.
pub fn options(session: &Session, longest: usize, together: usize) -> ContextOptions {
    let rows = longest.max(ROWS);
    let options = session.options(rows);
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    ContextOptions { n_batch: rows, n_ubatch: rows, n_seq_max: together as u32, kv_unified: true, ..options }
}

/// Packs texts, given as (tokens, outputs), in their order: no batch has more than `rows` tokens, `together` texts or
/// `outputs` outputs. A text with more tokens than `rows` is a batch of its own.
pub fn batches(lengths: &[(usize, usize)], rows: usize, together: usize, outputs: usize) -> Vec<Batch> {
    let mut all: Vec<Batch> = Vec::new();
    let mut have = (0, 0);
    for (i, (tokens, read)) in lengths.iter().enumerate() {
        let full = |b: &Batch| b.texts.len() == together || have.0 + tokens > rows || have.1 + read > outputs;
        match all.last_mut() {
            Some(batch) if !full(batch) => {
                batch.texts.push(i);
                have = (have.0 + tokens, have.1 + read);
            }
            _ => {
                all.push(Batch { texts: vec![i] });
                have = (*tokens, *read);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_text_once_and_no_limit_is_crossed() {
        let lengths: Vec<(usize, usize)> = (0..200).map(|i| (1 + i * 7 % 60, 1 + i % 5)).collect();
        let all = batches(&lengths, 100, 6, 12);
        let texts: Vec<usize> = all.iter().flat_map(|b| b.texts.clone()).collect();
        assert_eq!(texts, (0..200).collect::<Vec<_>>());
        for batch in &all {
            let sum = |of: fn(&(usize, usize)) -> usize| batch.texts.iter().map(|i| of(&lengths[*i])).sum::<usize>();
            assert!(batch.texts.len() <= 6 && sum(|l| l.0) <= 100 && sum(|l| l.1) <= 12);
        }
        assert_eq!(batches(&[(500, 1)], 100, 6, 12).len(), 1);
    }
}

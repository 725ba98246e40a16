//! The rows of a micro-batch, from the struct that llama.cpp passes to its own function.
//!
//! `llama_ubatch` is llama.cpp's own business. Its first members have been the same for long but for one: later versions
//! have a further array of embeddings before the positions. Which it is shows in the first micro-batch of tokens, where
//! that array is absent and positions are not. All numbers are checked for sense, and tokens and positions are compared
//! with the graph's own inputs before it is evaluated.

use std::sync::atomic::{AtomicU8, Ordering};

use evenkeel_core::sequence::{EMBEDDED_TOKEN, UNKNOWN_TOKEN};
use evenkeel_ffi::generated::types::llama_batch;

use crate::state::RawRow;

/// The first members of `llama_ubatch`.
#[repr(C)]
struct Head {
    equal_seqs: u32,
    n_tokens: u32,
    n_seq_tokens: u32,
    n_seqs: u32,
    n_seqs_unq: u32,
    n_pos: u32,
    token: *const i32,
    embd: *const f32,
    /// In later versions further embeddings, else already the positions.
    next: *const i32,
}

/// Those that follow.
#[repr(C)]
struct Tail {
    pos: *const i32,
    n_seq_id: *const i32,
    seq_id: *const *const i32,
    _seq_id_unq: *const i32,
    _seq_idx: *const i32,
    output: *const i8,
}

/// Where a llama.cpp has the positions, once it is known.
#[derive(Default)]
pub struct Layout(AtomicU8);

const UNKNOWN: u8 = 0;
const POSITIONS_NEXT: u8 = 1;
const POSITIONS_LATER: u8 = 2;

/// More rows than any batch has.
const MAX_ROWS: u32 = 1 << 20;
/// More sequences than llama.cpp has.
const MAX_SEQ: i32 = 1 << 16;

impl Layout {
    fn of(&self, head: &Head) -> u8 {
        let known = self.0.load(Ordering::Relaxed);
        if known != UNKNOWN || head.token.is_null() || !head.embd.is_null() {
            return known;
        }
        let found = if head.next.is_null() { POSITIONS_LATER } else { POSITIONS_NEXT };
        self.0.store(found, Ordering::Relaxed);
        found
    }
}

/// Reads the rows; `None` if this is no micro-batch as it is known here.
///
/// # Safety
/// `ubatch` is what the host passes to `llama_context::process_ubatch`; `layout` is that of its llama.cpp.
pub unsafe fn read(layout: &Layout, ubatch: usize) -> Option<Vec<RawRow>> {
    if ubatch == 0 || !ubatch.is_multiple_of(align_of::<Head>()) {
        return None;
    }
    // SAFETY: the caller's promise; arrays have as many elements as the members say, if they make sense.
    unsafe {
        let head = &*(ubatch as *const Head);
        let tail = match layout.of(head) {
            POSITIONS_NEXT => std::mem::offset_of!(Head, next),
            POSITIONS_LATER => size_of::<Head>(),
            _ => return None,
        };
        let tail = &*((ubatch + tail) as *const Tail);
        let sane = (1..=MAX_ROWS).contains(&head.n_tokens)
            && head.equal_seqs <= 1
            && (1..=4).contains(&head.n_pos)
            && head.n_seqs_unq <= head.n_tokens.max(head.n_seqs)
            && head.n_seq_tokens.checked_mul(head.n_seqs) == Some(head.n_tokens)
            && !(tail.pos.is_null() || tail.n_seq_id.is_null() || tail.seq_id.is_null())
            && !(head.token.is_null() && head.embd.is_null());
        if !sane {
            return None;
        }
        (0..head.n_tokens as usize)
            .map(|i| {
                let n_seq = *tail.n_seq_id.add(i);
                if !(1..=MAX_SEQ).contains(&n_seq) {
                    return None;
                }
                let seqs = *tail.seq_id.add(i);
                if seqs.is_null() {
                    return None;
                }
                let seqs = std::slice::from_raw_parts(seqs, n_seq as usize);
                Some(RawRow {
                    seq: seqs[0],
                    others: seqs[1..].into(),
                    pos: *tail.pos.add(i),
                    token: match (head.token.is_null(), head.embd.is_null()) {
                        (_, true) => *head.token.add(i),
                        (true, false) => EMBEDDED_TOKEN,
                        // Where rows of both kinds are mixed, nothing here says which is which.
                        (false, false) => UNKNOWN_TOKEN,
                    },
                    // Where all rows give output, as for embeddings, nobody says it of each.
                    output: tail.output.is_null() || *tail.output.add(i) != 0,
                })
            })
            .collect()
    }
}

/// Gives rows of a micro-batch other tokens.
///
/// # Safety
/// `ubatch` is a micro-batch that [`read`] has read just now, whose tokens no other thread uses and no batch of a program
/// holds; the rows are among its own.
pub unsafe fn replace(ubatch: usize, tokens: &[(usize, i32)]) {
    // SAFETY: the caller's promise: `read` found the array of tokens, because without it none would be replaced.
    unsafe {
        let token = (*(ubatch as *const Head)).token.cast_mut();
        for (row, with) in tokens.iter().filter(|_| !token.is_null()) {
            *token.add(*row) = *with;
        }
    }
}

/// The rows of a batch as a program passes it to `llama_decode`. Where it names no positions, llama.cpp counts on from the
/// end of the sequence, which `end` tells; where it names no outputs, the last row is one.
///
/// # Safety
/// The batch's arrays are null or have `n_tokens` elements.
pub unsafe fn of_batch(batch: &llama_batch, mut end: impl FnMut(i32) -> i32) -> Vec<RawRow> {
    let n = usize::try_from(batch.n_tokens).unwrap_or(0);
    let mut ends: Vec<(i32, i32)> = Vec::new();
    // SAFETY: the caller's promise.
    let row = |i: usize| unsafe {
        let (n_seq, seqs) = match (batch.n_seq_id.is_null(), batch.seq_id.is_null()) {
            (false, false) => (*batch.n_seq_id.add(i), *batch.seq_id.add(i)),
            _ => (0, std::ptr::null_mut()),
        };
        let known = (1..=MAX_SEQ).contains(&n_seq) && !seqs.is_null();
        let seqs: &[i32] = if known { std::slice::from_raw_parts(seqs, n_seq as usize) } else { &[0] };
        let seq = seqs[0];
        let pos = if batch.pos.is_null() {
            let at = ends.iter().position(|(s, _)| *s == seq).unwrap_or_else(|| {
                ends.push((seq, end(seq)));
                ends.len() - 1
            });
            ends[at].1 += 1;
            ends[at].1 - 1
        } else {
            *batch.pos.add(i)
        };
        RawRow {
            seq,
            others: seqs[1..].into(),
            pos,
            token: if batch.token.is_null() { EMBEDDED_TOKEN } else { *batch.token.add(i) },
            output: if batch.logits.is_null() { i + 1 == n } else { *batch.logits.add(i) != 0 },
        }
    };
    (0..n).map(row).collect()
}

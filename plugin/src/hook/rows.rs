//! The rows of a micro-batch, from the struct that llama.cpp passes to its own function.
//!
//! `llama_ubatch` is llama.cpp's own business, but its first members have been the same for long: they are checked for
//! sense here, and what they say is compared with the graph's own inputs before it is evaluated.

use evenkeel_core::sequence::UNKNOWN_TOKEN;

use crate::state::RawRow;

/// The first members of `llama_ubatch`.
#[repr(C)]
struct Ubatch {
    equal_seqs: u32,
    n_tokens: u32,
    n_seq_tokens: u32,
    n_seqs: u32,
    n_seqs_unq: u32,
    n_pos: u32,
    token: *const i32,
    embd: *const f32,
    pos: *const i32,
    n_seq_id: *const i32,
    seq_id: *const *const i32,
    seq_id_unq: *const i32,
    seq_idx: *const i32,
    output: *const i8,
}

/// More rows than any batch has.
const MAX_ROWS: u32 = 1 << 20;
/// More sequences than llama.cpp has.
const MAX_SEQ: i32 = 1 << 16;

/// Reads the rows; `None` if this is no micro-batch as it is known here.
///
/// # Safety
/// `ubatch` is what the host passes to `llama_context::process_ubatch`, or another block of memory of that size.
pub unsafe fn read(ubatch: usize) -> Option<Vec<RawRow>> {
    if ubatch == 0 || !ubatch.is_multiple_of(align_of::<Ubatch>()) {
        return None;
    }
    // SAFETY: the caller's promise; arrays have as many elements as the members say, if they make sense.
    unsafe {
        let u = &*(ubatch as *const Ubatch);
        let sane = (1..=MAX_ROWS).contains(&u.n_tokens)
            && u.equal_seqs <= 1
            && (1..=4).contains(&u.n_pos)
            && u.n_seqs_unq <= u.n_tokens.max(u.n_seqs)
            && u.n_seq_tokens.checked_mul(u.n_seqs) == Some(u.n_tokens)
            && !(u.pos.is_null() || u.n_seq_id.is_null() || u.seq_id.is_null() || u.output.is_null())
            && !(u.token.is_null() && u.embd.is_null());
        if !sane {
            return None;
        }
        (0..u.n_tokens as usize)
            .map(|i| {
                let (n_seq, seqs) = (*u.n_seq_id.add(i), *u.seq_id.add(i));
                if !(1..=MAX_SEQ).contains(&n_seq) || seqs.is_null() {
                    return None;
                }
                let seqs = std::slice::from_raw_parts(seqs, n_seq as usize);
                Some(RawRow {
                    seq: seqs[0],
                    others: seqs[1..].into(),
                    pos: *u.pos.add(i),
                    // Where rows of both kinds are mixed, nothing here says which is which.
                    token: if u.embd.is_null() { *u.token.add(i) } else { UNKNOWN_TOKEN },
                    output: *u.output.add(i) != 0,
                })
            })
            .collect()
    }
}

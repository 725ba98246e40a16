//! The hooks on a host's operations on cells.

use std::sync::Arc;

use super::{decode::memory_of, dispatch::Verdict, entry::Registers};
use crate::state::{self, Kept, Live};

/// What `llama_memory_seq_pos_min` answers where no cell of a sequence can be kept: further than any host wants to keep.
const BEYOND: i32 = 1 << 30;

/// The context of ours that a memory belongs to.
fn live(memory: usize) -> Option<Arc<Live>> {
    state::get().lives().into_iter().find(|live| memory_of(live) == Some(memory))
}

/// An argument of 32 bits: the upper half of its register says nothing.
fn int(r: &Registers, n: usize) -> i32 {
    r.argument(n) as i32
}

/// `llama_memory_clear(memory, data)`
pub fn before_clear(r: &Registers) -> Verdict {
    if let Some(live) = live(r.argument(0)) {
        live.remove(-1, -1, -1);
    }
    Verdict::Continue
}

/// `bool llama_memory_seq_rm(memory, seq, p0, p1)`
pub fn before_remove(r: &Registers) -> Verdict {
    if let Some(live) = live(r.argument(0)) {
        live.remove(int(r, 1), int(r, 2), int(r, 3));
    }
    Verdict::Continue
}

/// `llama_memory_seq_cp(memory, from, to, p0, p1)`
pub fn before_copy(r: &Registers) -> Verdict {
    if let Some(live) = live(r.argument(0)) {
        live.copy(int(r, 1), int(r, 2), int(r, 3), int(r, 4));
    }
    Verdict::Continue
}

/// `llama_memory_seq_keep(memory, seq)`
pub fn before_keep(r: &Registers) -> Verdict {
    if let Some(live) = live(r.argument(0)) {
        live.keep(int(r, 1));
    }
    Verdict::Continue
}

/// `llama_memory_seq_add(memory, seq, p0, p1, delta)`
pub fn before_shift(r: &Registers) -> Verdict {
    if let Some(live) = live(r.argument(0)) {
        let (p0, p1, delta) = (int(r, 2), int(r, 3), int(r, 4));
        live.disturb(int(r, 1));
        live.cells(int(r, 1), |cells| cells.shift(p0, p1, delta));
        live.moved(int(r, 1), (p0, p1), |pos| pos.saturating_add(delta));
    }
    Verdict::Continue
}

/// `llama_memory_seq_div(memory, seq, p0, p1, d)`
pub fn before_divide(r: &Registers) -> Verdict {
    if let Some(live) = live(r.argument(0)) {
        let (p0, p1, d) = (int(r, 2), int(r, 3), int(r, 4));
        live.disturb(int(r, 1));
        live.cells(int(r, 1), |cells| cells.divide(p0, p1, d));
        live.moved(int(r, 1), (p0, p1), |pos| pos.checked_div(d).unwrap_or(pos));
    }
    Verdict::Continue
}

/// `llama_pos llama_memory_seq_pos_min(memory, seq)`: how llama-server asks whether it may keep a prefix.
pub fn before_pos_min(r: &Registers) -> Verdict {
    match live(r.argument(0)).map(|live| live.may_keep(int(r, 1))) {
        Some(Kept::Nothing) => Verdict::Answer(BEYOND as usize),
        _ => Verdict::Continue,
    }
}

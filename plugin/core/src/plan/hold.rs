//! What is decided at the last prompt row of a sequence and held for the rows that are generated from it.
//!
//! Each such probe has a tensor of its own in every context, F32 `[1, HELD_SLOTS]`. Who decides writes into a slot, who comes
//! after reads it; which slots these are is an input of the graph. A slot belongs to one decision, not to a sequence, so that
//! a copy of a sequence shares it and a roll-back finds the one before.

use std::fmt;
use std::sync::Arc;

/// Slots of a held probe's tensor.
pub const HELD_SLOTS: u32 = 1 << 15;
/// Always 0: what a row reads on which nothing is decided.
pub const SLOT_ZERO: u32 = 0;
/// Where what nobody asks for is written.
pub const SLOT_LOST: u32 = 1;
/// Always 1.
pub const SLOT_ONE: u32 = 2;
/// The first slot that a decision can have.
pub const FIRST_SLOT: u32 = 3;

/// How a probe is held.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    /// Its tensor.
    pub state: HeldState,
    /// With a second threshold, generated rows are asked again: what must be exceeded for what holds to go on to, as a
    /// bias of a linear probe (the probe's own less the threshold), or as a cosine.
    pub below: Option<f32>,
}

/// A tensor that keeps decisions, by what it begins with: the three slots that no decision has. Two probes that say the same
/// can share one.
#[derive(Clone)]
pub struct HeldState(pub Arc<[f32]>);

impl Default for HeldState {
    fn default() -> Self {
        Self([0.0, 0.0, 1.0].into())
    }
}

impl PartialEq for HeldState {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl fmt::Debug for HeldState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldState")
    }
}

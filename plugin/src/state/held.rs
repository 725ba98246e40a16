//! What a sequence's last prompt row decided, by where graphs keep it: slots of held probes' tensors.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use evenkeel_core::{
    plan::{FIRST_SLOT, HELD_SLOTS},
    sequence::Phase,
};

use super::{Choice, Instance, lock};

/// Decisions after the first that a sequence can be rolled back to: more than drafts have tokens, and few enough that as many
/// sequences as llama.cpp can have find room.
const MAX_LATER: usize = 120;

/// The slots of one context, the same in the tensors of all its held probes.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<Numbers>>);

#[derive(Default)]
struct Numbers {
    free: Vec<u32>,
    used: u32,
}

/// A slot, until the last that reads it is gone.
#[derive(Clone)]
struct Slot(Arc<Taken>);

struct Taken {
    number: u32,
    pool: Pool,
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.pool.0).free.push(self.number);
    }
}

impl Pool {
    fn take(&self) -> Option<Slot> {
        let mut numbers = lock(&self.0);
        let number = match numbers.free.pop() {
            Some(number) => number,
            None if FIRST_SLOT + numbers.used < HELD_SLOTS => {
                numbers.used += 1;
                FIRST_SLOT + numbers.used - 1
            }
            None => return None,
        };
        drop(numbers);
        Some(Slot(Arc::new(Taken { number, pool: self.clone() })))
    }
}

/// The slots of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowSlots {
    /// What it decides goes there.
    pub write: Option<u32>,
    /// What holds on it; `None` if nothing is decided.
    pub read: Option<u32>,
    /// What held before it, where it can change.
    pub before: Option<u32>,
}

/// The decisions of one request.
#[derive(Clone)]
pub struct Held {
    /// What decided: under another plan, nothing is.
    plan: Arc<Instance>,
    /// The last prompt row's.
    first: Slot,
    /// Those of rows after it, by position.
    later: VecDeque<(i32, Slot)>,
    /// Some that came before these are gone.
    forgotten: bool,
}

impl Held {
    fn now(&self) -> Option<u32> {
        match self.later.back() {
            Some((_, slot)) => Some(slot.0.number),
            None if self.forgotten => None,
            None => Some(self.first.0.number),
        }
    }

    /// Rows from a position on are gone. The last prompt row's decision stays: who takes that row back begins a request.
    pub fn cut(&mut self, pos: i32) {
        while self.later.back().is_some_and(|(at, _)| *at >= pos) {
            self.later.pop_back();
        }
    }

    /// The sequence's end has moved: positions were shifted.
    pub fn moved(&mut self, by: i32) {
        self.later.iter_mut().for_each(|(at, _)| *at = at.saturating_add(by));
    }
}

/// The slots of a row of a sequence that runs under `plan`, where `held` says what was decided before.
pub fn slots(held: &mut Option<Held>, pool: &Pool, plan: &Choice, phase: Phase, pos: i32) -> RowSlots {
    let nothing = RowSlots::default();
    let Some(plan) = plan.as_ref().filter(|plan| plan.holds) else { return nothing };
    match phase {
        Phase::Prompt => nothing,
        Phase::Last => {
            *held =
                pool.take().map(|first| Held { plan: plan.clone(), first, later: VecDeque::new(), forgotten: false });
            let slot = held.as_ref().and_then(Held::now);
            RowSlots { write: slot, read: slot, before: None }
        }
        Phase::Generated => {
            let Some(held) = held.as_mut().filter(|held| Arc::ptr_eq(&held.plan, plan)) else { return nothing };
            let Some(before) = held.now() else { return nothing };
            if !plan.reviews {
                return RowSlots { read: Some(before), ..nothing };
            }
            let Some(slot) = pool.take() else { return nothing };
            let number = Some(slot.0.number);
            held.later.push_back((pos, slot));
            if held.later.len() > MAX_LATER {
                held.later.pop_front();
                held.forgotten = true;
            }
            RowSlots { write: number, read: number, before: Some(before) }
        }
    }
}

//! Cells that may be another plan's: looked at before they are used, and evaluated again.

use std::sync::{Arc, atomic::Ordering};

use evenkeel_core::{
    contrast::Text,
    invariance::Region,
    sequence::{Cell, MAX_POSITION},
};

use super::super::{Book, Sequence, lock};
use super::{Inner, Kept, Live, Repair, request::ended};
use crate::{guard::mutant, log};

impl Live {
    /// A call to decode begins. Returns the sequences to be looked at before, by [`Live::verify`].
    pub fn decode_begins(&self) -> Vec<i32> {
        let mut inner = lock(&self.inner);
        inner.call += 1;
        if self.has_next.load(Ordering::Relaxed) {
            self.take_up(&mut inner);
        }
        if inner.outdated {
            inner.restructure(&self.facts);
            let likely = inner.book.likely();
            inner.outdated = inner.structure.plans.iter().any(|p| !likely.iter().any(|l| Arc::ptr_eq(l, p)));
        }
        // Also those that need no look: the host may have removed cells of theirs where nobody saw it.
        let asked = |s: &Sequence| !s.deciding && !s.cells.is_empty();
        inner.sequences.iter().filter(|(_, s)| asked(s)).map(|(seq, _)| *seq).collect()
    }

    fn take_up(&self, inner: &mut Inner) {
        let Some(next) = inner.next.clone() else { return };
        let before = std::mem::replace(&mut inner.book, next);
        if inner.needed().len() > inner.book.max_plans {
            inner.book = before;
            if !std::mem::replace(&mut inner.said_waits, true) {
                log::warning!(
                    "context {}: the reloaded profiles wait until sequences under earlier ones have ended: a graph holds {} \
                     profiles at most (runtime.max-plans)",
                    self.id,
                    inner.book.max_plans
                );
            }
            return;
        }
        inner.next = None;
        self.has_next.store(false, Ordering::Relaxed);
        inner.totals.reloads += 1;
        inner.outdated = true;
        // A sequence that has a name for its wish means what is loaded under that name now.
        log::info!("context {} runs under the reloaded profiles; what was begun before goes on as it was", self.id);
    }

    /// Another set of profiles: taken up at the next call to decode, if there is room for it then.
    pub fn offer(&self, book: Arc<Book>) {
        let mut inner = lock(&self.inner);
        inner.next = Some(book);
        inner.said_waits = false;
        self.has_next.store(true, Ordering::Relaxed);
    }

    /// Looks at the cells of a sequence, which ends at `end` by the host's word. What has to be evaluated again, if it can.
    pub fn verify(&self, seq: i32, end: i32) -> Option<Repair> {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        let id = self.id;
        let sequence = inner.sequences.get_mut(&seq)?;
        if sequence.cells.end() > end {
            // Removed where nobody saw it.
            let begins = sequence.removal_begins(end);
            sequence.cells.remove(end, -1);
            lock(&self.regions).remove(seq, end, -1);
            sequence.cut(end);
            if begins {
                ended(id, seq, sequence, &inner.book, &mut inner.totals);
                sequence.begin(None);
            }
        }
        if sequence.cells.end() < end.min(MAX_POSITION) {
            sequence.unverified = true;
            for pos in sequence.cells.end()..end.min(MAX_POSITION) {
                sequence.cells.put(pos, Cell::UNKNOWN);
            }
        }
        if sequence.cells.is_empty() || !sequence.unverified {
            sequence.unverified = false;
            return None;
        }
        inner.settle(seq, self);
        let sequence = inner.sequences.get_mut(&seq)?;
        sequence.unverified = false;
        sequence.mark(lock(&self.regions).evaluated(seq));
        let (stale, all) = (sequence.first_stale(), sequence.cells.end());
        if stale >= all || mutant("identity") {
            return None;
        }
        let from = if self.whole { 0 } else { stale };
        match sequence.cells.tokens_from(from) {
            Some(tokens) => Some(Repair { seq, from, tokens }),
            None => {
                let count = (all - stale) as u64;
                sequence.tally.stale += count;
                inner.totals.stale += count;
                log::warning!(
                    "context {id}, sequence {seq}: {count} cells were computed under another profile and stay, because their \
                     tokens are not known; feed the sequence from position 0 to change them"
                );
                None
            }
        }
    }

    /// Cells of a sequence were evaluated again.
    pub fn repaired(&self, repair: &Repair) {
        let mut inner = lock(&self.inner);
        let count = repair.tokens.len() as u64;
        inner.totals.again += count;
        if let Some(sequence) = inner.sequences.get_mut(&repair.seq) {
            sequence.tally.again += count;
            sequence.await_last();
        }
    }

    /// Cells of a sequence were not evaluated again: they are looked at once more.
    pub fn put_off(&self, repair: &Repair) {
        if let Some(sequence) = lock(&self.inner).sequences.get_mut(&repair.seq) {
            sequence.unverified = true;
        }
    }

    /// Cells from a position on are about to be evaluated again. Returns the region of segments among them that is to be fed
    /// as a whole.
    pub fn repairing(&self, repair: &Repair) -> Option<Region> {
        if let Some(sequence) = lock(&self.inner).sequences.get_mut(&repair.seq) {
            lock(&self.regions).again(repair.seq, repair.from);
            sequence.cells.remove(repair.from, -1);
            sequence.cut(repair.from);
            sequence.await_last();
        }
        let found = self.has_markers().then(|| self.region_of(repair.seq, repair.from, &repair.tokens)).flatten();
        found.or_else(|| lock(&self.regions).announced(repair.seq))
    }

    /// Whether the host may keep the cells of a sequence whose request has just begun.
    pub fn may_keep(&self, seq: i32) -> Kept {
        let mut inner = lock(&self.inner);
        let deciding = |s: &Sequence| s.deciding && !s.cells.is_empty();
        if !inner.sequences.get(&seq).is_some_and(deciding) || mutant("identity") {
            return Kept::Fine;
        }
        inner.settle(seq, self);
        let Some(sequence) = inner.sequences.get_mut(&seq) else { return Kept::Fine };
        sequence.mark(lock(&self.regions).evaluated(seq));
        let stale = sequence.first_stale();
        let contrast = sequence.pinned.as_ref().and_then(|p| p.plan(&sequence.router, stale));
        // Where its contexts or images are, only tokens say.
        if contrast.is_some_and(|p| p.plan.contrast.is_some()) && Text::of(sequence.cells.fed()).is_none() {
            return Kept::Nothing;
        }
        let lost = stale < sequence.cells.end() && sequence.cells.tokens_from(stale).is_none();
        if stale == 0 || lost { Kept::Nothing } else { Kept::Fine }
    }
}

//! What a host does with a sequence's cells.

use evenkeel_core::{
    invariance::Region,
    sequence::{Cell, Cells, PlanId, UNKNOWN_TOKEN},
};

use super::super::{Book, lock};
use super::{Live, request::ended, same};

impl Live {
    /// Applies what the host does to the cells of one sequence.
    pub fn cells(&self, seq: i32, act: impl Fn(&mut Cells)) {
        let book = self.book();
        let mut pieces = |token| self.pieces.get(&self.host, token, !book.routes.is_empty());
        self.prefetch(seq, &book);
        let mut inner = lock(&self.inner);
        let Some(sequence) = inner.sequences.get_mut(&seq) else { return };
        let end = sequence.cells.end();
        act(&mut sequence.cells);
        let by = sequence.cells.end() - end;
        if let Some(held) = &mut sequence.held {
            held.moved(by);
        }
        sequence.route_again(&book.routes, &mut pieces);
    }

    /// Cells between two positions of a sequence have others: what is known of positions goes with them.
    pub fn moved(&self, seq: i32, range: (i32, i32), to: impl Fn(i32) -> i32) {
        if let Some(sequence) = lock(&self.inner).sequences.get_mut(&seq) {
            sequence.moved(range, to);
        }
    }

    /// Cells `p0..p1` of a sequence (all sequences if it is negative) are removed.
    pub fn remove(&self, seq: i32, p0: i32, p1: i32) {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        for (found, sequence) in inner.sequences.iter_mut().filter(|(s, _)| seq < 0 || **s == seq) {
            let end = sequence.cells.end();
            let tail = p1 < 0 || p1 >= end;
            let begins = tail && sequence.removal_begins(p0.max(0));
            sequence.cells.remove(p0, p1);
            lock(&self.regions).remove(*found, p0, p1);
            if tail {
                sequence.cut(p0.max(0));
            }
            if !tail {
                sequence.removed(p0.max(0), p1);
            }
            sequence.deciding = false;
            if begins {
                ended(self.id, *found, sequence, &inner.book, &mut inner.totals);
                sequence.begin(None);
            }
        }
    }

    /// All cells but those of one sequence are gone.
    pub fn keep(&self, seq: i32) {
        let others: Vec<i32> = lock(&self.inner).sequences.keys().copied().filter(|s| *s != seq).collect();
        others.into_iter().for_each(|other| self.remove(other, -1, -1));
    }

    /// Cells of one sequence are also another's.
    pub fn copy(&self, from: i32, to: i32, p0: i32, p1: i32) {
        if from == to {
            return;
        }
        let book = self.book();
        self.prefetch(from, &book);
        let mut pieces = |token| self.pieces.get(&self.host, token, !book.routes.is_empty());
        let mut inner = lock(&self.inner);
        inner.settle(from, self);
        inner.settle(to, self);
        let Some(source) = inner.sequences.get(&from) else { return };
        let (cells, begun, pinned) = (source.cells.clone(), source.output_call, source.pinned.clone());
        let (held, said) = (source.held.clone(), source.said.clone());
        let Some(sequence) = inner.sequences.get_mut(&to) else { return };
        sequence.cells.copy(&cells, p0, p1);
        lock(&self.regions).copy(from, to, p0, p1);
        // One request that goes on in several sequences (a server's parallel completions) began once.
        let together =
            sequence.announced && pinned.zip(sequence.pinned.clone()).is_some_and(|(a, b)| same(&a.base, &b.base));
        sequence.unverified = !together;
        sequence.said.clone_from(&said);
        self.unsure(to);
        if together {
            (sequence.output_call, sequence.held) = (begun, held);
        }
        sequence.route_again(&book.routes, &mut pieces);
    }

    /// A sequence has these cells now, restored from elsewhere. `partial`: only what cannot be rolled back came, so that a
    /// cell is known only where both agree. Segments among them that a program had announced are evaluated again.
    pub fn restore(&self, seq: i32, (cells, region): (Cells, Option<Region>), partial: bool) {
        let book = self.book();
        let mut inner = lock(&self.inner);
        let sequence = inner.sequences.entry(seq).or_default();
        if partial {
            let both: Vec<_> = sequence.cells.iter().map(|(pos, now)| (pos, now, cells.get(pos))).collect();
            for (pos, now, restored) in both {
                if let (Some(mut now), Some(restored)) = (now, restored)
                    && now.identity != restored.identity
                {
                    now.identity.plan = PlanId::UNKNOWN;
                    sequence.cells.put(pos, now);
                }
            }
        } else {
            sequence.cells = cells;
            sequence.await_last();
        }
        lock(&self.regions).restored(seq, region.filter(|_| !partial));
        self.unsure(seq);
        sequence.unverified = true;
        drop(inner);
        if !book.routes.is_empty() {
            self.cells(seq, |_| {});
        }
    }

    /// Nothing is known of any sequence's cells any more.
    pub fn forget(&self) {
        let mut inner = lock(&self.inner);
        let mut regions = lock(&self.regions);
        regions.sequences().into_iter().for_each(|seq| regions.lose(seq));
        drop(regions);
        for sequence in inner.sequences.values_mut() {
            for pos in 0..sequence.cells.end() {
                sequence.cells.put(pos, Cell::UNKNOWN);
            }
            sequence.await_last();
            sequence.unverified = true;
        }
    }

    /// The positions of a sequence's cells change: what was kept of its region does not fit them any more.
    pub fn disturb(&self, seq: i32) {
        lock(&self.regions).disturb(seq, "the positions of its cells were changed");
    }

    /// The cells of a sequence.
    pub fn cells_of(&self, seq: i32) -> Cells {
        lock(&self.inner).sequences.get(&seq).map(|s| s.cells.clone()).unwrap_or_default()
    }

    /// The texts of a sequence's tokens, asked of the host before the lock is taken.
    fn prefetch(&self, seq: i32, book: &Book) {
        if book.routes.is_empty() {
            return;
        }
        for (_, cell) in self.cells_of(seq).iter() {
            self.pieces.get(&self.host, cell.map_or(UNKNOWN_TOKEN, |c| c.token), true);
        }
    }
}

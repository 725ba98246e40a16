//! The rows of a micro-batch: which plan, phase and place each has.

use std::sync::Arc;

use evenkeel_core::sequence::{Cell, Cells, Phase, is_token};
use rustc_hash::FxHashMap;

use super::super::{Batch, Choice, held, instance::PLAIN, lock};
use super::{Built, Live, RawRow, Row};
use crate::log;

/// Rows are what is evaluated in their place.
fn as_evaluated(batch: &Batch, rows: &mut [Row]) {
    for (row, token) in &batch.tokens {
        rows[*row].token = *token;
    }
    let after: Vec<u64> = batch.moved.iter().map(|(host, _)| rows[*host].after).collect();
    for ((_, row), after) in batch.moved.iter().zip(after) {
        rows[*row].after = after;
    }
}

impl Live {
    /// A micro-batch is about to be evaluated: its rows are the sequences' next cells. True if its graph needs another
    /// structure than the one before.
    pub fn feed(&self, raw: &[RawRow]) {
        let book = self.book();
        let pieces = |token: i32| self.pieces.get(&self.host, token, !book.routes.is_empty());
        let texts: Vec<Option<Arc<[u8]>>> =
            raw.iter().map(|r| (!book.routes.is_empty()).then(|| pieces(r.token))).collect();
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        inner.undecide();
        for r in raw {
            inner.settle(r.seq, self);
        }
        inner.feed_regions(raw, self);
        let call = inner.call;
        let last: FxHashMap<i32, usize> = raw.iter().enumerate().map(|(i, r)| (r.seq, i)).collect();
        let mut fed: Vec<(Choice, Row)> = Vec::with_capacity(raw.len());
        for (i, (r, text)) in raw.iter().zip(&texts).enumerate() {
            let Some(sequence) = inner.sequences.get_mut(&r.seq) else { continue };
            let Some(pinned) = sequence.pinned.clone() else { continue };
            sequence.deciding = false;
            if sequence.cells.is_empty() {
                // None was another plan's: what this request computes needs no second look.
                sequence.unverified = false;
            }
            if sequence.cells.end() > r.pos {
                sequence.cells.remove(r.pos, -1);
                sequence.cut(r.pos);
            }
            let forced = inner.forced.get(&r.seq).and_then(|under| under.run(usize::try_from(r.pos).ok()?));
            let plan = match forced {
                Some(run) => run.plan.clone(),
                None => pinned.plan(&sequence.router, r.pos).filter(|p| !p.plan.is_empty()),
            };
            let refused = pinned.refused;
            let own = || sequence.phase(call, r.output && last.get(&r.seq) == Some(&i));
            let phase = forced.map_or_else(own, |run| run.phase);
            let identity = sequence.marked(r.pos, plan.as_ref().map_or(PLAIN, |p| p.identity(phase)));
            let slots = held::slots(&mut sequence.held, &inner.pool, &plan, phase, r.pos);
            if slots.write.is_some() {
                inner.deciding.push(r.seq);
            }
            sequence.cells.put(r.pos, Cell { token: r.token, identity });
            let after = plan.as_ref().map_or(0, |p| self.after(&p.plan.after, &sequence.cells, r.pos));
            if let (Some(book), Some(text)) = (&pinned.routes, text) {
                sequence.router.feed(&book.routes, r.pos, text);
            }
            if let Some(plan) = plan.as_ref().filter(|_| log::enabled(log::Level::Debug)) {
                sequence.acted.add(plan, phase, r.pos);
            }
            match phase {
                Phase::Generated => {
                    sequence.tally.generated += 1;
                    sequence.generated_from.get_or_insert(r.pos);
                }
                Phase::Prompt | Phase::Last => sequence.tally.prompt += 1,
            }
            if r.output && sequence.output_call.is_none() {
                sequence.output_call = Some(call);
            }
            // What one row decides holds in all its sequences.
            let decided = (phase == Phase::Last).then(|| sequence.held.clone()).flatten();
            for other in &r.others {
                let other = inner.sequences.entry(*other).or_default();
                other.cells.put(r.pos, Cell { token: r.token, identity });
                if let Some(decided) = &decided {
                    (other.output_call, other.held) = (Some(call), Some(decided.clone()));
                }
            }
            let (seq, pos, token, output) = (r.seq, r.pos, r.token, r.output);
            fed.push((plan, Row { seq, plan: None, phase, pos, token, output, refused, after, held: slots }));
        }
        let missing = |(plan, row): &(Choice, Row)| {
            plan.as_ref().is_some_and(|p| inner.structure.position(p).is_none())
                || row.refused && !inner.structure.refusal
        };
        let single = inner.structure.alone && fed.iter().any(|(plan, _)| plan.is_none());
        let refusing = inner.structure.refusal;
        if single || fed.iter().any(missing) || refusing && !inner.refuses() {
            inner.mixed |= single;
            inner.restructure(&self.facts);
        }
        let place = |(plan, row): (Choice, Row)| {
            let plan = plan.and_then(|p| inner.structure.position(&p));
            Row { plan, ..row }
        };
        let mut rows: Vec<Row> = fed.into_iter().map(place).collect();
        if let Some(batch) = lock(&self.regions).batch().filter(|_| rows.len() == raw.len()) {
            as_evaluated(&batch, &mut rows);
        }
        inner.rows = rows.into();
    }

    /// Which of these texts the token at `pos` completes, by bit.
    fn after(&self, texts: &[String], cells: &Cells, pos: i32) -> u64 {
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        let (mut tail, mut at): (Vec<u8>, i32) = (Vec::new(), pos);
        while tail.len() < longest && at >= 0 {
            let Some(cell) = cells.get(at) else { break };
            let piece = self.pieces.get(&self.host, cell.token, true);
            if piece.is_empty() && !is_token(cell.token) {
                break;
            }
            tail.splice(0..0, piece.iter().copied());
            at -= 1;
        }
        let ends = |(i, text): (usize, &String)| u64::from(tail.ends_with(text.as_bytes())) << i;
        texts.iter().enumerate().map(ends).fold(0, |all, bit| all | bit)
    }

    /// Whether the graph that was evaluated last may be evaluated again.
    pub fn may_reuse(&self) -> bool {
        let needed = self.needed_now();
        lock(&self.inner).built == Some(needed)
    }

    /// A graph of the current structure is built, to be evaluated.
    pub fn built(&self) {
        let needed = self.needed_now();
        lock(&self.inner).built = Some(needed);
    }

    /// What the graph of the micro-batch at hand has to have.
    fn needed_now(&self) -> Built {
        let (contrast, beside) = (self.contrast_nodes(), self.number_beside());
        let attention = lock(&self.contrast).attention.clone();
        let structure = lock(&self.inner).structure.version;
        Built { structure, regions: lock(&self.regions).signature(), contrast, beside, attention }
    }

    /// Which graph of the second context is evaluated with that of the micro-batch at hand; 0 if none is.
    fn number_beside(&self) -> u64 {
        self.beside().map_or(0, |beside| lock(&beside).number)
    }

    /// What rows of the micro-batch decide is written where they say: it is certain to be evaluated.
    pub fn decided(&self) {
        lock(&self.inner).deciding.clear();
    }
}

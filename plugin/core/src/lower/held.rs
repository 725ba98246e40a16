//! A probe that is decided at the last prompt row of a sequence, and held.

use super::{
    patch::{Leaf, NewNode, Patch, Ref, SlotTable, Slots},
    term::Terms,
};
use crate::plan::Hold;

impl Terms<'_> {
    /// What holds on each row: `on` says on which the probe holds by itself, `stays` on which it goes on to.
    ///
    /// Every row writes into a slot of its own, rows that decide nothing into one that nobody reads; then every row reads.
    /// What is read comes from the node that wrote, so that no backend can do the one before the other.
    pub(super) fn held(&mut self, hold: &Hold, on: Ref, stays: Option<Ref>) -> Ref {
        let state = self.state(hold);
        let holds = match stays {
            None => on,
            Some(stays) => self.scan(state, on, stays),
        };
        let (write, read) = (self.slots(Slots::Write), self.slots(Slots::Read));
        let written = self.push(NewNode::SetRows(state, holds, write));
        self.push(NewNode::GetRows(written, read))
    }

    /// `s = on + passes · s'` with the predecessor's `s'`, where `passes = stays − on`: rows of one sequence in one
    /// micro-batch follow each other, so that step by step what stands before twice as many rows is taken in (Hillis and
    /// Steele 1986). All numbers are 0 or 1.
    fn scan(&mut self, state: Ref, on: Ref, stays: Ref) -> Ref {
        let less = self.push(NewNode::Scale(on, -1.0, 0.0));
        let passes = self.push(NewNode::Add(stays, less));
        // The first of them follows what an earlier evaluation wrote; nothing passes it after that.
        let before = self.slots(Slots::Before);
        let before = self.push(NewNode::GetRows(state, before));
        let from_before = self.push(NewNode::Mul(passes, before));
        let mut s = self.push(NewNode::Add(on, from_before));
        let n_scans = SlotTable::scans(self.n_rows) as u8;
        if n_scans == 0 {
            return s;
        }
        let follows = self.slots(Slots::Follows);
        let follows = self.push(NewNode::GetRows(state, follows));
        let mut passes = self.push(NewNode::Mul(passes, follows));
        for step in 0..n_scans {
            let back = self.slots(Slots::Back(step));
            let earlier = self.push(NewNode::GetRows(s, back));
            let passed = self.push(NewNode::Mul(passes, earlier));
            s = self.push(NewNode::Add(s, passed));
            if step + 1 < n_scans {
                let earlier = self.push(NewNode::GetRows(passes, back));
                passes = self.push(NewNode::Mul(passes, earlier));
            }
        }
        s
    }

    fn slots(&self, slots: Slots) -> Ref {
        if self.output_only { Ref::OutputSlots(slots) } else { Ref::Slots(slots) }
    }

    fn state(&mut self, hold: &Hold) -> Ref {
        let name = format!("ek.{}.{}", self.name, self.leafs.len() - self.first);
        self.leafs.push(Leaf::Held { name, state: hold.state.0.clone(), near: self.near });
        Ref::Leaf(self.leafs.len() as u32 - 1)
    }
}

impl Patch {
    /// The tables of slots that the substitutions read.
    pub(super) fn slot_tables(&self) -> Vec<SlotTable> {
        let mut tables: Vec<SlotTable> = Vec::new();
        for s in &self.substitutions {
            for r in s.nodes.iter().flat_map(NewNode::reads) {
                let (slots, output_only) = match r {
                    Ref::Slots(slots) => (slots, false),
                    Ref::OutputSlots(slots) => (slots, true),
                    _ => continue,
                };
                let at = tables.iter().position(|t| t.output_only == output_only).unwrap_or_else(|| {
                    tables.push(SlotTable { output_only, n_rows: s.n_rows, n_scans: 0 });
                    tables.len() - 1
                });
                if matches!(slots, Slots::Before | Slots::Follows | Slots::Back(_)) {
                    tables[at].n_scans = SlotTable::scans(s.n_rows);
                }
            }
        }
        tables
    }
}

//! One sequence of a context: what it runs under, where its request stands, what is in its cells.

use std::{collections::BTreeSet, sync::Arc};

use evenkeel_core::sequence::{Cells, Identity, Phase, PlanId, Router, Routes};

use super::{Acted, Book, Choice, Evaluated, Instance, Online, held::Held, instance::PLAIN};

/// What was asked for a sequence.
#[derive(Clone, Default)]
pub enum Wish {
    /// Nothing: the default, and where routes lead.
    #[default]
    Default,
    /// A profile by name, or `off`.
    Named(String),
    /// Something that cannot be had; why.
    Refused(String),
}

/// What a sequence runs under from its request's beginning on.
#[derive(Clone)]
pub struct Pinned {
    /// What it begins with.
    pub base: Choice,
    /// Where routes lead, if it follows them.
    pub routes: Option<Arc<Book>>,
    /// Whether its rows may only end.
    pub refused: bool,
}

/// A sequence.
#[derive(Default)]
pub struct Sequence {
    /// What code chose for it, until it is changed.
    pub chosen: Wish,
    /// What its current request chose.
    pub requested: Option<Wish>,
    /// What its current request runs under; settled at the first need.
    pub pinned: Option<Pinned>,
    /// What is in its cells.
    pub cells: Cells,
    /// Its text, and where that led; kept only where there are routes.
    pub router: Router,
    /// Requests that fed rows and have ended.
    pub requests: u64,
    /// The first call to decode in which its current request gave output.
    pub output_call: Option<u64>,
    /// The position of the first row after that.
    pub generated_from: Option<i32>,
    /// What its current request's last prompt row decided.
    pub held: Option<Held>,
    /// Whether the beginning of its requests is announced, so that a removal of cells is no sign of one.
    pub announced: bool,
    /// Whether its cells may be another plan's.
    pub unverified: bool,
    /// Whether the host decides, between the beginning of a request and the next removal, which cells it keeps.
    pub deciding: bool,
    /// What its current request came to.
    pub tally: Tally,
    /// Positions of tokens that the model said, where a plan looks for markers of contexts: those are text.
    pub said: BTreeSet<i32>,
    /// What each rule did in it, where the log says so.
    pub acted: Acted,
    /// Priors that its current request was counted for.
    pub learned: Vec<Arc<Online>>,
    /// Its region of segments, once that is in the cache: what follows was computed with it.
    mark: Option<Mark>,
}

/// Cells from a position on are of a region: the same tokens under the same plan, cut otherwise, are other cells.
struct Mark {
    evaluated: Arc<Evaluated>,
    /// A plan, and what the cells of the region and after it are computed under.
    plan: (PlanId, PlanId),
}

/// What a request came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Rows of the prompt.
    pub prompt: u64,
    /// Rows after it.
    pub generated: u64,
    /// Cells that were evaluated again because they were another plan's.
    pub again: u64,
    /// Cells of another plan that had to stay.
    pub stale: u64,
}

impl Tally {
    /// Rows of both kinds.
    pub fn rows(&self) -> u64 {
        self.prompt + self.generated
    }
}

impl Sequence {
    /// A request begins. What it asks for itself counts more than what code chose for the sequence.
    pub fn begin(&mut self, requested: Option<Wish>) {
        self.requested = requested;
        self.pinned = None;
        self.requests += u64::from(self.tally.rows() > 0);
        self.output_call = None;
        self.generated_from = None;
        self.held = None;
        self.unverified = true;
        self.deciding = false;
        self.said.clear();
        self.tally = Tally::default();
        self.acted = Acted::default();
        self.learned.clear();
    }

    /// What is in its cells is the beginning of a prompt, whose last row is still to come.
    pub fn await_last(&mut self) {
        self.output_call = None;
        self.held = None;
    }

    /// Cells between two positions are gone, and those behind stay.
    pub fn removed(&mut self, p0: i32, p1: i32) {
        self.said.retain(|pos| !(p0..p1).contains(pos));
        self.generated_from = self.generated_from.map(|from| if (p0..p1).contains(&from) { p1 } else { from });
    }

    /// Cells between two positions have others.
    pub fn moved(&mut self, (p0, p1): (i32, i32), to: impl Fn(i32) -> i32) {
        let (p0, p1) = (p0.max(0), if p1 < 0 { i32::MAX } else { p1 });
        let to = |pos: i32| if (p0..p1).contains(&pos) { to(pos) } else { pos };
        self.said = std::mem::take(&mut self.said).into_iter().map(to).collect();
        self.generated_from = self.generated_from.map(to);
    }

    /// Rows from position `pos` on are gone.
    pub fn cut(&mut self, pos: i32) {
        self.router.cut(pos);
        if let Some(held) = &mut self.held {
            held.cut(pos);
        }
    }

    /// Cells from position `p0` to the end are removed where no beginning is announced: true if that is one. A roll-back of
    /// draft tokens leaves the first generated cell.
    pub fn removal_begins(&self, p0: i32) -> bool {
        !self.announced && p0 < self.cells.end() && self.generated_from.is_none_or(|from| p0 <= from)
    }

    /// What was asked for.
    pub fn wish(&self) -> &Wish {
        self.requested.as_ref().unwrap_or(&self.chosen)
    }

    /// The phase of a row that is fed in call `call` to decode. `last`: it gives output and no row of the sequence follows.
    pub fn phase(&self, call: u64, last: bool) -> Phase {
        match self.output_call {
            Some(first) if first < call => Phase::Generated,
            _ if last => Phase::Last,
            _ => Phase::Prompt,
        }
    }

    /// Takes note of its region of segments.
    pub fn mark(&mut self, evaluated: Option<&Arc<Evaluated>>) {
        let same = |mark: &Mark| evaluated.is_some_and(|e| Arc::ptr_eq(e, &mark.evaluated));
        if self.mark.as_ref().is_some_and(same) {
            return;
        }
        let mark = |e: &Arc<Evaluated>| Mark { evaluated: e.clone(), plan: (PlanId::NONE, PlanId::UNKNOWN) };
        self.mark = evaluated.map(mark);
    }

    /// What the cell at a position is computed under, if it is `identity` without the region.
    pub fn marked(&mut self, pos: i32, identity: Identity) -> Identity {
        match &mut self.mark {
            Some(mark) if pos >= mark.evaluated.region.first() => {
                if mark.plan.0 != identity.plan || identity.plan == PlanId::NONE {
                    mark.plan =
                        (identity.plan, super::get().identities.of_region(identity.plan, &mark.evaluated.region));
                }
                Identity { plan: mark.plan.1, ..identity }
            }
            _ => identity,
        }
    }

    /// The first position whose cell was not computed as the prompt of the current request would be; the end if all were.
    pub fn first_stale(&mut self) -> i32 {
        let Some(pinned) = self.pinned.clone() else { return self.cells.end() };
        let (cells, router) = (std::mem::take(&mut self.cells), std::mem::take(&mut self.router));
        let wrong = cells.first_wrong(|pos, cell| match pinned.plan(&router, pos) {
            Some(instance) => {
                let plan = instance.identity(Phase::Prompt).plan;
                let expected = self.marked(pos, Identity { plan, ..cell.identity });
                cell.identity.plan == expected.plan && instance.accepts(Identity { plan, ..cell.identity })
            }
            None => cell.identity == PLAIN,
        });
        (self.cells, self.router) = (cells, router);
        // What is wrong in a region is the region's: it is evaluated as a whole.
        match self.mark.as_ref().map(|mark| &mark.evaluated.region) {
            Some(region) if region.place(wrong).is_some() && wrong < self.cells.end() => region.first(),
            _ => wrong,
        }
    }

    /// The text of its tokens once more, from a position on, after cells came from elsewhere.
    pub fn route_again(&mut self, routes: &Routes, pieces: &mut impl FnMut(i32) -> Arc<[u8]>) {
        self.router = Router::default();
        if routes.is_empty() {
            return;
        }
        for (pos, cell) in self.cells.iter() {
            if let Some(cell) = cell {
                self.router.feed(routes, pos, &pieces(cell.token));
            }
        }
    }
}

impl Pinned {
    /// The plan of the row at position `pos`.
    pub fn plan(&self, router: &Router, pos: i32) -> Choice {
        let routed = self.routes.as_ref().and_then(|book| Some(book.targets.get(router.at(pos)?)?.clone()));
        routed.unwrap_or_else(|| self.base.clone())
    }

    /// Every plan it can come to.
    pub fn plans(&self) -> impl Iterator<Item = &Arc<Instance>> {
        let routed = self.routes.iter().flat_map(|book| book.targets.iter().flatten());
        self.base.iter().chain(routed).filter(|i| !i.plan.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server shifts a context: 10 cells behind the first 4 are gone, and those behind them move up.
    #[test]
    fn what_was_generated_moves_with_its_cells() {
        for (from, after) in [(20, 10), (14, 4), (9, 4), (2, 2)] {
            let mut sequence = Sequence { generated_from: Some(from), ..Sequence::default() };
            sequence.said.extend([3, 8, 20, 21]);
            sequence.removed(4, 14);
            sequence.moved((14, -1), |pos| pos - 10);
            assert_eq!(sequence.generated_from, Some(after), "{from}");
            assert!(sequence.said.iter().copied().eq([3, 10, 11]));
        }
    }
}

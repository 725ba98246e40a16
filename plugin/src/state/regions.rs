//! The regions of segments of one context's sequences: announced, evaluated, and those of the micro-batch at hand.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex},
};

use evenkeel_core::invariance::{Mode, Part, Region, Seen};
use evenkeel_core::sequence::is_token;
use rustc_hash::FxHashMap;

use super::{RawRow, lock};
use crate::hook::Kept;

/// What is known of a region whose keys and values are in the cache.
pub struct Evaluated {
    /// Its number, in this process.
    pub id: u64,
    /// Its segments.
    pub region: Region,
    /// What attention made of them.
    pub mode: Mode,
    /// Of which tokens they are, where that is not as the host has them.
    pub moved: Option<Moved>,
    /// The cells of its positions, from the first on, once its micro-batch is evaluated.
    pub cells: Mutex<Vec<u32>>,
    /// What later rows need of its keys and values.
    pub kept: Mutex<Option<Arc<Kept>>>,
}

/// A region whose segments were put into their canonical order.
pub struct Moved {
    /// The tokens of its cells, from the first on.
    tokens: Vec<i32>,
    /// For each of its cells the one where the host has its token.
    from: Vec<u32>,
}

/// What a sequence's plan makes of segments.
#[derive(Clone, Copy)]
pub struct Asked {
    /// Its mode.
    pub mode: Mode,
    /// Whether they are evaluated in their canonical order.
    pub canonical: bool,
}

/// A sequence's region.
struct Held {
    /// As the host has it.
    region: Region,
    state: State,
    /// It was found by markers, and is found again if its cells are not what they were.
    found: bool,
    /// Rows of it may come again although it is evaluated: what is kept of it stays.
    comes_again: bool,
}

impl Held {
    fn announced(region: Region, found: bool) -> Held {
        Held { region, state: State::Announced, found, comes_again: false }
    }
}

#[derive(Clone)]
enum State {
    /// None of its tokens was fed yet.
    Announced,
    /// It is in the cache.
    Evaluated(Arc<Evaluated>),
    /// It can be of no use any more; why.
    Broken(&'static str),
}

/// What a micro-batch has to do with regions.
pub struct Batch {
    /// The regions.
    pub parts: Vec<BatchPart>,
    /// By row: its position as the host has it, and which of the regions it belongs to.
    pub rows: Vec<(i32, Option<usize>)>,
    /// Rows that are evaluated with another token than the host's.
    pub tokens: Vec<(usize, i32)>,
    /// Rows whose token is evaluated as another row, and that row.
    pub moved: Vec<(usize, usize)>,
}

/// One of them.
pub struct BatchPart {
    /// The region.
    pub evaluated: Arc<Evaluated>,
    /// Whether its own rows are in the micro-batch.
    pub fresh: bool,
}

impl Batch {
    /// What the rows have to do with one of the regions.
    pub fn seen(&self, part: usize) -> Vec<Seen> {
        let seen = |(pos, of): &(i32, Option<usize>)| match of {
            Some(of) if *of == part => Seen::At(*pos),
            _ => Seen::Nothing,
        };
        self.rows.iter().map(seen).collect()
    }

    /// The regions that need nodes of their own, with the shapes of their inputs.
    pub fn parts(&self) -> impl Iterator<Item = (usize, &BatchPart, Part)> {
        let pine = self.parts.iter().enumerate().filter(|(_, part)| part.evaluated.mode == Mode::Pine);
        pine.map(|(i, part)| (i, part, Part::new(&part.evaluated.region, &self.seen(i), part.fresh)))
    }

    /// Takes note of where the tokens of a sequence's region are evaluated.
    fn move_rows(&mut self, seq: i32, raw: &[RawRow], part: &BatchPart) {
        let (Some(moved), region) = (&part.evaluated.moved, &part.evaluated.region) else { return };
        let cells = region.first()..region.end();
        let mut rows = vec![None; region.n_cells()];
        for (row, r) in raw.iter().enumerate().filter(|(_, r)| r.seq == seq && cells.contains(&r.pos)) {
            let cell = (r.pos - region.first()) as usize;
            rows[cell] = Some(row);
            if moved.tokens[cell] != r.token {
                self.tokens.push((row, moved.tokens[cell]));
            }
        }
        if !part.fresh {
            return;
        }
        for (cell, from) in moved.from.iter().enumerate() {
            if let (Some(host), Some(row)) = (rows[*from as usize], rows[cell])
                && host != row
            {
                self.moved.push((host, row));
            }
        }
    }
}

/// The regions of a context.
#[derive(Default)]
pub struct Regions {
    held: FxHashMap<i32, Held>,
    batch: Option<Arc<Batch>>,
    signature: u64,
    next: u64,
}

/// Why a sequence's region cannot be served; the sequence's number first.
pub type Refusal = (i32, String);

impl Regions {
    /// Announces a sequence's region; `None` takes it back.
    ///
    /// # Errors
    /// If cells of it are there already.
    pub fn announce(&mut self, seq: i32, region: Option<Region>, cells: i32) -> Result<(), String> {
        match region {
            None => drop(self.held.remove(&seq)),
            Some(region) if cells > region.first() => {
                return Err(format!(
                    "the first segment begins at position {}, but the sequence has {cells} cells already: segments are said before \
                     their tokens are fed",
                    region.first()
                ));
            }
            Some(region) => drop(self.held.insert(seq, Held::announced(region, false))),
        }
        Ok(())
    }

    /// A sequence's region that was found by markers, and whose tokens are to be evaluated next.
    pub fn found(&mut self, seq: i32, region: Region) {
        self.held.insert(seq, Held::announced(region, true));
    }

    /// Whether that region of a sequence is in the cache.
    pub fn has(&self, seq: i32, region: &Region) -> bool {
        self.held.get(&seq).is_some_and(|held| held.region == *region && matches!(held.state, State::Evaluated(_)))
    }

    /// The host feeds tokens of a sequence's region again, which is evaluated already.
    pub fn comes_again(&mut self, seq: i32) {
        if let Some(held) = self.held.get_mut(&seq) {
            held.comes_again = true;
        }
    }

    /// The region of a sequence none of whose tokens was fed.
    pub fn announced(&self, seq: i32) -> Option<Region> {
        let held = self.held.get(&seq)?;
        matches!(held.state, State::Announced).then(|| held.region.clone())
    }

    /// The region of a sequence that is in the cache.
    pub fn evaluated(&self, seq: i32) -> Option<&Arc<Evaluated>> {
        match &self.held.get(&seq)?.state {
            State::Evaluated(evaluated) => Some(evaluated),
            _ => None,
        }
    }

    /// Cells `p0..p1` of a sequence are removed (to the end if `p1` is negative). What was evaluated of a region is gone with
    /// all of its cells, and of no use without some of them.
    pub fn remove(&mut self, seq: i32, p0: i32, p1: i32) {
        let Some(held) = self.held.get_mut(&seq) else { return };
        let (first, end) = (held.region.first(), held.region.end());
        let (p0, p1) = (p0.max(0), if p1 < 0 { i32::MAX } else { p1 });
        if matches!(held.state, State::Announced) || p0 >= end || p1 <= first {
            return;
        }
        if p0 <= first && p1 >= end || held.found {
            self.held.remove(&seq);
        } else {
            held.state = State::Broken("some of its cells were removed");
        }
    }

    /// Cells of a sequence from a position on are about to be evaluated again.
    pub fn again(&mut self, seq: i32, from: i32) {
        if let Some(held) = self.held.get_mut(&seq)
            && from <= held.region.first()
            && matches!(held.state, State::Evaluated(_))
        {
            held.state = State::Announced;
        }
    }

    /// Forgets a region that was found by markers: it is found again.
    pub fn forget_found(&mut self, seq: i32) {
        if self.held.get(&seq).is_some_and(|held| held.found) {
            self.held.remove(&seq);
        }
    }

    /// A sequence's cells moved, or came from elsewhere: what was kept of its region does not fit them.
    pub fn disturb(&mut self, seq: i32, why: &'static str) {
        self.forget_found(seq);
        if let Some(held) = self.held.get_mut(&seq)
            && matches!(held.state, State::Evaluated(_))
        {
            held.state = State::Broken(why);
        }
    }

    /// A sequence's cells came from elsewhere, and segments that were announced with them.
    pub fn restored(&mut self, seq: i32, region: Option<Region>) {
        match region {
            Some(region) => drop(self.held.insert(seq, Held::announced(region, false))),
            None => self.disturb(seq, "its cells were restored from elsewhere"),
        }
    }

    /// A sequence's cells came from elsewhere, and nobody saw their tokens: a region that was among them cannot be found again.
    pub fn lose(&mut self, seq: i32) {
        if let Some(held) = self.held.get_mut(&seq)
            && matches!(held.state, State::Evaluated(_))
        {
            held.state = State::Broken("its cells were restored from elsewhere");
        }
    }

    /// The region of a sequence that was announced and is in the cache.
    pub fn announced_and_evaluated(&self, seq: i32) -> Option<Region> {
        let held = self.held.get(&seq).filter(|held| !held.found && matches!(held.state, State::Evaluated(_)))?;
        Some(held.region.clone())
    }

    /// Cells `p0..p1` of one sequence are also another's.
    pub fn copy(&mut self, from: i32, to: i32, p0: i32, p1: i32) {
        let Some(held) = self.held.get(&from) else { return };
        let (first, end) = (held.region.first(), held.region.end());
        let (p0, p1) = (p0.max(0), if p1 < 0 { i32::MAX } else { p1 });
        let state = match &held.state {
            State::Announced => return,
            _ if p0 >= end || p1 <= first => return,
            state if p0 <= first && p1 >= end => state.clone(),
            _ if held.found => return,
            _ => State::Broken("only some of its cells were copied"),
        };
        let copy = Held { region: held.region.clone(), state, found: held.found, comes_again: false };
        self.held.insert(to, copy);
    }

    /// All sequences that have one.
    pub fn sequences(&self) -> Vec<i32> {
        self.held.keys().copied().collect()
    }

    /// A micro-batch is about to be evaluated. `asked` tells what a sequence's plan makes of segments. Returns the sequences
    /// that cannot be served; their rows then count as having no region.
    pub fn feed(&mut self, raw: &[RawRow], asked: impl Fn(i32) -> Option<Asked>) -> Vec<Refusal> {
        self.batch = None;
        self.signature = 0;
        let rows = raw.iter().map(|r| (r.pos, None)).collect();
        let (mut refused, mut batch) = (Vec::new(), Batch { parts: vec![], rows, tokens: vec![], moved: vec![] });
        if self.held.is_empty() {
            return refused;
        }
        let mut seqs: Vec<i32> = raw.iter().map(|r| r.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        for seq in seqs {
            let Some(asked) = asked(seq).filter(|_| self.held.contains_key(&seq)) else { continue };
            match self.part(seq, asked, raw) {
                Ok(None) => {}
                Ok(Some(part)) => {
                    let first = part.evaluated.region.first();
                    let index = batch.parts.len();
                    for (row, r) in batch.rows.iter_mut().zip(raw) {
                        if r.seq == seq && r.pos >= first {
                            row.1 = Some(index);
                        }
                    }
                    batch.move_rows(seq, raw, &part);
                    batch.parts.push(part);
                }
                Err(why) => {
                    if let Some(held) = self.held.get_mut(&seq) {
                        held.state = State::Broken("it could not be served");
                    }
                    refused.push((seq, why));
                }
            }
        }
        if !batch.parts.is_empty() {
            let mut hash = DefaultHasher::new();
            for part in &batch.parts {
                (part.evaluated.id, part.fresh).hash(&mut hash);
            }
            batch.parts().for_each(|(_, _, part)| part.n_after.hash(&mut hash));
            self.signature = hash.finish() | 1;
            self.batch = Some(Arc::new(batch));
        }
        refused
    }

    /// What a sequence's region is to its rows in this micro-batch.
    fn part(&mut self, seq: i32, asked: Asked, raw: &[RawRow]) -> Result<Option<BatchPart>, String> {
        let id = self.next;
        let Some(held) = self.held.get_mut(&seq) else { return Ok(None) };
        let region = &held.region;
        let own: Vec<&RawRow> = raw.iter().filter(|r| r.seq == seq).collect();
        let inside = own.iter().filter(|r| region.place(r.pos).is_some()).count();
        let after = own.iter().any(|r| r.pos >= region.end());
        if let State::Broken(why) = held.state {
            return if inside > 0 || after {
                Err(format!("the region of its segments is of no use: {why}"))
            } else {
                Ok(None)
            };
        }
        if own.iter().any(|r| !r.others.is_empty() && r.pos >= region.first()) {
            return Err("a token of its segments is fed for several sequences at once".into());
        }
        if inside == 0 {
            return match &held.state {
                State::Evaluated(evaluated) if after => {
                    Ok(Some(BatchPart { evaluated: evaluated.clone(), fresh: false }))
                }
                State::Announced if after => Err("tokens after its segments are fed before the segments".into()),
                _ => Ok(None),
            };
        }
        if let (true, State::Evaluated(evaluated)) = (held.comes_again, &held.state) {
            return Ok(Some(BatchPart { evaluated: evaluated.clone(), fresh: false }));
        }
        let mut positions: Vec<i32> = own.iter().map(|r| r.pos).filter(|pos| region.place(*pos).is_some()).collect();
        positions.dedup();
        if positions.len() != region.n_tokens() || !positions.is_sorted() {
            return Err(format!(
                "its segments, {} tokens, must be evaluated in one micro-batch, and {inside} of them came: make n_batch and n_ubatch \
                 at least as large, and feed them in one call",
                region.n_tokens()
            ));
        }
        let (mut as_evaluated, mut moved) = (region.clone(), None);
        if asked.canonical {
            let cells = region.first()..region.end();
            let tokens: Vec<i32> = own.iter().filter(|r| cells.contains(&r.pos)).map(|r| r.token).collect();
            let canonical = region.canonical(&tokens).filter(|_| tokens.iter().all(|t| is_token(*t)));
            let Some(canonical) = canonical else {
                return Err("its segments are not fed as tokens, and so have no order of their own (canonical)".into());
            };
            let tokens = canonical.from.iter().map(|cell| tokens[*cell as usize]).collect();
            (as_evaluated, moved) = (canonical.region, Some(Moved { tokens, from: canonical.from }));
        }
        self.next += 1;
        let (cells, kept) = Default::default();
        let evaluated = Evaluated { id, region: as_evaluated, mode: asked.mode, moved, cells, kept };
        let evaluated = Arc::new(evaluated);
        held.state = State::Evaluated(evaluated.clone());
        Ok(Some(BatchPart { evaluated, fresh: true }))
    }

    /// What the micro-batch at hand has to do with regions.
    pub fn batch(&self) -> Option<Arc<Batch>> {
        self.batch.clone()
    }

    /// Tells graphs apart: equal only for micro-batches with the same regions, none of them fresh.
    pub fn signature(&self) -> u64 {
        self.signature
    }
}

impl Evaluated {
    /// What is kept for later rows, if it is there.
    pub fn kept(&self) -> Option<Arc<Kept>> {
        lock(&self.kept).clone()
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_core::invariance::Span;

    use super::*;

    fn region() -> Region {
        Region::new(&[Span { first: 2, end: 4 }, Span { first: 4, end: 5 }]).unwrap()
    }

    fn rows(seq: i32, positions: std::ops::Range<i32>) -> Vec<RawRow> {
        positions.map(|pos| RawRow { seq, others: [].into(), pos, token: 1, output: true }).collect()
    }

    fn pine(_: i32) -> Option<Asked> {
        Some(Asked { mode: Mode::Pine, canonical: false })
    }

    #[test]
    fn segments_in_their_own_order() {
        let mut regions = Regions::default();
        regions.announce(0, Some(region()), 0).unwrap();
        let mut raw = rows(0, 0..6);
        for (row, token) in raw.iter_mut().zip([1, 1, 7, 8, 5, 9]) {
            row.token = token;
        }
        let asked = |_| Some(Asked { mode: Mode::Set, canonical: true });
        assert!(regions.feed(&raw, asked).is_empty());
        let batch = regions.batch().unwrap();
        assert_eq!(batch.parts[0].evaluated.region.lengths(), [1, 2]);
        assert_eq!(batch.tokens, [(2, 5), (3, 7), (4, 8)]);
        assert_eq!(batch.moved, [(4, 2), (2, 3), (3, 4)]);
        assert!(regions.has(0, &region()), "the host's region is in the cache");
        // Rows that come again are those of the tokens that are there.
        regions.comes_again(0);
        assert!(regions.feed(&raw[3..], asked).is_empty());
        let batch = regions.batch().unwrap();
        assert_eq!((&batch.tokens[..], &batch.moved[..]), (&[(0, 7), (1, 8)][..], &[][..]));
        // Without tokens there is no such order.
        regions.remove(0, 0, -1);
        regions.announce(0, Some(region()), 0).unwrap();
        raw[3].token = evenkeel_core::sequence::EMBEDDED_TOKEN;
        assert_eq!(regions.feed(&raw, asked).len(), 1);
    }

    #[test]
    fn a_region_is_evaluated_and_then_read() {
        let mut regions = Regions::default();
        regions.announce(3, Some(region()), 2).unwrap();
        assert!(regions.announce(3, Some(region()), 3).is_err());
        assert!(regions.feed(&rows(3, 0..2), pine).is_empty());
        assert!(regions.batch().is_none(), "the prefix has nothing to do with it");
        assert!(regions.feed(&[rows(1, 0..2), rows(3, 2..6)].concat(), pine).is_empty());
        let batch = regions.batch().unwrap();
        assert!(batch.parts[0].fresh);
        assert_eq!(batch.seen(0), [Seen::Nothing, Seen::Nothing, Seen::At(2), Seen::At(3), Seen::At(4), Seen::At(5)]);
        let fresh = regions.signature();
        assert!(regions.feed(&rows(3, 6..7), pine).is_empty());
        let later = regions.signature();
        assert!(!regions.batch().unwrap().parts[0].fresh && fresh != later && later != 0);
        regions.feed(&rows(3, 7..8), pine);
        assert_eq!(regions.signature(), later, "the same graph does");
        regions.feed(&rows(1, 7..8), pine);
        assert_eq!(regions.signature(), 0);
    }

    #[test]
    fn parts_of_a_region_are_refused() {
        let mut regions = Regions::default();
        regions.announce(3, Some(region()), 0).unwrap();
        assert_eq!(regions.feed(&rows(3, 0..4), pine).len(), 1);
        assert_eq!(regions.feed(&rows(3, 4..6), pine).len(), 1, "and stay so");
        regions.remove(3, 0, -1);
        assert!(regions.feed(&rows(3, 0..6), pine).is_empty() && regions.batch().is_none(), "until its cells are gone");
    }

    #[test]
    fn what_removals_leave() {
        for (p0, p1, left) in [(5, -1, true), (6, -1, true), (0, 2, true), (4, -1, false), (3, 4, false)] {
            let mut regions = Regions::default();
            regions.announce(0, Some(region()), 0).unwrap();
            regions.feed(&rows(0, 0..6), pine);
            regions.remove(0, p0, p1);
            assert_eq!(regions.feed(&rows(0, 6..7), pine).is_empty(), left, "{p0}..{p1}");
        }
    }

    #[test]
    fn copies_share_it() {
        let mut regions = Regions::default();
        regions.announce(0, Some(region()), 0).unwrap();
        regions.feed(&rows(0, 0..6), pine);
        regions.copy(0, 1, -1, -1);
        regions.copy(0, 2, 0, 4);
        assert!(regions.feed(&rows(1, 6..7), pine).is_empty() && regions.batch().is_some());
        assert_eq!(regions.feed(&rows(2, 6..7), pine).len(), 1);
    }
}

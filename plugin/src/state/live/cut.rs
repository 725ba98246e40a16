//! The prompts of a batch, looked through for segments before any of it is evaluated.

use std::sync::{Arc, atomic::Ordering};

use evenkeel_core::{
    invariance::{Cut, Invariance, MarkerTexts, Markers, Region, cut},
    sequence::{Phase, UNKNOWN_TOKEN, is_token},
};

use super::{Book, Live, RawRow, lock};
use crate::hook::split_of;

/// Where a batch is split into micro-batches.
#[derive(Clone, Copy)]
pub struct Room {
    /// Rows of a micro-batch at most.
    pub n_ubatch: usize,
    /// Whether micro-batches take as many rows of each sequence.
    pub equal: bool,
    /// Whether the call can begin once more.
    pub may_give_up: bool,
}

/// A region whose tokens came in several batches, to be evaluated as a whole.
pub struct Again {
    /// Its sequence.
    pub seq: i32,
    /// The position of the first token that is evaluated.
    pub from: i32,
    /// All tokens from there.
    pub tokens: Vec<i32>,
    /// How many cells the host takes to be there.
    pub keep: i32,
    /// The region.
    pub region: Region,
}

/// What was found in a batch.
#[derive(Default)]
pub struct Prepared {
    /// Rows that belong into one micro-batch: the first, and the one after the last.
    blocks: Vec<(usize, usize)>,
    /// What is to be evaluated before.
    pub again: Vec<Again>,
}

impl Prepared {
    /// No segments.
    pub const NOTHING: Prepared = Prepared { blocks: vec![], again: vec![] };

    /// How many rows the micro-batch takes that begins with row `used`, if it could take `n`.
    pub fn next(&self, used: usize, n: usize) -> usize {
        let cut = |(first, end): &(usize, usize)| used < *first && *first < used + n && used + n < *end;
        self.blocks.iter().filter(|block| cut(block)).map(|(first, _)| first - used).min().unwrap_or(n)
    }
}

/// A sequence whose prompt is looked through.
struct Prompt {
    seq: i32,
    invariance: Invariance,
    markers: MarkerTexts,
    /// From position 0 on: of its cells, then of the batch.
    tokens: Vec<i32>,
    /// The first position in the batch.
    first: i32,
    /// Whether it ends with this batch.
    ends: bool,
}

impl Live {
    /// Whether a plan finds segments by markers.
    pub fn has_markers(&self) -> bool {
        self.markers.load(Ordering::Relaxed)
    }

    /// What the markers of every profile are in this model's vocabulary.
    ///
    /// # Errors
    /// Which are not there, or why this llama.cpp cannot do what a profile needs them for.
    pub fn check_markers(&self, book: &Book) -> Result<(), String> {
        for (name, instance) in &book.named {
            let Some(markers) = instance.plan.invariance.as_ref().and_then(|i| i.markers.as_ref()) else { continue };
            let failed = |why: String| format!("{}: profile {name}: invariance.segments: {why}", book.path.display());
            if split_of(&self.host).is_none() {
                return Err(failed("this llama.cpp does not show how it splits batches".into()));
            }
            let found = self.pieces.markers(&self.host, markers).map_err(failed)?;
            lock(&self.known_markers).insert(markers.clone(), Arc::new(found));
            self.markers.store(true, Ordering::Relaxed);
        }
        self.check_contrast(book)
    }

    /// Looks through the prompts of a batch that is about to be split. Sequences that cannot be served are refused.
    pub fn prepare(&self, raw: &[RawRow], room: Room) -> Prepared {
        let mut prepared = Prepared::default();
        for prompt in self.prompts(raw) {
            if let Err(why) = self.prepare_one(&prompt, raw, room, &mut prepared) {
                let mut inner = lock(&self.inner);
                let pinned = inner.refuse(prompt.seq, self, &why);
                if let Some(sequence) = inner.sequences.get_mut(&prompt.seq) {
                    sequence.pinned = Some(pinned);
                }
            }
        }
        prepared
    }

    fn prompts(&self, raw: &[RawRow]) -> Vec<Prompt> {
        let mut inner = lock(&self.inner);
        let mut seqs: Vec<i32> = raw.iter().map(|r| r.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let mut prompts = vec![];
        for seq in seqs {
            inner.settle(seq, self);
            let call = inner.call;
            let Some(sequence) = inner.sequences.get(&seq) else { continue };
            let own: Vec<&RawRow> = raw.iter().filter(|r| r.seq == seq).collect();
            let first = own[0].pos;
            let plan = sequence.pinned.as_ref().filter(|p| !p.refused).and_then(|p| p.plan(&sequence.router, first));
            let Some(invariance) = plan.and_then(|p| p.plan.invariance.clone()) else { continue };
            let Some(markers) = invariance.markers.clone() else { continue };
            let ends = own.last().is_some_and(|r| r.output);
            if sequence.phase(call, false) == Phase::Generated {
                continue;
            }
            let known = sequence.cells.iter().take(first.max(0) as usize);
            let mut tokens: Vec<i32> = known.map(|(_, cell)| cell.map_or(UNKNOWN_TOKEN, |c| c.token)).collect();
            tokens.resize(first.max(0) as usize, UNKNOWN_TOKEN);
            tokens.extend(own.iter().map(|r| r.token));
            prompts.push(Prompt { seq, invariance, markers, tokens, first, ends });
        }
        prompts
    }

    fn prepare_one(&self, prompt: &Prompt, raw: &[RawRow], room: Room, prepared: &mut Prepared) -> Result<(), String> {
        let Some(region) = self.cut(&prompt.markers, &prompt.tokens, prompt.ends)? else { return Ok(()) };
        let (n, max) = (region.lengths().len(), prompt.invariance.max_segments);
        if n > max as usize {
            return Err(format!("{n} segments, and invariance.max-segments is {max}"));
        }
        if let Some(Err(why)) = self.fit.get() {
            return Err(format!("this context's attention cannot be made independent of their order: {why}"));
        }
        let mut regions = lock(&self.regions);
        if regions.has(prompt.seq, &region) {
            return Ok(());
        }
        if region.n_cells() > room.n_ubatch {
            return Err(format!(
                "its segments, {} tokens, must be evaluated in one micro-batch, and those have {} (n_ubatch, -ub)",
                region.n_cells(),
                room.n_ubatch
            ));
        }
        let row = |pos: i32| raw.iter().position(|r| r.seq == prompt.seq && r.pos == pos);
        if let (Some(first), Some(last)) = (row(region.first()), row(region.end() - 1)) {
            let alone = raw.iter().all(|r| r.seq == prompt.seq);
            if last + 1 - first <= room.n_ubatch && (alone || !room.equal) {
                prepared.blocks.push((first, last + 1));
                regions.found(prompt.seq, region);
                return Ok(());
            }
        }
        if !room.may_give_up {
            return Err("its segments came in several batches".into());
        }
        let from = region.first().min(prompt.first);
        let keep = prompt.first;
        let to = keep.max(region.end()) as usize;
        let tokens = prompt.tokens[from as usize..to].to_vec();
        if !tokens.iter().all(|t| is_token(*t)) {
            return Err("its segments came in several batches, and not all of their tokens are known".into());
        }
        prepared.again.push(Again { seq: prompt.seq, from, tokens, keep, region });
        Ok(())
    }

    /// The region in a sequence's tokens, if it is whole; `ends`: the prompt ends with them.
    fn cut(&self, texts: &MarkerTexts, tokens: &[i32], ends: bool) -> Result<Option<Region>, String> {
        let Some(markers) = lock(&self.known_markers).get(texts).cloned() else { return Ok(None) };
        let markers: &Markers = &markers;
        match cut(markers, tokens, |token| self.pieces.get(&self.host, token, true)).map_err(|e| e.to_string())? {
            Cut::Whole(region) => Ok(Some(region)),
            Cut::Open(why) if ends => Err(format!("the prompt ends, but {why}")),
            Cut::Open(_) | Cut::Nothing => Ok(None),
        }
    }

    /// The region among a sequence's cells up to `from` and the tokens that follow, found before they are evaluated.
    pub(super) fn region_of(&self, seq: i32, from: i32, tokens: &[i32]) -> Option<Region> {
        let (texts, all) = {
            let inner = lock(&self.inner);
            let sequence = inner.sequences.get(&seq)?;
            let plan = sequence.pinned.as_ref().filter(|p| !p.refused)?.plan(&sequence.router, from)?;
            let texts = plan.plan.invariance.as_ref()?.markers.clone()?;
            let known = sequence.cells.iter().take(from.max(0) as usize);
            let all: Vec<i32> = known.map(|(_, cell)| cell.map_or(UNKNOWN_TOKEN, |c| c.token)).collect();
            (texts, [all, tokens.to_vec()].concat())
        };
        // What cannot be cut is refused when the host goes on with it.
        let region = self.cut(&texts, &all, false).ok().flatten()?;
        let mut regions = lock(&self.regions);
        if region.first() >= from && !regions.has(seq, &region) {
            regions.found(seq, region.clone());
        }
        Some(region)
    }

    /// A region is about to be evaluated as a whole.
    pub fn evaluating(&self, again: &Again) {
        let mut inner = lock(&self.inner);
        if let Some(sequence) = inner.sequences.get_mut(&again.seq) {
            sequence.cells.remove(again.from, -1);
            sequence.router.cut(again.from);
            lock(&self.regions).found(again.seq, again.region.clone());
        }
    }

    /// It was evaluated, and cells from the one on that the host feeds next are gone.
    pub fn evaluated(&self, again: &Again) {
        let mut inner = lock(&self.inner);
        inner.totals.again += again.tokens.len() as u64;
        if let Some(sequence) = inner.sequences.get_mut(&again.seq) {
            sequence.tally.again += again.tokens.len() as u64;
            sequence.tally.prompt = sequence.tally.prompt.saturating_sub(again.tokens.len() as u64);
            sequence.cells.remove(again.keep, -1);
            sequence.router.cut(again.keep);
            lock(&self.regions).comes_again(again.seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_micro_batch_ends_before_a_region_that_it_would_cut() {
        let prepared = Prepared { blocks: vec![(3, 8), (10, 12)], again: vec![] };
        assert_eq!(prepared.next(0, 16), 16, "all of both are in it");
        assert_eq!(prepared.next(0, 5), 3);
        assert_eq!(prepared.next(3, 5), 5);
        assert_eq!(prepared.next(8, 3), 2);
        assert_eq!(prepared.next(0, 3), 3);
    }
}

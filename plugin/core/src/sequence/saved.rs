//! What goes with a saved sequence, so that whoever restores it knows what its keys and values were computed under.
//!
//! It stands behind the host's own bytes: cells and segments, then their length and a mark, so that it is found from the end.

use crate::invariance::{MAX_SEGMENTS, Region, Span};

use super::cells::{Cell, Cells, Identity, PlanId};
use super::phase::Phase;

const MARK: [u8; 16] = *b"evenkeel cells 1";
/// Bytes of the end of a trailer: the length of what stands before it, and the mark.
pub const TRAILER_END: usize = 8 + MARK.len();
/// Bytes per cell: token, index of its plan, phase and presence.
const CELL: usize = 4 + 2 + 1;
/// Bytes per plan: SHA-256.
const PLAN: usize = 32;
/// Bytes per segment: its first position and its end.
const SEGMENT: usize = 4 + 4;

/// Cells with the plans' own hashes, which mean the same in another process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved {
    /// Hashes of the plans; a cell's [`PlanId`] here is 0 for no plan, n for the n-th, or [`PlanId::UNKNOWN`].
    pub plans: Vec<[u8; PLAN]>,
    /// The cells.
    pub cells: Cells,
    /// Segments among them that a program announced, if they were evaluated as such.
    pub region: Option<Region>,
}

impl Saved {
    /// The trailer of cells that are known by the process's own numbers; `hash` tells a plan's hash.
    pub fn of(cells: &Cells, region: Option<Region>, mut hash: impl FnMut(PlanId) -> Option<[u8; PLAN]>) -> Saved {
        let mut saved = Saved { plans: vec![], cells: cells.clone(), region };
        let mut known: Vec<(PlanId, PlanId)> = vec![(PlanId::NONE, PlanId::NONE)];
        let mut number = |id: PlanId, plans: &mut Vec<[u8; PLAN]>| {
            if let Some((_, local)) = known.iter().find(|(global, _)| *global == id) {
                return *local;
            }
            let local = match hash(id).filter(|_| plans.len() < usize::from(u16::MAX) - 1) {
                Some(hash) => {
                    plans.push(hash);
                    PlanId(plans.len() as u32)
                }
                None => PlanId::UNKNOWN,
            };
            known.push((id, local));
            local
        };
        for (pos, cell) in cells.iter() {
            if let Some(mut cell) = cell {
                cell.identity.plan = number(cell.identity.plan, &mut saved.plans);
                saved.cells.put(pos, cell);
            }
        }
        saved
    }

    /// The cells with the process's own numbers; `id` gives one to a hash.
    pub fn restore(&self, mut id: impl FnMut(&[u8; PLAN]) -> PlanId) -> Cells {
        let ids: Vec<PlanId> = self.plans.iter().map(&mut id).collect();
        let mut cells = Cells::default();
        for (pos, cell) in self.cells.iter() {
            if let Some(mut cell) = cell {
                let known = |n: u32| ids.get(n as usize - 1).copied().unwrap_or(PlanId::UNKNOWN);
                cell.identity.plan = match cell.identity.plan {
                    PlanId::NONE | PlanId::UNKNOWN => cell.identity.plan,
                    PlanId(n) => known(n),
                };
                cells.put(pos, cell);
            }
        }
        cells
    }

    /// Number of bytes.
    pub fn size(&self) -> usize {
        let segments = self.region.as_ref().map_or(0, |region| region.lengths().len());
        8 + self.plans.len() * PLAN + self.cells.end() as usize * CELL + segments * SEGMENT + TRAILER_END
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        bytes.extend((self.plans.len() as u32).to_le_bytes());
        bytes.extend((self.cells.end() as u32).to_le_bytes());
        self.plans.iter().for_each(|plan| bytes.extend(plan));
        for (_, cell) in self.cells.iter() {
            let shown = cell.unwrap_or(Cell::UNKNOWN);
            let plan = u16::try_from(shown.identity.plan.0).unwrap_or(u16::MAX);
            bytes.extend(shown.token.to_le_bytes());
            bytes.extend(plan.to_le_bytes());
            bytes.push(if cell.is_some() { 1 + shown.identity.phase as u8 } else { 0 });
        }
        for span in self.region.iter().flat_map(Region::spans) {
            bytes.extend(span.first.to_le_bytes());
            bytes.extend(span.end.to_le_bytes());
        }
        bytes.extend((bytes.len() as u64).to_le_bytes());
        bytes.extend(MARK);
        bytes
    }

    /// Bytes that a trailer is said to have by its last [`TRAILER_END`] bytes, if they end one.
    pub fn announced_in(bytes: &[u8]) -> Option<u64> {
        let (length, mark) = bytes.get(bytes.len().checked_sub(TRAILER_END)?..)?.split_at(8);
        let length = u64::from_le_bytes(length.try_into().ok()?).checked_add(TRAILER_END as u64)?;
        (mark == MARK).then_some(length)
    }

    /// Bytes of the trailer at the end of `bytes`, if there is one.
    pub fn length_in(bytes: &[u8]) -> Option<usize> {
        usize::try_from(Self::announced_in(bytes)?).ok().filter(|length| *length <= bytes.len())
    }

    /// Reads the trailer at the end of `bytes`: `None` if there is none; what cannot be read is a trailer without cells
    /// that are known.
    pub fn read(bytes: &[u8]) -> Option<Saved> {
        let length = Self::length_in(bytes)?;
        let body = &bytes[bytes.len() - length..bytes.len() - TRAILER_END];
        Some(Self::parse(body).unwrap_or_default())
    }

    fn parse(body: &[u8]) -> Option<Saved> {
        let word = |at: usize| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?) as usize);
        let (n_plans, n_cells) = (word(0)?, word(4)?);
        let first_cell = n_plans.checked_mul(PLAN)?.checked_add(8)?;
        let segments = body.get(n_cells.checked_mul(CELL)?.checked_add(first_cell)?..)?;
        let cells_end = body.len() - segments.len();
        if segments.len() % SEGMENT != 0 || segments.len() > MAX_SEGMENTS * SEGMENT {
            return None;
        }
        let end = |bytes: &[u8]| Some(i32::from_le_bytes(bytes.try_into().ok()?));
        let span = |bytes: &[u8]| Some(Span { first: end(&bytes[..4])?, end: end(&bytes[4..])? });
        let spans: Vec<Span> = segments.chunks_exact(SEGMENT).map(span).collect::<Option<_>>()?;
        let region = if spans.is_empty() { None } else { Some(Region::with_gaps(&spans).ok()?) };
        if region.as_ref().is_some_and(|region| region.end() as usize > n_cells) {
            return None;
        }
        let plans = body[8..first_cell].chunks_exact(PLAN).map(|p| p.try_into().ok()).collect::<Option<_>>()?;
        let mut cells = Cells::default();
        for (pos, bytes) in (0..).zip(body[first_cell..cells_end].chunks_exact(CELL)) {
            let Some(phase) = bytes[6].checked_sub(1) else { continue };
            let token = i32::from_le_bytes(bytes[..4].try_into().ok()?);
            let plan = match u16::from_le_bytes([bytes[4], bytes[5]]) {
                u16::MAX => PlanId::UNKNOWN,
                n => PlanId(n.into()),
            };
            cells.put(pos, Cell { token, identity: Identity { plan, phase: Phase::from_number(phase)? } });
        }
        Some(Saved { plans, cells, region })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells() -> Cells {
        let mut cells = Cells::default();
        for (pos, plan, phase) in
            [(0, 7, Phase::Prompt), (1, 7, Phase::Last), (3, 0, Phase::Generated), (4, u32::MAX, Phase::Prompt)]
        {
            cells.put(pos, Cell { token: pos * 10, identity: Identity { plan: PlanId(plan), phase } });
        }
        cells
    }

    fn hash(id: PlanId) -> Option<[u8; 32]> {
        (id == PlanId(7)).then_some([7; 32])
    }

    #[test]
    fn what_is_written_is_read_again_under_new_numbers() {
        let spans = [(1, 2), (3, 5)].map(|(first, end)| Span { first, end });
        for region in [None, Some(Region::with_gaps(&spans).unwrap())] {
            let saved = Saved::of(&cells(), region, hash);
            let mut bytes = b"the host's".to_vec();
            bytes.extend(saved.to_bytes());
            assert_eq!(Saved::length_in(&bytes), Some(saved.size()));
            let read = Saved::read(&bytes).expect("a trailer");
            assert_eq!(read, saved);
            let restored = read.restore(|hash| {
                assert_eq!(hash, &[7; 32]);
                PlanId(7)
            });
            assert_eq!(restored, cells());
        }
        // Segments beyond the cells are none.
        let beyond = Region::new(&[Span { first: 1, end: 6 }]).unwrap();
        assert_eq!(Saved::read(&Saved::of(&cells(), Some(beyond), hash).to_bytes()), Some(Saved::default()));
    }

    #[test]
    fn a_state_without_a_trailer_has_none_and_a_broken_one_knows_nothing() {
        assert_eq!(Saved::read(b"evenkeel cells 1"), None);
        assert_eq!(Saved::read(&[0; 100]), None);
        let region = Region::new(&[Span { first: 1, end: 3 }]).unwrap();
        let whole = Saved::of(&cells(), Some(region), hash).to_bytes();
        for at in 0..whole.len() - TRAILER_END {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            // Whatever it says, it is read without harm.
            let _ = Saved::read(&bytes);
        }
        let mut broken = whole;
        broken[4] ^= 1;
        assert_eq!(Saved::read(&broken), Some(Saved::default()));
    }
}

//! The cells of one sequence by position.

use super::phase::Phase;

/// A plan, by a number that the plug-in gives to each identity it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanId(pub u32);

impl PlanId {
    /// No plan: what the host computes by itself.
    pub const NONE: PlanId = PlanId(0);
    /// Nobody knows.
    pub const UNKNOWN: PlanId = PlanId(u32::MAX);
}

/// What keys and values were computed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The plan.
    pub plan: PlanId,
    /// The phase, canonical for that plan.
    pub phase: Phase,
}

/// Stands for the token of a cell that nobody saw.
pub const UNKNOWN_TOKEN: i32 = -1;

/// Stands for the token of a cell that came as an embedding: of an image, of audio.
pub const EMBEDDED_TOKEN: i32 = -2;

/// Whether this is a token.
pub const fn is_token(token: i32) -> bool {
    token >= 0
}

/// Positions beyond are not kept; a sequence that has some counts as unknown.
pub const MAX_POSITION: i32 = 1 << 24;

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The token that was fed, or [`EMBEDDED_TOKEN`], or [`UNKNOWN_TOKEN`].
    pub token: i32,
    /// What its keys and values were computed under.
    pub identity: Identity,
}

impl Cell {
    /// A cell of which nothing is known.
    pub const UNKNOWN: Cell =
        Cell { token: UNKNOWN_TOKEN, identity: Identity { plan: PlanId::UNKNOWN, phase: Phase::Prompt } };
}

/// The cells of one sequence. Positions that were never fed, or were removed, are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cells(Vec<Option<Cell>>);

impl Cells {
    /// One more than the last position; 0 if there are none.
    pub fn end(&self) -> i32 {
        self.0.len() as i32
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cell at a position.
    pub fn get(&self, pos: i32) -> Option<Cell> {
        self.0.get(usize::try_from(pos).ok()?).copied().flatten()
    }

    /// All cells from the first position to the last.
    pub fn iter(&self) -> impl Iterator<Item = (i32, Option<Cell>)> {
        (0..).zip(self.0.iter().copied())
    }

    /// Puts a cell at a position. Positions below 0 or beyond [`MAX_POSITION`] are left out.
    pub fn put(&mut self, pos: i32, cell: Cell) {
        let Some(at) = usize::try_from(pos).ok().filter(|_| pos <= MAX_POSITION) else { return };
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some(cell);
    }

    /// `llama_memory_seq_rm`: removes positions `p0..p1`; below 0 they mean the beginning and the end.
    pub fn remove(&mut self, p0: i32, p1: i32) {
        let (from, to) = self.range(p0, p1);
        self.0[from..to].fill(None);
        self.trim();
    }

    /// `llama_memory_seq_add`: moves positions `p0..p1` by `delta`; what falls below 0 is removed.
    pub fn shift(&mut self, p0: i32, p1: i32, delta: i32) {
        self.moved(p0, p1, |pos| pos.checked_add(delta));
    }

    /// `llama_memory_seq_div`: divides positions `p0..p1` by `d`.
    pub fn divide(&mut self, p0: i32, p1: i32, d: i32) {
        self.moved(p0, p1, |pos| pos.checked_div(d));
    }

    fn moved(&mut self, p0: i32, p1: i32, to: impl Fn(i32) -> Option<i32>) {
        let (from, end) = self.range(p0, p1);
        let taken: Vec<_> = (from as i32..).zip(self.0[from..end].iter_mut().map(Option::take)).collect();
        for (pos, cell) in taken {
            if let (Some(cell), Some(pos)) = (cell, to(pos)) {
                self.put(pos, cell);
            }
        }
        self.trim();
    }

    /// `llama_memory_seq_cp`: takes over positions `p0..p1` of another sequence.
    pub fn copy(&mut self, other: &Cells, p0: i32, p1: i32) {
        let (from, to) = other.range(p0, p1);
        for (pos, cell) in (from as i32..).zip(&other.0[from..to]) {
            if let Some(cell) = cell {
                self.put(pos, *cell);
            }
        }
    }

    /// The first position that is absent or does not hold what `right` says it should; the end if all do. After an image
    /// positions may be left out: those of its height or width.
    pub fn first_wrong(&self, mut right: impl FnMut(i32, &Cell) -> bool) -> i32 {
        let mut in_image = false;
        let mut wrong = |(pos, cell): &(i32, Option<Cell>)| match cell {
            Some(cell) => {
                in_image = cell.token == EMBEDDED_TOKEN;
                !right(*pos, cell)
            }
            None => !in_image,
        };
        self.iter().find(|place| wrong(place)).map_or(self.end(), |(pos, _)| pos)
    }

    /// The tokens from a position to the end; `None` if there is none in a place, or it is not known.
    pub fn tokens_from(&self, pos: i32) -> Option<Vec<i32>> {
        let tail = self.0.get(usize::try_from(pos).ok()?..)?;
        tail.iter().map(|cell| cell.map(|c| c.token).filter(|t| is_token(*t))).collect()
    }

    /// Positions and tokens of the cells that are there.
    pub fn fed(&self) -> impl Iterator<Item = (i32, i32)> {
        self.iter().filter_map(|(pos, cell)| Some((pos, cell?.token)))
    }

    fn range(&self, p0: i32, p1: i32) -> (usize, usize) {
        let to = if p1 < 0 { self.0.len() } else { (p1 as usize).min(self.0.len()) };
        ((p0.max(0) as usize).min(to), to)
    }

    fn trim(&mut self) {
        let end = self.0.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.0.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(token: i32) -> Cell {
        Cell { token, identity: Identity { plan: PlanId::NONE, phase: Phase::Prompt } }
    }

    fn cells(tokens: &[i32]) -> Cells {
        let mut cells = Cells::default();
        (0..).zip(tokens).for_each(|(pos, token)| cells.put(pos, cell(*token)));
        cells
    }

    fn shown(cells: &Cells) -> Vec<i32> {
        cells.iter().map(|(_, c)| c.map_or(-9, |c| c.token)).collect()
    }

    #[test]
    fn removing_moving_and_copying_do_what_llama_cpp_does() {
        let mut a = cells(&[10, 11, 12, 13, 14, 15]);
        a.remove(4, -1);
        assert_eq!(shown(&a), [10, 11, 12, 13]);
        // A context shift: two cells go, what follows moves up.
        a.remove(1, 3);
        a.shift(3, -1, -2);
        assert_eq!(shown(&a), [10, 13]);
        let mut b = cells(&[1]);
        b.copy(&a, 1, -1);
        assert_eq!(shown(&b), [1, 13]);
        b.shift(0, -1, -1);
        assert_eq!(shown(&b), [13]);
        b.remove(-1, -1);
        assert!(b.is_empty());
        let mut c = cells(&[0, 1, 2, 3]);
        c.divide(2, -1, 2);
        assert_eq!(shown(&c), [0, 3]);
    }

    #[test]
    fn a_gap_is_wrong_and_has_no_token() {
        let mut a = cells(&[10, 11]);
        a.put(4, cell(14));
        assert_eq!(a.end(), 5);
        assert_eq!(a.first_wrong(|_, _| true), 2);
        assert_eq!(a.tokens_from(0), None);
        assert_eq!(a.tokens_from(4), Some(vec![14]));
        assert_eq!(a.fed().collect::<Vec<_>>(), [(0, 10), (1, 11), (4, 14)]);
        assert_eq!(cells(&[1, EMBEDDED_TOKEN]).tokens_from(0), None);
        assert_eq!(cells(&[1, 2]).first_wrong(|pos, _| pos < 1), 1);
        assert_eq!(cells(&[1, 2]).first_wrong(|_, _| true), 2);
        let mut image = cells(&[10, EMBEDDED_TOKEN]);
        image.put(4, cell(14));
        assert_eq!((image.first_wrong(|_, _| true), image.first_wrong(|pos, _| pos < 4)), (5, 4));
    }

    #[test]
    fn no_position_takes_the_memory_of_the_machine() {
        let mut a = Cells::default();
        a.put(i32::MAX, cell(1));
        a.put(-3, cell(1));
        assert!(a.is_empty());
        a.put(3, cell(1));
        a.shift(0, -1, i32::MAX);
        assert!(a.is_empty());
    }
}

//! A region of segments in a sequence.

use super::Mode;

/// Most segments of a region.
pub const MAX_SEGMENTS: usize = 64;

/// Positions of one segment in its sequence, as the host counts them: from `first`, to `end` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The position of its first token.
    pub first: i32,
    /// One more than that of its last.
    pub end: i32,
}

/// Segments, one after the other, between a prefix and a suffix. What stands between two of them is seen by no other token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region {
    pub(super) first: i32,
    pub(super) lengths: Vec<u32>,
    /// Tokens that stand before each segment and in none, since the one before.
    pub(super) gaps: Vec<u32>,
}

/// Where a token of a region stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The segment, in the order of the input.
    pub segment: usize,
    /// The token's number in it.
    pub offset: u32,
}

/// Spans that make no region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// None, or too many.
    #[error("number of segments, got {0}, allowed: 1 to {MAX_SEGMENTS}")]
    Count(usize),
    /// Without tokens.
    #[error("segment {segment} has no token, got {first}..{end}, allowed: an end after the first position")]
    Empty {
        /// Which one, from 0.
        segment: usize,
        /// Its first position.
        first: i32,
        /// Its end.
        end: i32,
    },
    /// Not one after the other.
    #[error("segment {segment} does not follow the one before, got a first position of {first}, allowed: {allowed}")]
    Gap {
        /// Which one, from 0.
        segment: usize,
        /// Where it begins.
        first: i32,
        /// Where the one before ends.
        allowed: i32,
    },
    /// Nothing before the first segment.
    #[error("the first segment begins at position {0}, allowed: 1 or more, because a prefix must stand before it")]
    NoPrefix(i32),
    /// Longer than any context.
    #[error("the last segment ends at position {0}, allowed: at most {max}", max = Region::MAX_END)]
    TooLong(i32),
}

impl Region {
    /// No position is beyond; sums of lengths are then exact in F32.
    pub const MAX_END: i32 = 1 << 23;

    /// A region of these segments, in the order of their positions, each beginning where the one before ends.
    ///
    /// # Errors
    /// [`RegionError`]
    pub fn new(spans: &[Span]) -> Result<Region, RegionError> {
        let region = Self::with_gaps(spans)?;
        match region.gaps.iter().position(|gap| *gap > 0) {
            Some(segment) => {
                let (first, allowed) = (spans[segment].first, spans[segment - 1].end);
                Err(RegionError::Gap { segment, first, allowed })
            }
            None => Ok(region),
        }
    }

    /// The same, but tokens may stand between two segments.
    ///
    /// # Errors
    /// [`RegionError`]
    pub fn with_gaps(spans: &[Span]) -> Result<Region, RegionError> {
        if spans.is_empty() || spans.len() > MAX_SEGMENTS {
            return Err(RegionError::Count(spans.len()));
        }
        let first = spans[0].first;
        if first < 1 {
            return Err(RegionError::NoPrefix(first));
        }
        let (mut at, mut lengths, mut gaps) = (first, Vec::with_capacity(spans.len()), Vec::with_capacity(spans.len()));
        for (segment, span) in spans.iter().enumerate() {
            if span.end <= span.first {
                return Err(RegionError::Empty { segment, first: span.first, end: span.end });
            }
            if span.first < at {
                return Err(RegionError::Gap { segment, first: span.first, allowed: at });
            }
            if span.end > Self::MAX_END {
                return Err(RegionError::TooLong(span.end));
            }
            lengths.push((span.end - span.first) as u32);
            gaps.push((span.first - at) as u32);
            at = span.end;
        }
        Ok(Region { first, lengths, gaps })
    }

    /// The position of the first token of the first segment.
    pub fn first(&self) -> i32 {
        self.first
    }

    /// The position after the last segment.
    pub fn end(&self) -> i32 {
        self.first + self.n_cells() as i32
    }

    /// Tokens in its segments.
    pub fn n_tokens(&self) -> usize {
        self.lengths.iter().sum::<u32>() as usize
    }

    /// Tokens from its begin to its end: those that stand between segments too.
    pub fn n_cells(&self) -> usize {
        self.n_tokens() + self.gaps.iter().sum::<u32>() as usize
    }

    /// The segments with their positions.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        let mut at = self.first;
        self.lengths.iter().zip(&self.gaps).map(move |(length, gap)| {
            let first = at + *gap as i32;
            at = first + *length as i32;
            Span { first, end: at }
        })
    }

    /// Whether the token at a position stands between two segments.
    pub fn is_gap(&self, pos: i32) -> bool {
        (self.first..self.end()).contains(&pos) && self.place(pos).is_none()
    }

    /// Tokens of each segment.
    pub fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Tokens of the longest segment.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0) as usize
    }

    /// Where the token at a position stands; `None` outside of the segments.
    pub fn place(&self, pos: i32) -> Option<Place> {
        let mut offset = u32::try_from(pos.checked_sub(self.first)?).ok()?;
        for (segment, (&length, &gap)) in self.lengths.iter().zip(&self.gaps).enumerate() {
            offset = offset.checked_sub(gap)?;
            if offset < length {
                return Some(Place { segment, offset });
            }
            offset -= length;
        }
        None
    }

    /// The position that the token at `pos` gets for its rotation.
    ///
    /// PINE: all segments end at the region's end, so that what is cached of a segment does not depend on the others;
    /// prefix and suffix stay. Set: all segments begin at the region's begin, and the suffix follows the longest.
    pub fn position(&self, pos: i32, mode: Mode) -> i32 {
        match (mode, self.place(pos)) {
            (Mode::Pine, Some(place)) => self.end() - self.lengths[place.segment] as i32 + place.offset as i32,
            (Mode::Set, Some(place)) => self.first + place.offset as i32,
            (Mode::Set, None) if pos >= self.end() => pos - self.n_cells() as i32 + self.longest() as i32,
            (_, None) => pos,
        }
    }

    /// Whether the token at `query` may look at the one at `key`, in the graph's part for the whole sequence.
    pub fn sees(&self, query: i32, key: i32, mode: Mode) -> bool {
        match (mode, self.place(query), self.place(key)) {
            (Mode::Pine, Some(i), Some(s)) if i.segment != s.segment => true,
            (Mode::Set, Some(i), Some(s)) if i.segment != s.segment => false,
            _ if query != key && self.is_gap(key) => false,
            _ => key <= query,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(bounds: &[i32]) -> Result<Region, RegionError> {
        let spans: Vec<Span> = bounds.windows(2).map(|w| Span { first: w[0], end: w[1] }).collect();
        Region::new(&spans)
    }

    #[test]
    fn positions() {
        let region = region(&[3, 5, 6, 9]).unwrap();
        let at = |mode| (0..12).map(|pos| region.position(pos, mode)).collect::<Vec<_>>();
        assert_eq!(at(Mode::Pine), [0, 1, 2, 7, 8, 8, 6, 7, 8, 9, 10, 11]);
        assert_eq!(at(Mode::Set), [0, 1, 2, 3, 4, 3, 3, 4, 5, 6, 7, 8]);
        assert_eq!(region.place(6), Some(Place { segment: 2, offset: 0 }));
        assert_eq!((region.place(2), region.place(9)), (None, None));
    }

    #[test]
    fn what_sees_what() {
        let region = region(&[1, 3, 5]).unwrap();
        let seen = |query, mode| (0..6).filter(|key| region.sees(query, *key, mode)).collect::<Vec<_>>();
        assert_eq!(seen(1, Mode::Pine), [0, 1, 3, 4]);
        assert_eq!(seen(4, Mode::Pine), [0, 1, 2, 3, 4]);
        assert_eq!(seen(4, Mode::Set), [0, 3, 4]);
        assert_eq!(seen(5, Mode::Set), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_stands_between_is_not_seen() {
        let spans = [(2, 4), (5, 6), (6, 8)].map(|(first, end)| Span { first, end });
        let region = Region::with_gaps(&spans).unwrap();
        assert_eq!((region.end(), region.n_tokens(), region.n_cells()), (8, 5, 6));
        assert_eq!(region.spans().collect::<Vec<_>>(), spans);
        assert_eq!((region.place(4), region.place(5)), (None, Some(Place { segment: 1, offset: 0 })));
        let at = |mode| (0..10).map(|pos| region.position(pos, mode)).collect::<Vec<_>>();
        assert_eq!(at(Mode::Pine), [0, 1, 6, 7, 4, 7, 6, 7, 8, 9]);
        assert_eq!(at(Mode::Set), [0, 1, 2, 3, 4, 2, 2, 3, 4, 5]);
        let seen = |query, mode| (0..10).filter(|key| region.sees(query, *key, mode)).collect::<Vec<_>>();
        assert_eq!(seen(8, Mode::Pine), [0, 1, 2, 3, 5, 6, 7, 8]);
        assert_eq!(seen(3, Mode::Set), [0, 1, 2, 3]);
        assert_eq!(seen(5, Mode::Set), [0, 1, 5]);
    }

    #[test]
    fn refusals() {
        assert_eq!(Region::new(&[]), Err(RegionError::Count(0)));
        assert_eq!(region(&[0, 2]), Err(RegionError::NoPrefix(0)));
        assert_eq!(region(&[2, 2]), Err(RegionError::Empty { segment: 0, first: 2, end: 2 }));
        let gap = [Span { first: 1, end: 2 }, Span { first: 3, end: 4 }];
        assert_eq!(Region::new(&gap), Err(RegionError::Gap { segment: 1, first: 3, allowed: 2 }));
        assert_eq!(region(&[1, 1 << 24]), Err(RegionError::TooLong(1 << 24)));
        assert!(region(&[i32::MIN, i32::MAX]).is_err());
        let many: Vec<i32> = (1..=66).collect();
        assert_eq!(region(&many), Err(RegionError::Count(65)));
    }
}

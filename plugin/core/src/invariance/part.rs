//! The shape of what a graph computes for one region: how its keys lie, which rows of the micro-batch they concern, and in
//! which pieces the scores are made.
//!
//! The keys of a region lie in *slots*, a block of as many for each segment as the longest has tokens, and some more for the
//! sake of fast products; those that are left over are never seen. Where the region's own rows are evaluated, the tokens
//! before the region stand in blocks of the same size behind them.

use std::ops::Range;

use super::Region;

/// What a row of the micro-batch has to do with one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: another sequence's, or before the region.
    Nothing,
    /// It stands in the region, or after it, at this position of the host's.
    At(i32),
}

/// What the shape of a graph has to say about one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// Segments.
    pub n_segments: usize,
    /// Slots of each: a multiple of [`Part::LANES`].
    pub stride: usize,
    /// Tokens of the longest: as many rows are computed for each.
    pub longest: usize,
    /// Tokens before the region.
    pub n_before: usize,
    /// Rows of the micro-batch that stand after the region.
    pub n_after: usize,
    /// Whether the region's own rows are in this micro-batch.
    pub fresh: bool,
}

impl Part {
    /// Numbers that ggml's fast products on CPUs sum at once.
    pub const LANES: usize = 16;

    /// Of a region in a micro-batch of these rows.
    pub fn new(region: &Region, rows: &[Seen], fresh: bool) -> Part {
        Part {
            n_segments: region.lengths().len(),
            stride: region.longest().next_multiple_of(Self::LANES),
            longest: region.longest(),
            n_before: region.first() as usize,
            n_after: after(region, rows).count(),
            fresh,
        }
    }

    /// Rows that are computed for all segments.
    pub fn n_rows(&self) -> usize {
        self.n_segments * self.longest
    }

    /// Slots of all segments.
    pub fn n_slots(&self) -> usize {
        self.n_segments * self.stride
    }

    /// Blocks of the tokens before the region.
    pub fn blocks_before(&self) -> usize {
        self.n_before.div_ceil(self.stride)
    }

    /// Slots that the region's own rows look at: of the segments, then of the tokens before them.
    pub fn n_seen(&self) -> usize {
        (self.n_segments + self.blocks_before()) * self.stride
    }
}

/// Rows after a region, in order.
pub(super) fn after<'a>(region: &'a Region, rows: &'a [Seen]) -> impl Iterator<Item = usize> + 'a {
    let is_after = |row: &Seen| matches!(row, Seen::At(pos) if *pos >= region.end());
    rows.iter().enumerate().filter(move |(_, row)| is_after(row)).map(|(row, _)| row)
}

/// Scores that are made at once: of the rows of these segments, in these heads of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Segments.
    pub segments: Range<usize>,
    /// Heads of the keys.
    pub heads: Range<usize>,
}

/// Cuts `n_segments` × `n_heads` into as few pieces as there may be of at most `most` times the scores of one segment in one
/// head: several segments in all heads, or some heads of one segment.
pub fn chunks(n_segments: usize, n_heads: usize, most: usize) -> Vec<Chunk> {
    let runs = |n: usize, of: usize| (0..n).step_by(of.clamp(1, n)).map(move |at| at..n.min(at + of.max(1)));
    if most >= n_heads {
        runs(n_segments, most / n_heads).map(|segments| Chunk { segments, heads: 0..n_heads }).collect()
    } else {
        let heads_of = |s: usize| runs(n_heads, most).map(move |heads| Chunk { segments: s..s + 1, heads });
        (0..n_segments).flat_map(heads_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    #[test]
    fn shapes() {
        let spans = [(5, 7), (7, 8), (9, 12)].map(|(first, end)| Span { first, end });
        let region = Region::with_gaps(&spans).unwrap();
        let rows = [Seen::Nothing, Seen::At(11), Seen::At(8), Seen::At(12), Seen::At(13)];
        let part = Part::new(&region, &rows, false);
        assert_eq!(part, Part { n_segments: 3, stride: 16, longest: 3, n_before: 5, n_after: 2, fresh: false });
        assert_eq!((part.n_rows(), part.n_slots(), part.blocks_before(), part.n_seen()), (9, 48, 1, 64));
        assert_eq!(after(&region, &rows).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn every_score_is_in_one_piece() {
        for (segments, heads) in [(1, 1), (3, 4), (10, 4), (5, 1)] {
            for most in [0, 1, 2, 3, 4, 7, 8, 100] {
                let mut times = vec![0; segments * heads];
                for chunk in chunks(segments, heads, most) {
                    assert!(chunk.segments.len() * chunk.heads.len() <= most.max(1), "{chunk:?}");
                    assert!(chunk.segments.len() == 1 || chunk.heads == (0..heads));
                    for s in chunk.segments {
                        chunk.heads.clone().for_each(|h| times[s * heads + h] += 1);
                    }
                }
                assert_eq!(times, vec![1; segments * heads], "{segments} {heads} {most}");
            }
        }
        assert_eq!(chunks(10, 4, 8).len(), 5);
        assert_eq!(chunks(2, 4, 2).len(), 4);
    }
}

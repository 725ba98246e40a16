//! The order of a region's segments that is a matter of what they are, not of where a prompt has them.

use super::Region;

/// A region in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    /// The segments by their tokens, the smallest first. What stands between two of them stays where it is.
    pub region: Region,
    /// For each of its cells the one of the prompt's whose token stands there.
    pub from: Vec<u32>,
}

impl Region {
    /// The canonical order, given the tokens of all its cells as the prompt has them; `None` if they are not as many.
    ///
    /// Prompts whose segments are the same up to their order have the same.
    pub fn canonical(&self, tokens: &[i32]) -> Option<Canonical> {
        if tokens.len() != self.n_cells() {
            return None;
        }
        let cells: Vec<std::ops::Range<u32>> =
            self.spans().map(|span| (span.first - self.first) as u32..(span.end - self.first) as u32).collect();
        let text = |segment: usize| &tokens[cells[segment].start as usize..cells[segment].end as usize];
        let mut order: Vec<usize> = (0..cells.len()).collect();
        order.sort_by_key(|segment| text(*segment));
        let mut from = Vec::with_capacity(tokens.len());
        for (place, segment) in order.iter().enumerate() {
            let here = cells[place].start;
            from.extend(here - self.gaps[place]..here);
            from.extend(cells[*segment].clone());
        }
        let lengths = order.iter().map(|segment| self.lengths[*segment]).collect();
        let region = Region { first: self.first, lengths, gaps: self.gaps.clone() };
        Some(Canonical { region, from })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    /// Where segments begin and end.
    type Bounds = &'static [(i32, i32)];

    #[test]
    fn all_orders_have_the_same() {
        // 9 stands between segments.
        let prompts: [(&[i32], Bounds); 3] = [
            (&[5, 6, 9, 5, 2, 7, 8], &[(2, 4), (5, 6), (6, 9)]),
            (&[5, 9, 2, 7, 8, 5, 6], &[(2, 3), (4, 7), (7, 9)]),
            (&[2, 7, 8, 9, 5, 6, 5], &[(2, 5), (6, 8), (8, 9)]),
        ];
        for (tokens, bounds) in prompts {
            let spans: Vec<Span> = bounds.iter().map(|(first, end)| Span { first: *first, end: *end }).collect();
            let canonical = Region::with_gaps(&spans).unwrap().canonical(tokens).unwrap();
            let found: Vec<(i32, i32)> = canonical.region.spans().map(|s| (s.first, s.end)).collect();
            assert_eq!(found, [(2, 5), (6, 7), (7, 9)], "{tokens:?}");
            let moved: Vec<i32> = canonical.from.iter().map(|cell| tokens[*cell as usize]).collect();
            assert_eq!(moved, [2, 7, 8, 9, 5, 5, 6], "{tokens:?}");
        }
        let region = Region::new(&[Span { first: 1, end: 3 }]).unwrap();
        assert_eq!(region.canonical(&[1]), None);
        assert_eq!(region.canonical(&[4, 3]).unwrap().from, [0, 1]);
    }
}

//! How a sequence is cut: prefix, segments, suffix.

/// What attention makes of the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: ordinary causal attention.
    Plain,
    /// Segments see each other; each query has them ordered by how much it attends to them.
    Pine,
    /// Segments do not see each other, and begin at the same position.
    Set,
}

/// A region of segments: `prefix` tokens, then segments of these lengths, then the suffix and what is generated.
#[derive(Clone, Debug)]
pub struct Segments {
    /// Tokens before the first segment.
    pub prefix: usize,
    /// Tokens of each segment, none of them 0.
    pub lengths: Vec<usize>,
}

impl Segments {
    /// The first position after the region.
    pub fn end(&self) -> usize {
        self.prefix + self.lengths.iter().sum::<usize>()
    }

    /// The first token of a segment, in the order of the input.
    pub fn first(&self, segment: usize) -> usize {
        self.prefix + self.lengths[..segment].iter().sum::<usize>()
    }

    /// The segment of a token and its place in it; `None` outside of the region.
    pub fn place(&self, token: usize) -> Option<(usize, usize)> {
        let segment =
            (0..self.lengths.len()).find(|s| (self.first(*s)..self.first(*s) + self.lengths[*s]).contains(&token))?;
        Some((segment, token - self.first(segment)))
    }

    /// The position at which a token stands as a query: segments end together, or begin together.
    pub fn position(&self, token: usize, mode: Mode) -> f64 {
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let position = match (mode, self.place(token)) {
            (Mode::Plain, _) => token,
            (Mode::Pine, Some((s, c))) => self.end() - self.lengths[s] + c,
            (Mode::Pine, None) => token,
            (Mode::Set, Some((_, c))) => self.prefix + c,
            (Mode::Set, None) if token < self.prefix => token,
            (Mode::Set, None) => self.prefix + longest + token - self.end(),
        };
        position as f64
    }

    /// Whether a query may look at a key.
    pub fn sees(&self, query: usize, key: usize, mode: Mode) -> bool {
        match (mode, self.place(query), self.place(key)) {
            (Mode::Pine, Some((i, _)), Some((s, _))) if i != s => true,
            (Mode::Set, Some((i, _)), Some((s, _))) if i != s => false,
            _ => key <= query,
        }
    }
}

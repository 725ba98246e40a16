//! Attention that does not depend on the order of segments: what a region of segments is, and the numbers that a graph is
//! given about it before each evaluation.
//!
//! Two modes: PINE (Wang et al., arXiv 2407.01100), in a form for caches of rotated keys: each cached key is read once and
//! the *query* is turned once per segment; and Set-Based Prompting (McIlroy-Young et al., arXiv 2406.06581), which is
//! positions and a mask only.
//!
//! With the keys of a segment that ends at position `y`, cached at positions that end at the region's end `x`, the score of
//! a query at `p` is that of the query at `p + (x - y)` with the cached key, because rotations add up.

mod canonical;
mod fit;
mod markers;
mod part;
mod region;
mod tables;

pub use canonical::Canonical;
pub use fit::unfit;
pub use markers::{Cut, Marker, MarkerError, Markers, Pairs, PairsError, cut, pairs};
pub use part::{Chunk, Part, Seen, chunks};
pub use region::{MAX_SEGMENTS, Place, Region, RegionError, Span};
pub use tables::{OwnTables, Stray, Tables};

/// What attention makes of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Segments see each other; each query and head has them ordered by how much it attends to them, the most important
    /// nearest.
    Pine,
    /// Segments do not see each other, and begin at the same position.
    Set,
}

impl Mode {
    /// The word in the profile.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Pine => "pine",
            Mode::Set => "set",
        }
    }
}

/// What a profile says of segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invariance {
    /// What attention makes of them.
    pub mode: Mode,
    /// What they are found by; `None`: a program says which tokens they are.
    pub markers: Option<MarkerTexts>,
    /// More segments than that are refused.
    pub max_segments: u32,
    /// Whether they are evaluated in an order of their own, whatever the prompt's is.
    pub canonical: bool,
}

/// The texts around each segment, which belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MarkerTexts {
    /// Where it begins.
    pub open: String,
    /// Where it ends.
    pub close: String,
    /// Whether text may contain them: they need not be special tokens of the model.
    pub in_text: bool,
}

//! Segments that a program announces, and whether the context's attention fits.

use std::sync::Arc;

use evenkeel_core::invariance::Region;

use super::super::{Batch, lock};
use super::Live;

impl Live {
    /// Says which tokens of a sequence, not fed yet, are segments; `None` takes it back.
    ///
    /// # Errors
    /// If the sequence's plan does not speak of segments, or cells of the region are there already.
    pub fn set_region(&self, seq: i32, region: Option<Region>) -> Result<(), String> {
        if region.is_some()
            && let Some(Err(why)) = self.fit.get()
        {
            return Err(format!("this context's attention cannot be made independent of their order: {why}"));
        }
        let mut inner = lock(&self.inner);
        inner.settle(seq, self);
        if region.is_some() && inner.asked(seq).is_none() {
            return Err(format!("sequence {seq} runs under a profile without [invariance], or under none"));
        }
        let cells = inner.sequences.get(&seq).map_or(0, |s| s.cells.end());
        lock(&self.regions).announce(seq, region, cells)
    }

    /// The segments that a program announced for a sequence, if they are in the cache.
    pub fn announced_segments(&self, seq: i32) -> Option<Region> {
        lock(&self.regions).announced_and_evaluated(seq)
    }

    /// Takes note of whether its attention fits. True if that was not known.
    pub fn fits(&self, found: Result<(), String>) -> bool {
        self.fit.set(found).is_ok()
    }

    /// Whether its attention is known to fit.
    pub fn is_fit(&self) -> bool {
        matches!(self.fit.get(), Some(Ok(())))
    }

    /// What the micro-batch that is evaluated has to do with regions of segments.
    pub fn batch(&self) -> Option<Arc<Batch>> {
        lock(&self.regions).batch()
    }
}

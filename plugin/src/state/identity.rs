//! Numbers for what keys and values were computed under: one per plan and setting of its strengths.

use std::sync::Mutex;

use evenkeel_core::{invariance::Region, sequence::PlanId};
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

use super::lock;

/// SHA-256 of a plan, its strengths included.
pub type Hash = [u8; 32];

/// All that were met, since the process began: a number never changes its meaning.
#[derive(Default)]
pub struct Identities(Mutex<Known>);

#[derive(Default)]
struct Known {
    ids: FxHashMap<Hash, PlanId>,
    hashes: Vec<Hash>,
}

impl Identities {
    /// The number of a hash.
    pub fn id(&self, hash: &Hash) -> PlanId {
        let mut known = lock(&self.0);
        if let Some(id) = known.ids.get(hash) {
            return *id;
        }
        known.hashes.push(*hash);
        // From 1: 0 is the plan that changes nothing.
        let id = PlanId(u32::try_from(known.hashes.len()).unwrap_or(u32::MAX));
        known.ids.insert(*hash, id);
        id
    }

    /// The number of what cells of a region of segments, and those after it, are computed under.
    pub fn of_region(&self, plan: PlanId, region: &Region) -> PlanId {
        let mut hash = Sha256::new();
        hash.update(b"region");
        hash.update(self.hash(plan).unwrap_or_default());
        for span in region.spans() {
            hash.update(span.first.to_le_bytes());
            hash.update(span.end.to_le_bytes());
        }
        self.id(&hash.finalize().into())
    }

    /// The hash of a number.
    pub fn hash(&self, id: PlanId) -> Option<Hash> {
        lock(&self.0).hashes.get((id.0 as usize).checked_sub(1)?).copied()
    }
}

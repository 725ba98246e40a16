//! What was found out about the host, by where its calls come from.

use std::{
    hash::Hash,
    sync::{RwLock, TryLockError},
};

use rustc_hash::FxHashMap;

/// A table that grows to the number of call sites and never waits: in a forked child its lock may be held for ever by a
/// thread that is not there any more, so a look-up that cannot have the lock finds nothing, and nothing is kept.
pub struct Known<K, V>(RwLock<FxHashMap<K, V>>);

impl<K: Eq + Hash, V: Clone> Known<K, V> {
    /// An empty table.
    pub const fn new() -> Known<K, V> {
        Known(RwLock::new(FxHashMap::with_hasher(rustc_hash::FxBuildHasher)))
    }

    /// What was kept for `key`.
    pub fn get(&self, key: &K) -> Option<V> {
        match self.0.try_read() {
            Ok(table) => table.get(key).cloned(),
            Err(TryLockError::Poisoned(table)) => table.into_inner().get(key).cloned(),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Keeps `value` unless another thread was faster; returns what is kept.
    pub fn keep(&self, key: K, value: V) -> V {
        match self.0.try_write() {
            Ok(mut table) => table.entry(key).or_insert(value).clone(),
            Err(TryLockError::Poisoned(table)) => table.into_inner().entry(key).or_insert(value).clone(),
            Err(TryLockError::WouldBlock) => value,
        }
    }
}

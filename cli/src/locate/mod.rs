//! Where things are: llama.cpp, the plug-in, the cache.

mod llama;
mod plugin;

pub use llama::{below, beside, llama};
pub use plugin::plugin;

use std::path::PathBuf;

use crate::failure::Failure;

/// `EVENKEEL_CACHE`, else `evenkeel` in the user's cache folder.
pub fn cache() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("EVENKEEL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|c| c.join("evenkeel")))
        .or_else(|| set("HOME").map(|h| h.join(".cache/evenkeel")))
        .ok_or_else(|| {
            Failure::new("there is no folder for the cache: neither HOME nor XDG_CACHE_HOME is set")
                .todo("set EVENKEEL_CACHE to a folder")
        })
}

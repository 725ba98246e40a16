//! The shared libraries of llama.cpp.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Cache;

/// The folder of the libraries that the npm package `@node-llama-cpp/linux-x64` ships.
///
/// # Panics
/// When they are not fetched.
pub fn node_llama_cpp() -> PathBuf {
    Cache::locate().fetched("npm/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64")
}

/// The library `lib<name>.so` or `lib<name>.v<version>.so` in a folder.
///
/// # Panics
/// When there is none.
pub fn find(folder: &Path, name: &str) -> PathBuf {
    let plain = format!("lib{name}.so");
    let versioned = format!("lib{name}.v");
    let entries = fs::read_dir(folder).expect("the folder of the libraries");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut found: Vec<String> = names.filter(|n| *n == plain || n.starts_with(&versioned)).collect();
    found.sort();
    let file = found.first().unwrap_or_else(|| panic!("{} has no lib{name}", folder.display()));
    folder.join(file)
}

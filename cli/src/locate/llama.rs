//! Finds `libllama`.

use std::path::{Path, PathBuf};

use super::cache;
use crate::{args::LlamaChoice, elf::Scan, failure::Failure};

/// Folders below the cache that are looked through, at most this deep.
const DEPTH: usize = 9;

/// The library that was named, else one in the cache, else one that the system has.
pub fn llama(choice: &LlamaChoice) -> Result<PathBuf, Failure> {
    match &choice.llama {
        Some(path) => named(path),
        None => found().ok_or_else(|| {
            Failure::new("no llama.cpp was found: no libllama in evenkeel's cache or in the system's library folders")
                .todo("name one with --llama PATH or EVENKEEL_LLAMA (libllama.so, its folder, or a program that uses it),\n  or run `make fetch`, which fetches prebuilt libraries")
        }),
    }
}

/// A `libllama` in a program's own folder.
pub fn beside(folder: Option<&Path>) -> Option<PathBuf> {
    in_folder(folder?, 1)
}

/// A `libllama` somewhere below a folder that was named.
pub fn below(folder: &Path) -> Option<PathBuf> {
    in_folder(folder, DEPTH)
}

fn named(path: &Path) -> Result<PathBuf, Failure> {
    let path = path.canonicalize().map_err(|e| Failure::usage(format!("--llama {}: {e}", path.display())))?;
    if path.is_dir() {
        return below(&path).ok_or_else(|| {
            Failure::usage(format!("--llama {}: no libllama*.so in this folder", path.display()))
                .todo("a folder of llama.cpp's shared libraries is wanted")
        });
    }
    let scan = Scan::of(&path).map_err(|e| Failure::usage(format!("--llama {e}")))?;
    if let Some(image) = scan.defining("llama_decode") {
        return Ok(image.path.clone());
    }
    // A program may open its libraries at run time, from beside itself.
    beside(path.parent()).ok_or_else(|| {
        let inside = scan.hiding("llama_decode").is_some() || scan.root().mentions_llama;
        let why = if inside { "has llama.cpp inside itself and exports nothing of it" } else { "uses no libllama" };
        Failure::usage(format!("--llama {}: {why}", path.display()))
            .todo("name a shared libllama instead; `evenkeel doctor` tells what a program allows")
    })
}

fn found() -> Option<PathBuf> {
    // What was fetched is complete in one folder; what was compiled may need its libraries found for it.
    let fetched = cache().ok().map(|folder| [folder.join("npm"), folder]);
    if let Some(path) = fetched.into_iter().flatten().find_map(|folder| in_folder(&folder, DEPTH)) {
        return Some(path);
    }
    let path = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let system =
        ["/usr/local/lib", "/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let folders = path.split(':').filter(|f| !f.is_empty()).chain(system);
    folders.map(Path::new).find_map(|folder| in_folder(folder, 1))
}

/// The best `libllama` in a folder: the nearest, and of equally near ones that with a CPU backend beside it.
fn in_folder(folder: &Path, depth: usize) -> Option<PathBuf> {
    let mut level = vec![folder.to_owned()];
    for _ in 0..depth {
        let (mut libraries, mut next) = (Vec::new(), Vec::new());
        for folder in &level {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    next.push(path);
                } else if is_libllama(&entry.file_name().to_string_lossy()) && path.is_file() {
                    libraries.push(path);
                }
            }
        }
        // Plain names first, then those with a version; CPU builds before others, as they run everywhere.
        libraries.sort_by_key(|p| (needs_a_driver(p), p.as_os_str().len(), p.clone()));
        if let Some(best) = libraries.into_iter().next() {
            return Some(best);
        }
        next.sort();
        level = next;
    }
    None
}

/// `libllama.so`, `libllama.so.0`, `libllama.v0.5.0.so`, and not `libllama-common.so`.
fn is_libllama(name: &str) -> bool {
    let rest = name.strip_prefix("libllama.");
    rest.is_some_and(|r| r == "so" || r.starts_with("so.") || (r.starts_with('v') && r.ends_with(".so")))
}

/// True if a backend for other devices lies beside it.
fn needs_a_driver(library: &Path) -> bool {
    let folder = library.parent().unwrap_or(library);
    ["libggml-cuda.so", "libggml-vulkan.so", "libggml-hip.so"].iter().any(|n| folder.join(n).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_libllama() {
        for name in ["libllama.so", "libllama.so.0", "libllama.so.0.5.0", "libllama.v0.5.0.so"] {
            assert!(is_libllama(name), "{name}");
        }
        for name in ["libllama-common.so", "libllama.a", "libggml.so"] {
            assert!(!is_libllama(name), "{name}");
        }
    }
}

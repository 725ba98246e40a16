//! A Rust program on the crate llama-cpp-2, with its libraries linked dynamically.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Cache, Recording, Scratch, Setting, run};

/// The Rust host.
pub struct RustHost;

impl RustHost {
    /// Evaluates what the C host evaluates by default.
    ///
    /// # Panics
    /// When it is not built or fails.
    pub fn run(model: &Path, setting: &Setting) -> Recording {
        let scratch = Scratch::new();
        let out = scratch.path("logits");
        let cache = Cache::locate();
        let mut command = Command::new(cache.built("llama-cpp-2/host"));
        command.env("LD_LIBRARY_PATH", cache.built("llama-cpp-2/lib"));
        command.arg(model).arg(&out).args(["24", "6"]);
        let _ = run(command, setting, scratch.folder()).success();
        Recording::parse(&fs::read_to_string(&out).expect("a recording"))
    }
}

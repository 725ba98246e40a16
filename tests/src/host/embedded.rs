//! A Rust program on the crate llama-cpp-2 with llama.cpp inside it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Cache, Finished, Recording, Scratch, Setting, library, run};

/// The Rust host that contains llama.cpp.
pub struct EmbeddedHost;

impl EmbeddedHost {
    /// Evaluates what the C host evaluates by default; `with` the library or without it.
    ///
    /// # Panics
    /// When it is not built.
    pub fn try_run(model: &Path, with: bool, setting: &Setting) -> (Finished, Option<Recording>) {
        let scratch = Scratch::new();
        let out = scratch.path("logits");
        let mut command = Command::new(Cache::locate().built("static/host"));
        command.arg(model).arg(&out).args(["24", "6"]).env_remove("HOST_LIBRARY");
        if with {
            command.env("HOST_LIBRARY", library());
        }
        let finished = run(command, setting, scratch.folder());
        let recording = finished.status.success().then(|| fs::read_to_string(&out).expect("a recording"));
        (finished, recording.map(|text| Recording::parse(&text)))
    }

    /// The same, and it ends well.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(model: &Path, with: bool, setting: &Setting) -> Recording {
        let (finished, recording) = Self::try_run(model, with, setting);
        recording.unwrap_or_else(|| panic!("{}\n{}", finished.status, finished.stderr))
    }

    /// Runs the README's program in a folder that has its `model.gguf`, `judge.toml` and `libevenkeel.so`.
    ///
    /// # Panics
    /// When it is not built, or fails.
    pub fn readme(folder: &Scratch) -> Finished {
        let mut command = Command::new(Cache::locate().built("static/readme"));
        // The loader looks for a name without a slash in its own folders only.
        command.current_dir(folder.folder()).env("LD_LIBRARY_PATH", folder.folder());
        run(command, &Setting::new(), folder.folder()).success()
    }
}

//! Runs the tool, and makes the files it reads.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use evenkeel_model::{Arch, TINY_EMBD, TINY_LAYERS, control_vector, tiny};

/// What the tool did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The JSON it printed.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Runs the tool where nothing of the user's environment reaches it.
pub fn evenkeel<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    for name in ["EVENKEEL_LLAMA", "EVENKEEL_PLUGIN", "EVENKEEL_PROFILE", "LD_LIBRARY_PATH", "LD_PRELOAD"] {
        command.env_remove(name);
    }
    let cache = std::env::temp_dir().join("evenkeel-test-without-cache");
    let output = command.args(args).env("EVENKEEL_CACHE", cache).output().expect("the tool starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the tool prints UTF-8");
    Ran { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
}

/// A folder of one test's own, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("evenkeel-tool-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file with this text.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        text_of(&path)
    }

    /// A tiny llama, and a control vector that fits it.
    pub fn model(&self) -> String {
        let path = self.path("model.gguf");
        tiny(Arch::Llama, 1, &path).expect("a model");
        let vector = self.path("vector.gguf");
        control_vector(TINY_EMBD, 1..TINY_LAYERS, 2, &vector).expect("a vector");
        text_of(&path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A path as an argument.
pub fn text_of(path: &Path) -> String {
    path.to_str().expect("a path of text").to_owned()
}

/// A profile with one rule for the vector of [`Folder::model`].
pub const PROFILE: &str = r#"
schema = 1
name = "test"

[[steer]]
name = "happy"
direction = "vector.gguf"
strength = 0.5
layers = [1, 2]
"#;

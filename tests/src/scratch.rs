//! A test's own folder, with what it needs in it.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_model::{
    Arch, ControlVector, FileType, Shape, TINY_CONTEXT, TINY_EMBD, TINY_LAYERS, TINY_VOCAB, Tiny, Vision, random_llama,
    tiny_as,
};
use tempfile::TempDir;

use crate::{Profile, Setting};

/// A folder that is removed at the end of the test.
pub struct Scratch(TempDir);

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// An empty folder.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A tiny model.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn model(&self, arch: Arch, file_type: FileType) -> PathBuf {
        let path = self.path(&format!("{}-{file_type:?}.gguf", arch.name()));
        tiny_as(arch, file_type, 1, &path).expect("a model is written");
        path
    }

    /// A tiny F32 model with attention of another form than its architecture's usual one.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn tiny(&self, tiny: &Tiny) -> PathBuf {
        let path = self.path("model.gguf");
        tiny.write(FileType::F32, 1, &path).expect("a model is written");
        path
    }

    /// A vision encoder for a tiny model.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn vision(&self, vision: Vision) -> PathBuf {
        let path = self.path(&format!("mmproj-{vision:?}.gguf"));
        vision.write(1, &path).expect("an encoder is written");
        path
    }

    /// A smaller llama with the vocabulary of the tiny models, to draft for one.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn draft(&self) -> PathBuf {
        let path = self.path("draft.gguf");
        let shape =
            Shape { layers: 2, embd: 32, heads: 2, kv_heads: 1, ff: 64, vocab: TINY_VOCAB, context: TINY_CONTEXT };
        random_llama(&shape, FileType::F32, 2, &path, |_, _| {}).expect("a model is written");
        path
    }

    /// A random vector for a tiny model, on all layers that llama.cpp accepts, as `v.gguf`, and its negative as
    /// `minus-v.gguf`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn vector(&self, arch: Arch) -> ControlVector {
        let vector = ControlVector::random(arch.name(), TINY_EMBD, 1..TINY_LAYERS, 1).scaled(0.25);
        vector.write(&self.path("v.gguf")).expect("a vector is written");
        vector.clone().scaled(-1.0).write(&self.path("minus-v.gguf")).expect("a vector is written");
        vector
    }

    /// Writes a profile; the setting names it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn profile(&self, profile: &Profile) -> Setting {
        let number = fs::read_dir(self.folder()).expect("the folder is there").count();
        let path = self.path(&format!("profile-{number}.toml"));
        fs::write(&path, profile.text()).expect("a profile is written");
        Setting::new().env("EVENKEEL_PROFILE", path)
    }

    /// The sandbox's biased model as `model.gguf`, and the demo's profile for it as `judge.toml`.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn judge(&self) -> PathBuf {
        let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox");
        let demo = fs::read_to_string(sandbox.join("demo.toml")).expect("the demo");
        let demo: toml::Table = demo.parse().expect("TOML");
        let profile = demo["profile"].as_str().expect("a profile");
        fs::create_dir_all(self.path("models")).expect("a folder");
        fs::copy(sandbox.join("models/first-q8_0.gguf"), self.path("model.gguf")).expect("a model");
        fs::copy(sandbox.join("models/gender.gguf"), self.path("models/gender.gguf")).expect("a vector");
        fs::write(self.path("judge.toml"), profile).expect("a profile is written");
        self.path("judge.toml")
    }
}

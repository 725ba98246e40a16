//! A folder of profiles for a tiny model.

use std::fs;
use std::path::PathBuf;

use evenkeel_model::Arch;

use crate::{Door, Scratch, Setting};

/// Profiles in a folder of their own, with the vectors they name beside them.
pub struct Profiles<'a> {
    scratch: &'a Scratch,
}

impl<'a> Profiles<'a> {
    /// An empty folder, for a model of this architecture.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(scratch: &'a Scratch, arch: Arch) -> Self {
        fs::create_dir_all(scratch.path("profiles")).expect("a folder");
        scratch.vector(arch);
        for name in ["v.gguf", "minus-v.gguf"] {
            fs::copy(scratch.path(name), scratch.path("profiles").join(name)).expect("a vector is copied");
        }
        Self { scratch }
    }

    /// The path of a profile.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path("profiles").join(format!("{name}.toml"))
    }

    /// Writes a profile; `text` follows the schema. The file is replaced in one step.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        let new = self.scratch.path("profiles").join(format!(".{name}.new"));
        fs::write(&new, format!("schema = 1\n{text}")).expect("a profile is written");
        fs::rename(new, self.path(name)).expect("a profile takes its place");
    }

    /// The library with these profiles.
    pub fn setting(&self) -> Setting {
        Door::Preload.setting().env("EVENKEEL_PROFILE", self.scratch.path("profiles"))
    }

    /// A default that adds, another that takes out, one for generated tokens only, one that asks the last prompt token and
    /// those after it, and a server's clients may choose each.
    pub fn usual(&self) {
        self.write(
            "default",
            &format!("[runtime]\nmax-plans = 5\n[requests]\nchoose = [\"strong\", \"ablate\", \"generated\", \"held\", \"off\"]\n{ADD}"),
        );
        self.write("strong", "[[steer]]\nname = \"strong\"\ndirection = \"minus-v.gguf\"\nstrength = 3.0\n");
        self.write("ablate", "[[steer]]\nname = \"ablate\"\ndirection = \"v.gguf\"\noperator = \"project\"\n");
        self.write(
            "generated",
            "[[steer]]\nname = \"late\"\ndirection = \"v.gguf\"\nstrength = 3.0\ntokens = \"generated\"\n",
        );
        // Whatever is asked, one of the two acts: an answer always tells what was decided.
        let when = "similar-to = \"minus-v.gguf\", layer = 2, above = 0.01, below = -0.02, at = \"prompt\"";
        let rule = |name: &str, file: &str, when: &str| {
            format!(
                "[[steer]]\nname = \"{name}\"\ndirection = \"{file}\"\nstrength = 3.0\nlayers = \"2..4\"\nwhen = {when}\n"
            )
        };
        let (yes, no) = (format!("{{ {when} }}"), format!("{{ not = {{ {when} }} }}"));
        self.write("held", &[rule("yes", "v.gguf", &yes), rule("no", "minus-v.gguf", &no)].concat());
    }
}

/// One rule that adds.
pub const ADD: &str = "[[steer]]\nname = \"add\"\ndirection = \"v.gguf\"\nstrength = 2.0\n";

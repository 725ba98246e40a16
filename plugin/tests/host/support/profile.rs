//! Profiles with the vector `[1, 2, 3, 4]` after each of three blocks.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

/// A rule `push` of constant strength 1 after block 1.
pub const CONSTANT: &str = "layers = [1]";
/// The same, adjustable.
pub const ADJUSTABLE: &str = "layers = [1]\nadjustable = true";

/// A profile in a folder of its own, which is deleted with it.
pub struct Profile {
    folder: TempDir,
}

impl Profile {
    /// A profile with one rule, `push`, that has these keys besides its name and direction.
    pub fn with(keys: &str) -> Profile {
        Profile::whole(&format!("schema = 1\n[[steer]]\nname = \"push\"\ndirection = \"unit.safetensors\"\n{keys}\n"))
    }

    /// This text.
    pub fn whole(text: &str) -> Profile {
        let folder = tempfile::tempdir().expect("a folder for a profile");
        fs::write(folder.path().join("profile.toml"), text).expect("a new folder can be written");
        fs::write(folder.path().join("unit.safetensors"), vectors()).expect("a new folder can be written");
        Profile { folder }
    }

    /// The TOML file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("profile.toml")
    }
}

fn vectors() -> Vec<u8> {
    let header = r#"{"direction":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..3).flat_map(|_| [1.0f32, 2.0, 3.0, 4.0]).flat_map(f32::to_le_bytes));
    bytes
}

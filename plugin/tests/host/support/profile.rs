//! Profiles with the vector `[1, 2, 3, 4]` after each of three blocks.

use std::{
    fs,
    path::{Path, PathBuf},
};

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

    /// A folder of these files, beside the vectors.
    pub fn folder(files: &[(&str, &str)]) -> Profile {
        let folder = tempfile::tempdir().expect("a folder for profiles");
        fs::write(folder.path().join("unit.safetensors"), vectors()).expect("a new folder can be written");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a new folder can be written");
        }
        Profile { folder }
    }

    /// The TOML file; the folder, if there are several.
    pub fn path(&self) -> PathBuf {
        let file = self.folder.path().join("profile.toml");
        if file.exists() { file } else { self.folder.path().to_owned() }
    }

    /// Where its files are.
    pub fn home(&self) -> &Path {
        self.folder.path()
    }
}

/// Two profiles that can be chosen by request, as `off` can: `default` adds 100 of the vector, `other` 1000.
pub fn two() -> Profile {
    two_with("")
}

/// The same, with more in the file of the first.
pub fn two_with(more: &str) -> Profile {
    let first = rule("base", 100.0, &format!("[requests]\nchoose = [\"other\", \"off\"]\n{more}"));
    Profile::folder(&[("default.toml", &first), ("other.toml", &rule("far", 1000.0, ""))])
}

/// The text of a profile with one rule of that name and strength after block 1; `more` comes before it.
pub fn rule(name: &str, strength: f32, more: &str) -> String {
    format!(
        "schema = 1\n{more}\n[[steer]]\nname = \"{name}\"\ndirection = \"unit.safetensors\"\nlayers = [1]\n\
         strength = {strength:?}\n"
    )
}

fn vectors() -> Vec<u8> {
    let header = r#"{"direction":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..3).flat_map(|_| [1.0f32, 2.0, 3.0, 4.0]).flat_map(f32::to_le_bytes));
    bytes
}

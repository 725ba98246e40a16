//! All vector files of a profile.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{AssetError, Direction, Places, Vectors};
use crate::profile::Profile;
use crate::report::{Errors, Located, Pos};

/// The vector file of every rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Assets {
    /// One per `[[steer]]` table, in file order; a file used twice is shared.
    pub steer: Vec<Arc<Direction>>,
}

impl Assets {
    /// Reads every vector file of a profile that lies in `folder`.
    ///
    /// # Errors
    /// All files that cannot be used, each at the place of the profile that names it.
    pub fn load(profile: &Profile, folder: &Path) -> Result<Self, Errors<AssetError>> {
        let mut errors = vec![];
        let mut fail = |pos: Option<Pos>, key: &str, error| {
            errors.push(Located { file: profile.file.clone(), pos, key: key.to_owned(), error });
        };
        let places = Places::new(folder).map(|mut places| {
            for dir in &profile.runtime.asset_dirs {
                if let Err(error) = places.add(&dir.value) {
                    fail(Some(dir.pos), "runtime.asset-dirs", error);
                }
            }
            places
        });
        let mut steer = vec![];
        match places {
            Err(error) => fail(None, "", error),
            Ok(places) => {
                let mut seen = HashMap::new();
                for rule in &profile.steer {
                    match read(&places, &rule.direction.value, &mut seen) {
                        Ok(direction) => steer.push(direction),
                        Err(error) => fail(Some(rule.direction.pos), "steer.direction", error),
                    }
                }
            }
        }
        Errors::check(errors)?;
        Ok(Self { steer })
    }
}

type Seen = HashMap<std::path::PathBuf, Result<Arc<Direction>, AssetError>>;

fn read(places: &Places, typed: &str, seen: &mut Seen) -> Result<Arc<Direction>, AssetError> {
    let file = places.resolve(typed)?;
    seen.entry(file.clone()).or_insert_with(|| Direction::read(&file).map(Arc::new)).clone()
}

/// One line per rule: its file, what it holds, its hash.
impl fmt::Display for Assets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, asset) in self.steer.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            let Vectors { format, width, layers, model_hint, .. } = &asset.vectors;
            let name = asset.file.file_name().unwrap_or_default().to_string_lossy();
            write!(f, "{name}: {format}, {} directions of width {width}", layers.len())?;
            if let Some(hint) = model_hint {
                write!(f, ", made for \"{hint}\"")?;
            }
            write!(f, ", sha256 {}", asset.sha256)?;
        }
        Ok(())
    }
}

//! All vector files of a profile.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    AssetError, CalibrationFile, Direction, ERASER, EditFile, FEATURE, Fitted, Places, ProbeFile, Raw, Vectors, debias,
};
use crate::profile::{Ask, Operator, Profile, Reading};
use crate::report::{Errors, Located, Pos};

/// The files of every rule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Assets {
    /// One per `[[steer]]` table, in file order; a file used twice is shared.
    pub steer: Vec<Arc<Direction>>,
    /// What `similar-to`, `plane` and `debias` name, by path as typed.
    pub directions: BTreeMap<String, Arc<Direction>>,
    /// What `probe` names, by path as typed.
    pub probes: BTreeMap<String, Arc<ProbeFile>>,
    /// What `[[edit]]` tables name, by path as typed.
    pub edits: BTreeMap<String, Arc<EditFile>>,
    /// What `[[calibrate]]` tables name, by path as typed.
    pub calibrations: BTreeMap<String, Arc<CalibrationFile>>,
    /// Where `[[calibrate]]` tables keep a prior, by path as typed.
    pub states: BTreeMap<String, State>,
}

/// A file that is written while the model runs.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Its path, links resolved.
    pub path: PathBuf,
    /// What is in it, if it is there.
    pub fitted: Option<Fitted>,
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
        let mut assets = Self::default();
        match places {
            Err(error) => fail(None, "", error),
            Ok(places) => {
                for rule in &profile.edits {
                    match places.resolve(&rule.file.value).and_then(|file| EditFile::read(&file)) {
                        Ok(file) => drop(assets.edits.insert(rule.file.value.clone(), Arc::new(file))),
                        Err(error) => fail(Some(rule.file.pos), "edit.file", error),
                    }
                }
                let mut seen = HashMap::new();
                for rule in &profile.steer {
                    match read_as(&places, rule.operator, &rule.direction.value, &rule.raw, &mut seen) {
                        Ok(direction) => assets.steer.push(direction),
                        Err(error) => fail(Some(rule.direction.pos), &rule.file_key(), error),
                    }
                    if let Some(error) = debias::missing(profile, rule, &places) {
                        fail(Some(rule.direction.pos), &rule.file_key(), error);
                    }
                    for (key, also) in [("steer.plane", &rule.plane), ("steer.debias", &rule.debias)] {
                        let Some(also) = also else { continue };
                        match read(&places, &also.value, &mut seen) {
                            Ok(direction) => drop(assets.directions.insert(also.value.clone(), direction)),
                            Err(error) => fail(Some(also.pos), key, error),
                        }
                    }
                    for ask in rule.when.iter().flat_map(|when| when.asks()) {
                        if let Err(error) = assets.ask(&places, ask, &mut seen) {
                            fail(Some(ask.file.pos), &format!("steer.when.{}", ask.reading.key()), error);
                        }
                    }
                }
                for typed in profile.calibrate.iter().filter_map(|rule| rule.state.as_ref()) {
                    match state(&places, &typed.value) {
                        Ok(state) => drop(assets.states.insert(typed.value.clone(), state)),
                        Err(error) => fail(Some(typed.pos), "calibrate.state", error),
                    }
                }
                for rule in &profile.calibrate {
                    let Some(typed) = &rule.file else { continue };
                    match places.resolve(&typed.value).and_then(|file| CalibrationFile::read(&file)) {
                        Ok(file) => drop(assets.calibrations.insert(typed.value.clone(), Arc::new(file))),
                        Err(error) => fail(Some(typed.pos), &rule.file_key(), error),
                    }
                }
            }
        }
        Errors::check(errors)?;
        Ok(assets)
    }

    /// The paths of all files, links resolved; but for those that the library writes.
    pub fn paths(&self) -> Vec<PathBuf> {
        let directions = self.steer.iter().chain(self.directions.values()).map(|d| d.file.clone());
        let others = self.probes.values().map(|p| p.file.clone()).chain(self.edits.values().map(|e| e.file.clone()));
        directions.chain(others).chain(self.calibrations.values().map(|c| c.file.clone())).collect()
    }

    /// Reads what a condition names, unless it is here already.
    fn ask(&mut self, places: &Places, ask: &Ask, seen: &mut Seen) -> Result<(), AssetError> {
        let typed = &ask.file.value;
        match ask.reading {
            Reading::Similarity { .. } => {
                self.directions.insert(typed.clone(), read(places, typed, seen)?);
            }
            Reading::Probability { .. } | Reading::Soft if self.probes.contains_key(typed) => {}
            Reading::Probability { .. } | Reading::Soft => {
                let file = ProbeFile::read(&places.resolve(typed)?)?;
                self.probes.insert(typed.clone(), Arc::new(file));
            }
        }
        Ok(())
    }
}

fn state(places: &Places, typed: &str) -> Result<State, AssetError> {
    let path = places.resolve_new(typed)?;
    let fitted = if path.exists() { Some(CalibrationFile::read(&path)?.fitted) } else { None };
    Ok(State { path, fitted })
}

type Seen = HashMap<(PathBuf, &'static str, Raw), Result<Arc<Direction>, AssetError>>;

fn read(places: &Places, typed: &str, seen: &mut Seen) -> Result<Arc<Direction>, AssetError> {
    read_as(places, Operator::Add, typed, &Raw::default(), seen)
}

/// A rule's file is of the kind that its operator needs.
fn read_as(
    places: &Places,
    operator: Operator,
    typed: &str,
    raw: &Raw,
    seen: &mut Seen,
) -> Result<Arc<Direction>, AssetError> {
    let file = places.resolve(typed)?;
    let read = || {
        let direction = match operator {
            Operator::Affine => Direction::read_factors(&file, ERASER),
            Operator::Sae { .. } => Direction::read_factors(&file, FEATURE),
            _ => Direction::read(&file, raw),
        };
        direction.map(Arc::new)
    };
    seen.entry((file.clone(), operator.file_key(), raw.clone())).or_insert_with(read).clone()
}

/// One line per file: its name, what it holds, its hash.
impl fmt::Display for Assets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directions = self.steer.iter().chain(self.directions.values());
        let directions = directions.map(|d| (&d.file, "directions", &d.vectors, &d.sha256));
        let probes = self.probes.values().map(|p| (&p.file, "probes", &p.weights, &p.sha256));
        for (i, (file, what, vectors, sha256)) in directions.chain(probes).enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            let Vectors { format, width, layers, model_hint, .. } = vectors;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            write!(f, "{name}: {format}, {} {what} of width {width}", layers.len())?;
            if let Some(hint) = model_hint {
                write!(f, ", made for \"{hint}\"")?;
            }
            write!(f, ", sha256 {sha256}")?;
        }
        let before = self.steer.len() + self.directions.len() + self.probes.len();
        for (i, edit) in self.edits.values().enumerate() {
            if before + i > 0 {
                writeln!(f)?;
            }
            let name = edit.file.file_name().unwrap_or_default().to_string_lossy();
            write!(f, "{name}: safetensors, edits of {} matrices, sha256 {}", edit.edits.len(), edit.sha256)?;
        }
        let before = before + self.edits.len();
        for (i, found) in self.calibrations.values().enumerate() {
            if before + i > 0 {
                writeln!(f)?;
            }
            let name = found.file.file_name().unwrap_or_default().to_string_lossy();
            write!(f, "{name}: a calibration, sha256 {}", found.sha256)?;
        }
        Ok(())
    }
}

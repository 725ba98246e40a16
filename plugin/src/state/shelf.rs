//! The profiles that are loaded: one file, or all of a folder.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use evenkeel_core::{
    load::{self, Loaded},
    profile::{OnError, Reload},
};

/// How many plans one graph may hold where no profile says it.
const MAX_PLANS: u32 = 4;
/// The profile of this name is the default where several could be.
const DEFAULT_NAME: &str = "default";
/// What names no profile: the host's own computation.
pub const OFF: &str = "off";

/// All profiles that are loaded, with their files.
pub struct Shelf {
    /// The file, or the folder.
    pub path: PathBuf,
    /// In the order of their file names.
    pub profiles: Vec<Arc<Loaded>>,
    /// What a sequence gets that nothing else is said of.
    pub default: Option<usize>,
    /// What files were read, to see whether they changed.
    stamp: Stamp,
}

/// Paths, sizes and times of files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Stamp(Vec<(PathBuf, Option<Look>)>);

/// Size and time of a file that is there.
type Look = (u64, Option<SystemTime>);

impl Shelf {
    /// Reads a profile, or all profiles of a folder.
    ///
    /// # Errors
    /// The text of all errors.
    pub fn load(path: &Path) -> Result<Shelf, String> {
        let mut tries = 0;
        loop {
            let shelf = Self::read(path)?;
            // A file that was written meanwhile is read again, but nobody waits for a file that never rests.
            tries += 1;
            if tries >= 3 || !shelf.changed() {
                return Ok(shelf);
            }
        }
    }

    fn read(path: &Path) -> Result<Shelf, String> {
        let files = if path.is_dir() { files(path)? } else { vec![path.to_owned()] };
        let stamp = Stamp::of(&files);
        let (mut profiles, mut errors) = (Vec::new(), Vec::new());
        for file in &files {
            match load::load(file) {
                Ok(loaded) => profiles.push(Arc::new(loaded)),
                Err(found) => errors.push(found.to_string()),
            }
        }
        if !errors.is_empty() {
            return Err(errors.join("\n"));
        }
        let mut shelf = Shelf { path: path.to_owned(), profiles, default: None, stamp };
        shelf.stamp = Stamp::of(&shelf.files());
        shelf.check()?;
        shelf.default = shelf.find_default();
        Ok(shelf)
    }

    /// Every file that was read: profiles, and the vector files that they name.
    fn files(&self) -> Vec<PathBuf> {
        let of = |loaded: &Arc<Loaded>| std::iter::once(loaded.path.clone()).chain(loaded.assets.paths()).collect();
        let mut files: Vec<PathBuf> = self.profiles.iter().flat_map(|loaded| -> Vec<PathBuf> { of(loaded) }).collect();
        if self.path.is_dir() {
            files.extend(self::files(&self.path).unwrap_or_default());
        }
        files.sort();
        files.dedup();
        files
    }

    /// True if one of its files is not what was read.
    pub fn changed(&self) -> bool {
        Stamp::of(&self.files()) != self.stamp
    }

    /// Names must be unique, and what requests and routes name must be there.
    fn check(&self) -> Result<(), String> {
        let mut errors = Vec::new();
        for (i, loaded) in self.profiles.iter().enumerate() {
            let (file, name) = (loaded.path.display(), &loaded.profile.name);
            if let Some(first) = self.profiles[..i].iter().find(|p| p.profile.name == *name) {
                errors.push(format!(
                    "{file} name: name already used, got \"{name}\" as in {}, allowed: a different name for each profile",
                    first.path.display()
                ));
            }
            if name == OFF {
                errors.push(format!("{file} name: got \"{OFF}\", which means no profile, allowed: another name"));
            }
            let profile = &loaded.profile;
            let choices = profile.requests.choose.iter().map(|name| ("requests.choose", name));
            let targets = profile.routes.iter().filter_map(|r| Some(("route.use", r.target.as_ref()?)));
            for (key, named) in choices.chain(targets) {
                if named.value != OFF && self.position(&named.value).is_none() {
                    let names: Vec<&str> = self.names().collect();
                    let (pos, got) = (named.pos, &named.value);
                    errors.push(format!(
                        "{file}:{}:{} {key}: no such profile is loaded, got \"{got}\", allowed: {}, {OFF}",
                        pos.line,
                        pos.col,
                        names.join(", ")
                    ));
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
    }

    /// The names of the profiles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().map(|p| p.profile.name.as_str())
    }

    /// The place of the profile of that name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names().position(|n| n == name)
    }

    /// The one profile that no route leads to. Of several the one called `default`, if there is one.
    fn find_default(&self) -> Option<usize> {
        let routed = |name: &str| self.routes().any(|(_, target)| target == name);
        let free: Vec<usize> = (0..self.profiles.len()).filter(|i| !routed(&self.profiles[*i].profile.name)).collect();
        match free[..] {
            [one] => Some(one),
            _ => self.position(DEFAULT_NAME).filter(|i| free.contains(i)),
        }
    }

    /// All routes in order: what they look for, and the name they lead to.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.profiles.iter().map(|loaded| &loaded.profile).flat_map(|profile| {
            let target = |r: &'_ evenkeel_core::profile::Route| r.target.as_ref().map(|t| t.value.clone());
            profile.routes.iter().map(move |r| {
                let named = target(r).is_some().then(|| r.target.as_ref().map(|t| t.value.as_str())).flatten();
                (r.text.value.as_str(), named.unwrap_or(&profile.name))
            })
        })
    }

    /// What a request may choose.
    pub fn choose(&self) -> Vec<String> {
        let all = self.profiles.iter().flat_map(|p| &p.profile.requests.choose).map(|name| name.value.clone());
        let mut names: Vec<String> = all.collect();
        names.sort();
        names.dedup();
        names
    }

    /// The strictest of what the profiles say.
    pub fn on_error(&self) -> OnError {
        let lenient = |p: &Arc<Loaded>| p.profile.runtime.on_error == OnError::Bypass;
        if self.profiles.iter().all(lenient) { OnError::Bypass } else { OnError::Refuse }
    }

    /// Off if one profile says so.
    pub fn reload(&self) -> Reload {
        let off = |p: &Arc<Loaded>| p.profile.runtime.reload == Reload::Off;
        if self.profiles.iter().any(off) { Reload::Off } else { Reload::Watch }
    }

    /// The most that a profile says.
    pub fn max_plans(&self) -> usize {
        let said = self.profiles.iter().filter_map(|p| p.profile.runtime.max_plans).max();
        said.unwrap_or(MAX_PLANS) as usize
    }
}

/// The profiles of a folder, by file name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |e: std::io::Error| format!("{}: the folder cannot be read, got \"{e}\"", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|e| e == "toml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: a folder without profiles, got no file *.toml in it", folder.display()));
    }
    Ok(files)
}

impl Stamp {
    fn of(files: &[PathBuf]) -> Stamp {
        let look = |path: &PathBuf| std::fs::metadata(path).ok().map(|m| (m.len(), m.modified().ok()));
        Stamp(files.iter().map(|path| (path.clone(), look(path))).collect())
    }
}

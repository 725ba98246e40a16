//! The folder, as the environment says it.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

/// What `EVENKEEL_STATS` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing is written.
    Nowhere,
    /// The user's run-time folder.
    Usual,
    /// This folder.
    At(PathBuf),
}

/// A value that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("EVENKEEL_STATS: got {0:?}, allowed: 0, 1, or the absolute path of a folder")]
pub struct BadPlace(pub std::ffi::OsString);

impl Place {
    /// Reads the value of `EVENKEEL_STATS`.
    ///
    /// # Errors
    /// [`BadPlace`]. A relative path is none: the reader works in another folder than the writer.
    pub fn of(value: Option<&OsStr>) -> Result<Place, BadPlace> {
        match value {
            None => Ok(Place::Nowhere),
            Some(v) if v.is_empty() || v == "0" => Ok(Place::Nowhere),
            Some(v) if v == "1" => Ok(Place::Usual),
            Some(v) if Path::new(v).is_absolute() => Ok(Place::At(v.into())),
            Some(v) => Err(BadPlace(v.to_owned())),
        }
    }

    /// The folder that is written to.
    pub fn folder(&self) -> Option<PathBuf> {
        match self {
            Place::Nowhere => None,
            Place::Usual => Some(runtime().unwrap_or_else(temporary)),
            Place::At(path) => Some(path.clone()),
        }
    }

    /// The folders that a reader looks into. Where none is named, all that a writer of this user's may have chosen: a service
    /// has another environment than a shell.
    pub fn folders(&self) -> Vec<PathBuf> {
        if let Place::At(path) = self {
            return vec![path.clone()];
        }
        let login = || Some(Path::new("/run/user").join(geteuid().as_raw().to_string())).and_then(own);
        let runtime = if env::var_os("XDG_RUNTIME_DIR").is_some() { runtime() } else { login() };
        runtime.into_iter().chain([temporary()]).collect()
    }
}

/// `$XDG_RUNTIME_DIR/evenkeel`, where that folder is the user's: `su` leaves the one of somebody else.
fn runtime() -> Option<PathBuf> {
    env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()).and_then(own)
}

fn own(base: PathBuf) -> Option<PathBuf> {
    let meta = fs::metadata(&base).ok()?;
    (meta.is_dir() && meta.uid() == geteuid().as_raw()).then(|| base.join("evenkeel"))
}

/// One below the folder for temporary files, which everybody shares: by the user's number.
fn temporary() -> PathBuf {
    env::temp_dir().join(format!("evenkeel-{}", geteuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_off_on_or_a_folder() {
        let of = |text: &str| Place::of(Some(OsStr::new(text)));
        assert_eq!(Place::of(None), Ok(Place::Nowhere));
        assert_eq!((of(""), of("0"), of("1")), (Ok(Place::Nowhere), Ok(Place::Nowhere), Ok(Place::Usual)));
        assert_eq!(of("/var/run/x"), Ok(Place::At("/var/run/x".into())));
        for bad in ["yes", "true", "stats", "./stats"] {
            let error = of(bad).expect_err("no value").to_string();
            assert!(error.contains(bad) && error.contains("absolute path"), "{error}");
        }
    }

    #[test]
    fn only_who_asks_writes_and_everybody_may_look() {
        assert_eq!(Place::Nowhere.folder(), None);
        assert!(!Place::Nowhere.folders().is_empty());
        let written = Place::Usual.folder().expect("a folder");
        assert!(Place::Usual.folders().contains(&written), "{written:?}");
    }
}

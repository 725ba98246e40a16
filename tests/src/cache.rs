//! Where the hosts are.

use std::env;
use std::path::{Path, PathBuf};

/// The folder that `tests/hosts/fetch` and `tests/hosts/build` fill.
pub struct Cache(PathBuf);

impl Cache {
    /// `$EVENKEEL_CACHE`, or `evenkeel` in the user's cache folder: the rule of `tests/hosts/lib.sh`.
    ///
    /// # Panics
    /// When neither that nor a home folder is set.
    pub fn locate() -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("EVENKEEL_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("evenkeel")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/evenkeel")));
        Self(folder.expect("EVENKEEL_CACHE or HOME is set"))
    }

    /// A path that `make fetch` brings.
    ///
    /// # Panics
    /// When it is not there: a missing host is a failure, never a silent pass.
    pub fn fetched(&self, path: &str) -> PathBuf {
        self.present(path, "make fetch")
    }

    /// A path that `make hosts` builds.
    ///
    /// # Panics
    /// When it is not there.
    pub fn built(&self, path: &str) -> PathBuf {
        self.present(path, "make hosts")
    }

    fn present(&self, path: &str, command: &str) -> PathBuf {
        let full = self.0.join(path);
        assert!(full.exists(), "{} is missing: run `{command}` first", full.display());
        full
    }
}

/// A file beside the hosts' scripts, `tests/hosts/`.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts").join(path)
}

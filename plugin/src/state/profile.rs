//! The profile that contexts made from now on get.

use std::{path::PathBuf, sync::Arc};

use evenkeel_core::load::{self, Loaded};

use super::Config;
use crate::log;

/// Where the profile comes from, and what became of reading it.
pub enum ProfileSlot {
    /// None asked for.
    None,
    /// Named by the environment, not read yet: nothing is read before the first context.
    Named(PathBuf),
    /// Read and complete.
    Loaded(Source),
    /// Could not be read: the text of all its errors.
    Failed(String),
}

/// A profile with all its assets.
#[derive(Clone)]
pub struct Source {
    /// Its file.
    pub path: PathBuf,
    /// Its content.
    pub loaded: Arc<Loaded>,
}

impl ProfileSlot {
    /// What the environment names.
    pub fn new(config: &Config) -> ProfileSlot {
        config.profile.clone().map_or(ProfileSlot::None, ProfileSlot::Named)
    }

    /// Reads `path`; an error is kept and returned.
    pub fn load(&mut self, path: PathBuf) -> Result<Source, String> {
        match load::load(&path) {
            Ok(loaded) => {
                let source = Source { path, loaded: Arc::new(loaded) };
                *self = ProfileSlot::Loaded(source.clone());
                Ok(source)
            }
            Err(errors) => {
                let text = errors.to_string();
                *self = ProfileSlot::Failed(text.clone());
                Err(text)
            }
        }
    }

    /// The profile, read now if it has not been; `Ok(None)` if none was asked for.
    ///
    /// # Errors
    /// The text of the errors. It is logged when they are found.
    pub fn get(&mut self) -> Result<Option<Source>, String> {
        match self {
            ProfileSlot::None => Ok(None),
            ProfileSlot::Loaded(source) => Ok(Some(source.clone())),
            ProfileSlot::Failed(text) => Err(text.clone()),
            ProfileSlot::Named(path) => {
                let path = std::mem::take(path);
                self.load(path).map(Some).inspect_err(|errors| log::error!("{errors}"))
            }
        }
    }
}

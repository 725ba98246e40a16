//! The profiles that contexts made from now on get.

use std::{path::PathBuf, sync::Arc};

use super::{Config, Shelf};
use crate::log;

/// Where the profiles come from, and what became of reading them.
pub enum ProfileSlot {
    /// None asked for.
    None,
    /// Named by the environment, not read yet: nothing is read before the first context.
    Named(PathBuf),
    /// Read and complete.
    Loaded(Arc<Shelf>),
    /// Could not be read: the text of all errors.
    Failed(String),
}

impl ProfileSlot {
    /// What the environment names.
    pub fn new(config: &Config) -> ProfileSlot {
        config.profile.clone().map_or(ProfileSlot::None, ProfileSlot::Named)
    }

    /// The profiles, read now if they have not been; `Ok(None)` if none was asked for.
    ///
    /// # Errors
    /// The text of the errors. It is logged when they are found.
    pub fn get(&mut self) -> Result<Option<Arc<Shelf>>, String> {
        match self {
            ProfileSlot::None => Ok(None),
            ProfileSlot::Loaded(shelf) => Ok(Some(shelf.clone())),
            ProfileSlot::Failed(text) => Err(text.clone()),
            ProfileSlot::Named(path) => match Shelf::load(path) {
                Ok(shelf) => {
                    let shelf = Arc::new(shelf);
                    *self = ProfileSlot::Loaded(shelf.clone());
                    Ok(Some(shelf))
                }
                Err(text) => {
                    log::error!("{text}");
                    *self = ProfileSlot::Failed(text.clone());
                    Err(text)
                }
            },
        }
    }
}

//! From a path to a plan: what the plug-in and the tool call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::asset::{AssetError, Assets, MAX_PROFILE_BYTES, read_regular};
use crate::model::ModelFacts;
use crate::plan::{Plan, PlanErrors};
use crate::profile::{Profile, ProfileError};
use crate::report::{Errors, Located};
use crate::vocabulary::Vocabulary;

/// A profile with all of its files in memory; no model is needed for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The profile's path as it was given.
    pub path: PathBuf,
    /// What was typed.
    pub profile: Profile,
    /// Its vector files.
    pub assets: Assets,
}

/// All errors of a profile and its files, each line complete.
pub type LoadErrors = Errors<LoadError>;

/// Why a profile could not be loaded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The profile's file itself.
    #[error("{0}")]
    File(AssetError),
    /// The profile's file is not text.
    #[error("the profile is not UTF-8 text, got the byte {got:#04x} at {at}, allowed: UTF-8")]
    NotText {
        /// The first byte that does not fit.
        got: u8,
        /// Its offset.
        at: usize,
    },
    /// The profile's text.
    #[error(transparent)]
    Profile(ProfileError),
    /// A vector file.
    #[error(transparent)]
    Asset(AssetError),
}

/// Reads a profile and every file it names.
///
/// # Errors
/// All errors of the profile's text; if there are none, all of its files.
pub fn load(path: &Path) -> Result<Loaded, LoadErrors> {
    let shown = path.to_string_lossy();
    let file: Arc<str> = Arc::from(&*shown);
    let whole = |error| Errors::one(Located { file: file.clone(), pos: None, key: String::new(), error });
    let bytes = read_regular(path, MAX_PROFILE_BYTES, |_| Ok(())).map_err(|e| whole(LoadError::File(e)))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        whole(LoadError::NotText { got: e.as_bytes().get(at).copied().unwrap_or_default(), at })
    })?;
    let profile = Profile::parse(&text, &shown).map_err(|e| e.map(LoadError::Profile))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let assets = Assets::load(&profile, folder).map_err(|e| e.map(LoadError::Asset))?;
    Ok(Loaded { path: path.to_owned(), profile, assets })
}

impl Loaded {
    /// Validates the profile against a model.
    ///
    /// # Errors
    /// Every reason why it does not fit.
    pub fn plan(&self, model: &ModelFacts) -> Result<Plan, PlanErrors> {
        Plan::build(&self.profile, &self.assets, model)
    }

    /// The same with the model's vocabulary.
    ///
    /// # Errors
    /// Every reason why it does not fit.
    pub fn plan_with(&self, model: &ModelFacts, vocabulary: Option<&Vocabulary>) -> Result<Plan, PlanErrors> {
        Plan::build_with(&self.profile, &self.assets, model, vocabulary)
    }

    /// Whether a plan needs the model's vocabulary.
    pub fn needs_vocabulary(&self) -> bool {
        !self.profile.calibrate.is_empty()
    }
}

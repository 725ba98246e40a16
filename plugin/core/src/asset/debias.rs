//! Vectors that come as a set: for each pair of opposites a file `NAME__debias.gguf`, and one for each side,
//! `NAME__SIDE.gguf` (jukofyork's control-vectors). A side is measured from the middle that the first one moves to, so that
//! its author warns against using it alone.

use std::path::Path;

use super::{AssetError, Places};
use crate::profile::{ModelHint, Profile, SteerRule};

/// The error of a rule that uses a side while the file for both sides lies beside it, and no rule uses that.
pub(super) fn missing(profile: &Profile, rule: &SteerRule, places: &Places) -> Option<AssetError> {
    let typed = Path::new(&rule.direction.value);
    let (name, side) = typed.file_name()?.to_str()?.strip_suffix(".gguf")?.rsplit_once("__")?;
    if side == "debias" || rule.debias.is_some() || rule.model_hint == ModelHint::Ignore {
        return None;
    }
    let debias = typed.with_file_name(format!("{name}__debias.gguf"));
    let debias = debias.to_str()?;
    let file = places.resolve(debias).ok()?;
    let same = |other: &str| places.resolve(other).is_ok_and(|other| other == file);
    let used = profile
        .steer
        .iter()
        .any(|rule| same(&rule.direction.value) || rule.debias.as_ref().is_some_and(|debias| same(&debias.value)));
    (!used).then(|| AssetError::NeedsDebias { debias: debias.to_owned() })
}

//! What was fitted for the calibration of labels, in safetensors: tensors of one dimension, F32, F16 or BF16. Which of
//! them a method needs, and how long they are, is known with the profile and the model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::AssetError;
use super::bound::{MAX_CURVE, MAX_DIRECTION_NORM, MAX_LABELS};
use super::direction::hex;
use super::file::read_regular;
use super::probe::is_safetensors;
use super::safetensors_vector::{Opened, floats, meta, shape};
use super::vectors::shown;

/// Largest file of a calibration, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The tensors that such a file can have.
pub const CALIBRATION_TENSORS: [&str; 9] =
    ["scale", "offset", "prior", "scores", "line", "knots", "values", "means", "counts"];

/// A file with fitted values: finite, of at most 1e6.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationFile {
    /// The file, links resolved.
    pub file: PathBuf,
    /// SHA-256 of its bytes, as `sha256sum` prints it.
    pub sha256: String,
    /// What is in it.
    pub fitted: Fitted,
}

/// What such a file has in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fitted {
    /// By name.
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// `evenkeel.labels`: the labels that it was fitted for, as a JSON list.
    pub labels: Option<String>,
    /// `evenkeel.model`: the model that it was fitted for.
    pub model: Option<String>,
    /// `evenkeel.method`: the method that it was fitted for.
    pub method: Option<String>,
}

impl CalibrationFile {
    /// Reads a file that [`super::Places::resolve`] found.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(file: &Path) -> Result<Self, AssetError> {
        let bytes = read_regular(file, MAX_BYTES, is_safetensors)?;
        let fitted = parse_calibration(&bytes)?;
        Ok(Self { file: file.to_owned(), sha256: hex(&Sha256::digest(&bytes)), fitted })
    }
}

/// Reads the bytes of a calibration.
///
/// # Errors
/// The first thing that is wrong with it. No input makes this panic, or allocate more than a small multiple of the
/// input's size.
pub fn parse_calibration(bytes: &[u8]) -> Result<Fitted, AssetError> {
    is_safetensors(bytes)?;
    let opened = Opened::new(bytes)?;
    let text = |key: &str| meta(&opened.metadata, key);
    // Whole, as it is compared; the file is small.
    let labels = opened.metadata.metadata().as_ref().and_then(|all| all.get("evenkeel.labels").cloned());
    let mut fitted =
        Fitted { tensors: BTreeMap::new(), labels, model: text("evenkeel.model"), method: text("evenkeel.method") };
    for (name, info) in &opened.tensors() {
        if !CALIBRATION_TENSORS.contains(&name.as_str()) {
            let allowed = "scale, offset, prior, scores, line, knots, values, means and counts";
            return Err(AssetError::TensorName { got: shown(name), allowed });
        }
        // A square of labels, or a value per label or point.
        let most = if name == "means" { MAX_LABELS * MAX_LABELS } else { MAX_CURVE };
        if !matches!(info.shape[..], [n] if (1..=most).contains(&n)) {
            return Err(shape(name, info, "[n], one value per label or point"));
        }
        let values = floats(name, info, opened.data)?;
        for (index, &got) in values.iter().enumerate() {
            let norm = f64::from(got).abs();
            if !got.is_finite() {
                return Err(AssetError::NotFinite { tensor: shown(name), index, got });
            }
            if norm > MAX_DIRECTION_NORM {
                return Err(AssetError::Norm { tensor: shown(name), got: norm, max: MAX_DIRECTION_NORM });
            }
        }
        fitted.tensors.insert(name.clone(), values);
    }
    Ok(fitted)
}

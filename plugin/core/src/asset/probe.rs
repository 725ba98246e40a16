//! Linear probes in safetensors: for each layer N a tensor `probe.N` of shape `[width]` and a tensor `bias.N` of shape
//! `[1]`, as of a logistic regression on the residual stream after that layer. F32, F16 or BF16.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::bound::{MAX_ASSET_BYTES, MAX_DIRECTION_NORM};
use super::direction::hex;
use super::file::read_regular;
use super::safetensors_vector::{Opened, floats, shape};
use super::vectors::{Vectors, numbered, shown};
use super::{AssetError, gguf};

/// A file with a linear probe: finite weights and biases with norms of at most [`MAX_DIRECTION_NORM`].
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeFile {
    /// The file, links resolved.
    pub file: PathBuf,
    /// SHA-256 of its bytes, as `sha256sum` prints it.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The weights of each layer.
    pub weights: Vectors,
    /// The bias of each layer of `weights`.
    pub bias: BTreeMap<u32, f32>,
}

impl ProbeFile {
    /// Reads a file that [`super::Places::resolve`] found.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(file: &Path) -> Result<Self, AssetError> {
        let bytes = read_regular(file, MAX_ASSET_BYTES, is_safetensors)?;
        let (weights, bias) = parse_probe(&bytes)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        Ok(Self { file: file.to_owned(), sha256, bytes: bytes.len() as u64, weights, bias })
    }
}

/// A safetensors file begins with its header's length and the header, a JSON object.
pub(super) fn is_safetensors(first: &[u8]) -> Result<(), AssetError> {
    if first.get(8) == Some(&b'{') && !first.starts_with(gguf::MAGIC) {
        return Ok(());
    }
    let got = if first.starts_with(gguf::MAGIC) {
        "a GGUF file".to_owned()
    } else {
        format!("the first bytes {:02x?}", &first[..first.len().min(8)])
    };
    Err(AssetError::NotSafeTensors { got })
}

/// Reads the bytes of a probe's file: the weights and the bias of each layer.
///
/// # Errors
/// The first thing that is wrong with it. No input makes this panic, or allocate more than a small multiple of the
/// input's size.
pub fn parse_probe(bytes: &[u8]) -> Result<(Vectors, BTreeMap<u32, f32>), AssetError> {
    is_safetensors(bytes)?;
    let opened = Opened::new(bytes)?;
    let mut weights = opened.collector();
    let mut bias = BTreeMap::new();
    for (name, info) in &opened.tensors() {
        if let Some(layer) = numbered(name, "probe.") {
            if info.shape.len() != 1 {
                return Err(shape(name, info, "[width]"));
            }
            weights.add(name, layer, floats(name, info, opened.data)?)?;
        } else if let Some(layer) = numbered(name, "bias.") {
            bias.insert(
                layer,
                number(name, &floats(name, info, opened.data)?).ok_or_else(|| shape(name, info, "[1]"))??,
            );
        } else {
            let allowed = "probe.N and bias.N with a layer number N";
            return Err(AssetError::TensorName { got: shown(name), allowed });
        }
    }
    let weights = weights.finish_as("probe.N")?;
    let lacks = |layers: &BTreeMap<u32, f32>, layer: &u32| !layers.contains_key(layer);
    if let Some(layer) = weights.layers.keys().find(|layer| lacks(&bias, layer)) {
        return Err(AssetError::NoPartner { tensor: format!("probe.{layer}"), partner: format!("bias.{layer}") });
    }
    if let Some(layer) = bias.keys().find(|layer| !weights.layers.contains_key(layer)) {
        return Err(AssetError::NoPartner { tensor: format!("bias.{layer}"), partner: format!("probe.{layer}") });
    }
    Ok((weights, bias))
}

/// The only value of a tensor; `None` if it has not exactly one.
fn number(tensor: &str, values: &[f32]) -> Option<Result<f32, AssetError>> {
    let &[value] = values else { return None };
    let (tensor, norm) = (tensor.to_owned(), f64::from(value).abs());
    Some(match value {
        _ if !value.is_finite() => Err(AssetError::NotFinite { tensor, index: 0, got: value }),
        _ if norm > MAX_DIRECTION_NORM => Err(AssetError::Norm { tensor, got: norm, max: MAX_DIRECTION_NORM }),
        _ => Ok(value),
    })
}

//! Low-rank edits of a model's matrices, in safetensors (F32, F16, BF16): for a weight `NAME.weight` of the model's GGUF file
//! a pair of tensors `NAME.a` of shape `[r, inputs]` and `NAME.b` of shape `[outputs, r]`, so that `y = Wx` becomes
//! `y = Wx + b·(a·x)`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::TensorInfo;
use sha2::{Digest, Sha256};

use super::AssetError;
use super::bound::{MAX_ASSET_BYTES, MAX_EDIT_RANK, MAX_WIDTH};
use super::direction::hex;
use super::file::read_regular;
use super::probe::is_safetensors;
use super::safetensors_vector::{Opened, floats, shape};
use super::vectors::{check_values, shown};

/// A matrix of the model that can be edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Weight {
    /// `blk.N.attn_q.weight`: queries.
    AttnQ,
    /// `blk.N.attn_k.weight`: keys.
    AttnK,
    /// `blk.N.attn_v.weight`: values.
    AttnV,
    /// `blk.N.attn_qkv.weight`: the three in one matrix.
    AttnQkv,
    /// `blk.N.attn_output.weight`
    AttnOutput,
    /// `blk.N.ffn_gate.weight`
    FfnGate,
    /// `blk.N.ffn_up.weight`
    FfnUp,
    /// `blk.N.ffn_down.weight`
    FfnDown,
    /// `output.weight`, the LM head; where it is tied to the embeddings, only its part as the head.
    Output,
}

impl Weight {
    const ALL: [Weight; 9] = [
        Weight::AttnQ,
        Weight::AttnK,
        Weight::AttnV,
        Weight::AttnQkv,
        Weight::AttnOutput,
        Weight::FfnGate,
        Weight::FfnUp,
        Weight::FfnDown,
        Weight::Output,
    ];

    /// The name in the model's file, without block and ending.
    pub fn name(self) -> &'static str {
        match self {
            Weight::AttnQ => "attn_q",
            Weight::AttnK => "attn_k",
            Weight::AttnV => "attn_v",
            Weight::AttnQkv => "attn_qkv",
            Weight::AttnOutput => "attn_output",
            Weight::FfnGate => "ffn_gate",
            Weight::FfnUp => "ffn_up",
            Weight::FfnDown => "ffn_down",
            Weight::Output => "output",
        }
    }

    /// True if what it is multiplied with is as wide as the residual stream.
    pub fn reads_the_stream(self) -> bool {
        !matches!(self, Weight::AttnOutput | Weight::FfnDown)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where an edit is: the block, `None` for the LM head, and the matrix in it.
pub type EditPlace = (Option<u32>, Weight);

/// One edit: finite values with norms of at most [`super::MAX_DIRECTION_NORM`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LowRank {
    /// `r`
    pub rank: u32,
    /// `a`, `r` rows of inputs.
    pub a: Arc<[f32]>,
    /// `b`, one row of `r` values per output.
    pub b: Arc<[f32]>,
}

/// A file with edits; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct EditFile {
    /// The file, links resolved.
    pub file: PathBuf,
    /// SHA-256 of its bytes, as `sha256sum` prints it.
    pub sha256: String,
    /// The model family the file says it was made for.
    pub model_hint: Option<String>,
    /// The edits.
    pub edits: BTreeMap<EditPlace, LowRank>,
}

impl EditFile {
    /// Reads a file that [`super::Places::resolve`] found.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(file: &Path) -> Result<Self, AssetError> {
        let bytes = read_regular(file, MAX_ASSET_BYTES, is_safetensors)?;
        let (model_hint, edits) = parse_edits(&bytes)?;
        Ok(Self { file: file.to_owned(), sha256: hex(&Sha256::digest(&bytes)), model_hint, edits })
    }
}

const ALLOWED: &str = "blk.N.WEIGHT.a and blk.N.WEIGHT.b with a layer number N and one of attn_q, attn_k, attn_v, attn_qkv, \
                       attn_output, ffn_gate, ffn_up, ffn_down, or output.a and output.b";

/// One tensor of a pair: name, shape, values.
type Half = (String, Vec<usize>, Vec<f32>);

/// What [`parse_edits`] finds: the model family the file says it was made for, and its edits.
pub type Edits = (Option<String>, BTreeMap<EditPlace, LowRank>);

/// Reads the bytes of a file with edits.
///
/// # Errors
/// The first thing that is wrong with it. No input makes this panic, or allocate more than a small multiple of the
/// input's size.
pub fn parse_edits(bytes: &[u8]) -> Result<Edits, AssetError> {
    is_safetensors(bytes)?;
    let opened = Opened::new(bytes)?;
    let mut found: BTreeMap<EditPlace, [Option<Half>; 2]> = BTreeMap::new();
    for (name, info) in &opened.tensors() {
        let unknown = || AssetError::TensorName { got: shown(name), allowed: ALLOWED };
        let (place, side) = place(name).ok_or_else(unknown)?;
        let values = floats(name, info, opened.data)?;
        check_shape(name, info, side)?;
        check_values(&shown(name), &values)?;
        found.entry(place).or_default()[side] = Some((shown(name), info.shape.clone(), values));
    }
    if found.is_empty() {
        return Err(AssetError::NoDirection { allowed: "blk.N.WEIGHT.a" });
    }
    let mut edits = BTreeMap::new();
    for (place, sides) in found {
        let (a, b) = match sides {
            [Some(a), Some(b)] => (a, b),
            [Some((tensor, ..)), None] => {
                let partner = format!("{}b", &tensor[..tensor.len() - 1]);
                return Err(AssetError::NoPartner { tensor, partner });
            }
            [None, Some((tensor, ..))] => {
                let partner = format!("{}a", &tensor[..tensor.len() - 1]);
                return Err(AssetError::NoPartner { tensor, partner });
            }
            [None, None] => continue,
        };
        if a.1[0] != b.1[1] {
            let got = b.1.iter().map(|n| *n as u64).collect();
            return Err(AssetError::TensorShape { tensor: b.0, got, allowed: "as many columns as the other's rows" });
        }
        edits.insert(place, LowRank { rank: a.1[0] as u32, a: a.2.into(), b: b.2.into() });
    }
    let hint = opened.collector().vectors.model_hint;
    Ok((hint, edits))
}

/// The matrix that a tensor's name means, and 0 for its `a`, 1 for its `b`.
fn place(name: &str) -> Option<(EditPlace, usize)> {
    let (weight, side) = name.strip_suffix(".a").map(|w| (w, 0)).or_else(|| Some((name.strip_suffix(".b")?, 1)))?;
    if weight == Weight::Output.name() {
        return Some(((None, Weight::Output), side));
    }
    let (layer, weight) = weight.strip_prefix("blk.")?.split_once('.')?;
    let plain = layer == "0" || !layer.starts_with('0') && layer.bytes().all(|b| b.is_ascii_digit());
    let layer = layer.parse().ok().filter(|_| plain)?;
    let weight = Weight::ALL.into_iter().find(|w| *w != Weight::Output && w.name() == weight)?;
    Some(((Some(layer), weight), side))
}

fn check_shape(name: &str, info: &TensorInfo, side: usize) -> Result<(), AssetError> {
    let (rank, width) = match (side, &info.shape[..]) {
        (0, &[rank, width]) | (1, &[width, rank]) => (rank, width),
        (0, _) => return Err(shape(name, info, "[r, inputs]")),
        (_, _) => return Err(shape(name, info, "[outputs, r]")),
    };
    if !(1..=MAX_EDIT_RANK).contains(&rank) || width == 0 || width as u64 > MAX_WIDTH {
        return Err(shape(name, info, "r from 1 to 512, inputs and outputs from 1 to 1048576"));
    }
    Ok(())
}

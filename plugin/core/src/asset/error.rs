//! What can be wrong with a vector file.

use std::path::PathBuf;

use super::{Format, GgufError};

/// A vector file that cannot be used. Printed as `what, got, allowed`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// No such file.
    #[error(
        "no such file, got {got:?}{}, allowed: a file below {}",
        .suggestion.as_ref().map_or(String::new(), |s| format!(" (did you mean {s:?}?)")), list(.roots)
    )]
    NotFound {
        /// The path as typed.
        got: String,
        /// A file of a similar name in the same folder.
        suggestion: Option<String>,
        /// The folders that were searched.
        roots: Vec<PathBuf>,
    },
    /// A file outside the folders from which files may be read.
    #[error(
        "file outside the allowed folders, got {got:?} which is {}, allowed: below {} (or add its folder to \
         runtime.asset-dirs)", .file.display(), list(.roots)
    )]
    Outside {
        /// The path as typed.
        got: String,
        /// The file it leads to, links followed.
        file: PathBuf,
        /// The folders.
        roots: Vec<PathBuf>,
    },
    /// An entry of asset-dirs that is no folder.
    #[error("not a folder, got {got:?} ({why}), allowed: an existing folder")]
    NotAFolder {
        /// The path as typed.
        got: String,
        /// The system's message.
        why: String,
    },
    /// A folder, a pipe, a device.
    #[error("not a regular file, got {kind}, allowed: a regular file")]
    NotRegular {
        /// What it is.
        kind: &'static str,
    },
    /// The system refuses to open or read it.
    #[error("cannot be read, got the error {why}, allowed: a readable file")]
    Unreadable {
        /// The system's message.
        why: String,
    },
    /// Larger than its cap.
    #[error("file too large, got {got} bytes, allowed: at most {max}")]
    TooLarge {
        /// Size.
        got: u64,
        /// The cap.
        max: u64,
    },
    /// It kept changing while it was read.
    #[error("the file changed while it was read, got {got} bytes instead of {expected}, allowed: a file at rest")]
    Changed {
        /// Bytes read.
        got: u64,
        /// Bytes it had when it was opened.
        expected: u64,
    },
    /// The system has no memory for it.
    #[error("not enough memory, got a file of {bytes} bytes, allowed: what fits")]
    OutOfMemory {
        /// Its size.
        bytes: u64,
    },
    /// None of the formats.
    #[error(
        "unknown format, got {got}, allowed: a GGUF control vector, safetensors, .npy, or F32 values without a header \
         (with `shape` and `rows` in the rule)"
    )]
    UnknownFormat {
        /// What it seems to be, or its first bytes.
        got: String,
    },
    /// A file of a kind that is only read as safetensors.
    #[error("format of this file, got {got}, allowed: safetensors")]
    NotSafeTensors {
        /// What it seems to be, or its first bytes.
        got: String,
    },
    /// The structure of a GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The structure of a safetensors file.
    #[error("not a valid safetensors file, got {why}, allowed: what the format's specification says")]
    SafeTensors {
        /// What is wrong with it.
        why: String,
    },
    /// The structure of a NumPy file.
    #[error("not a NumPy array that can be read, got {why}, allowed: a .npy file of floats as numpy.save writes it")]
    Npy {
        /// What is wrong with it.
        why: String,
    },
    /// A headerless file whose size is not that of the shape in the profile.
    #[error(
        "size of a file without a header, got {got} bytes, allowed: {need}, four for each value of shape = {shape:?}"
    )]
    Headerless {
        /// Its size.
        got: u64,
        /// The size of the shape.
        need: u64,
        /// `shape`.
        shape: [u32; 2],
    },
    /// The file says its shape itself, and it is another one.
    #[error("shape of the file, got {got:?}, allowed: {typed:?}, as `shape` says")]
    OtherShape {
        /// The file's.
        got: Vec<u64>,
        /// `shape`.
        typed: [u32; 2],
    },
    /// Nobody says which layers the rows of a file are for.
    #[error(
        "layers of a {format} file, got none, allowed: `rows` with the layer of each row, for example rows = \"0..31\""
    )]
    RowsUnknown {
        /// Its format.
        format: Format,
    },
    /// Another number of layers than the file has rows.
    #[error("layers in `rows`, got {got}, allowed: {rows}, one per row of the file")]
    RowCount {
        /// Layers.
        got: u64,
        /// Rows.
        rows: u64,
    },
    /// `shape` or `rows` for a file that says both itself.
    #[error("`{key}` for a {format} file, got a file that says it itself, allowed: without `{key}`")]
    SaysItself {
        /// The key.
        key: &'static str,
        /// Its format.
        format: Format,
    },
    /// One side of an axis without the vector that belongs to both sides.
    #[error(
        "an axis without its de-bias vector, got no rule with {debias:?}, allowed: debias = {debias:?} in this rule (they \
         are made to be used together), or model-hint = \"ignore\""
    )]
    NeedsDebias {
        /// The file beside it.
        debias: String,
    },
    /// A GGUF file that is no control vector.
    #[error("general.architecture, got \"{got}\" (a model?), allowed: \"controlvector\", \"steeringvector\"")]
    NotAVector {
        /// `general.architecture`.
        got: String,
    },
    /// A tensor that is not a direction.
    #[error("tensor name, got `{got}`, allowed: {allowed}")]
    TensorName {
        /// The name.
        got: String,
        /// Names that this format may have.
        allowed: &'static str,
    },
    /// An element type that is not read.
    #[error("element type of tensor `{tensor}`, got {got}, allowed: {allowed}")]
    TensorType {
        /// The tensor.
        tensor: String,
        /// Its type.
        got: String,
        /// Types that this format may have.
        allowed: &'static str,
    },
    /// A direction of the wrong shape.
    #[error("shape of tensor `{tensor}`, got {got:?}, allowed: {allowed}")]
    TensorShape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        got: Vec<u64>,
        /// Shapes it may have.
        allowed: &'static str,
    },
    /// Directions of different widths in one file.
    #[error("width of tensor `{tensor}`, got {got} elements, allowed: {first} as in `{first_tensor}`")]
    Width {
        /// The tensor.
        tensor: String,
        /// Its width.
        got: u64,
        /// The first tensor.
        first_tensor: String,
        /// Its width.
        first: u64,
    },
    /// More tensors than a file may have.
    #[error("too many tensors, got {got}, allowed: at most {max}")]
    TooManyTensors {
        /// Their number.
        got: u64,
        /// The cap.
        max: u64,
    },
    /// A file without any direction.
    #[error("nothing in the file, got no tensor, allowed: at least one `{allowed}`")]
    NoDirection {
        /// The name of its tensors.
        allowed: &'static str,
    },
    /// A tensor whose other half is absent.
    #[error("tensor `{tensor}` stands alone, got no `{partner}`, allowed: both or neither")]
    NoPartner {
        /// The tensor.
        tensor: String,
        /// The one that belongs to it.
        partner: String,
    },
    /// NaN or infinity.
    #[error("value {index} of tensor `{tensor}`, got {got}, allowed: finite numbers")]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Index of the first such value.
        index: usize,
        /// The value.
        got: f32,
    },
    /// A direction that is too long to be one.
    #[error("norm of tensor `{tensor}`, got {got:.3e}, allowed: at most {max:e}")]
    Norm {
        /// The tensor.
        tensor: String,
        /// Its Euclidean norm.
        got: f64,
        /// The cap.
        max: f64,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

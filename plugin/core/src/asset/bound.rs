//! The caps. Each is far above what a sensible file needs, and far below what hurts a host.

/// Largest profile, in bytes.
pub const MAX_PROFILE_BYTES: u64 = 1 << 20;
/// Most tables of each kind of rule in a profile.
pub const MAX_RULES: usize = 64;
/// Most `[[route]]` tables of a profile.
pub const MAX_ROUTES: usize = 64;
/// Most heads in a `[[heads]]` table.
pub const MAX_HEADS: usize = 4096;
/// Most tables in one rule's condition.
pub const MAX_CONDITIONS: usize = 16;
/// Most labels of one calibration.
pub const MAX_LABELS: usize = 32;
/// Most values in a tensor of a calibration: the points of a curve.
pub const MAX_CURVE: usize = 64;
/// Most rows of an eraser.
pub const MAX_RANK: usize = 8;
/// Largest rank of an edit of a matrix.
pub const MAX_EDIT_RANK: usize = 512;
/// Largest vector file, in bytes.
pub const MAX_ASSET_BYTES: u64 = 4 << 30;
/// Most tensors in a vector file.
pub const MAX_TENSORS: u64 = 1024;
/// Largest width of a direction, in elements: more than any model's residual stream.
pub const MAX_WIDTH: u64 = 1 << 20;
/// Largest Euclidean norm of one direction as stored.
///
/// The hidden states of known models have norms of up to some 1e5; a direction beyond this bound is a damaged file.
/// What a rule adds may be larger, since a strength only has to be finite.
pub const MAX_DIRECTION_NORM: f64 = 1e6;
/// Most metadata keys in a GGUF file.
pub const MAX_GGUF_KEYS: u64 = 1 << 16;
/// Longest metadata key or tensor name in a GGUF file, in bytes.
pub const MAX_GGUF_NAME: u64 = (1 << 16) - 1;
/// Largest metadata of a model's GGUF file that is searched for the model's facts, in bytes.
pub const MAX_MODEL_HEADER_BYTES: u64 = 256 << 20;
/// Most layers a model may say it has.
pub const MAX_MODEL_LAYERS: u32 = 1 << 16;
/// Largest JSON header of a safetensors vector file, in bytes.
pub const MAX_SAFETENSORS_HEADER_BYTES: u64 = 1 << 20;

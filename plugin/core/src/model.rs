//! What a plan has to know about a model.

/// Facts of one loaded model, read from the host's library or from a GGUF file's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// `general.architecture`, for example `llama`.
    pub arch: String,
    /// Width of the residual stream (`<arch>.embedding_length`).
    pub n_embd: u32,
    /// Number of transformer blocks (`<arch>.block_count`).
    pub n_layer: u32,
    /// `general.name`, where the file has one.
    pub name: Option<String>,
}

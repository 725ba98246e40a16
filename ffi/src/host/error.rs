//! What can go wrong when a host is driven.

use std::path::PathBuf;

use crate::{library::LibraryError, table::Missing};

/// Why a host cannot be driven, or refused what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The loader refused the file.
    #[error("{path}: cannot be loaded: {why}", path = path.display())]
    Load {
        /// The library.
        path: PathBuf,
        /// The loader's message.
        why: String,
    },
    /// The file was loaded, but it is no llama.cpp.
    #[error("{path}: is no llama.cpp library: it has no function `llama_decode`", path = path.display())]
    NotLlama {
        /// The library.
        path: PathBuf,
    },
    /// Functions are missing that every supported version has.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// Functions are missing that are only needed to drive a host.
    #[error("{object} lacks functions: {missing}")]
    Missing {
        /// The object that was searched.
        object: String,
        /// What is missing.
        missing: Missing,
    },
    /// A struct of this llama.cpp is not laid out as the bindings say.
    #[error("this llama.cpp has another layout of `{strukt}`: `{field}` is {found} by default, expected {expected}")]
    Layout {
        /// The struct.
        strukt: &'static str,
        /// Its field.
        field: &'static str,
        /// The default that llama.cpp documents.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// No compute device: a build with dynamic backends found none of them.
    #[error("{path}: no compute backend was found beside it (libggml-cpu*.so)", path = path.display())]
    NoDevice {
        /// The library.
        path: PathBuf,
    },
    /// The model could not be loaded.
    #[error("{path}: llama.cpp cannot load this model: {why}", path = path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// The host's last error lines.
        why: String,
    },
    /// A context could not be made.
    #[error("llama.cpp cannot make a context: {why}")]
    Context {
        /// The host's last error lines.
        why: String,
    },
    /// A text or path with a NUL byte.
    #[error("`{text}` contains a NUL byte")]
    Nul {
        /// The text.
        text: String,
    },
    /// The tokenizer failed, or the text is too long.
    #[error("the text cannot be tokenized (llama_tokenize: {code})")]
    Tokenize {
        /// What llama.cpp answered.
        code: i32,
    },
    /// More rows than a batch may have, or none.
    #[error("a batch has 1 to {limit} rows, got {rows}")]
    BatchSize {
        /// Rows asked for.
        rows: usize,
        /// `n_batch` of the context.
        limit: usize,
    },
    /// A row names a token or sequence that does not exist.
    #[error("row {row}: {what} {value} is out of range (0..{limit})")]
    Row {
        /// Index in the batch.
        row: usize,
        /// `token` or `sequence`.
        what: &'static str,
        /// The value.
        value: i32,
        /// First value that is too large.
        limit: i32,
    },
    /// `llama_decode` refused or failed.
    #[error("llama_decode answered {code}{}", if *code == 1 { " (no room left in the context)" } else { "" })]
    Decode {
        /// What llama.cpp answered: 1 = no room, 2 = aborted, negative = error.
        code: i32,
    },
    /// Residual streams cannot be read.
    #[error("the residual stream cannot be read: {why}")]
    Capture {
        /// What is in the way.
        why: String,
    },
    /// A control vector of the wrong size.
    #[error(
        "a control vector has n_embd values per layer from layer 1: {found} is no multiple of {n_embd} up to {max}"
    )]
    ControlVector {
        /// Values given.
        found: usize,
        /// Width of the model.
        n_embd: usize,
        /// Values at most.
        max: usize,
    },
    /// llama.cpp refused the control vector.
    #[error("llama_set_adapter_cvec answered {code}")]
    ControlVectorRefused {
        /// What llama.cpp answered.
        code: i32,
    },
}

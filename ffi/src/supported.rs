//! The generations of llama.cpp that evenkeel knows, told apart by what they export.
//!
//! Version strings mislead: builds that call themselves 0.5.0 differ in their interface. A generation that is not in
//! the table is tried all the same, with a word about it: what decides is [`crate::selftest`].

use crate::library::Library;

/// A generation of llama.cpp.
#[derive(Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its name for people.
    pub name: &'static str,
    /// What `ggml_version()` begins with, as a cross-check.
    pub ggml: &'static str,
    /// Symbols that it exports.
    pub has: &'static [&'static str],
    /// Symbols that it does not export yet.
    pub lacks: &'static [&'static str],
}

/// All generations that the tests run, oldest first.
pub static SUPPORTED: &[Generation] = &[
    Generation {
        name: "v0.5, batches through llama_decode",
        ggml: "0.25.",
        has: &["ggml_build_forward_order", "llama_decode"],
        lacks: &["llama_process", "ggml_backend_buft_alloc_buffer_n"],
    },
    Generation {
        name: "v0.5, batches through llama_process",
        ggml: "0.25.",
        has: &["llama_process", "llama_batch_ext_init"],
        lacks: &["ggml_backend_buft_alloc_buffer_n"],
    },
    Generation {
        name: "v0.6",
        ggml: "0.26.",
        has: &["llama_process", "llama_batch_ext_init", "ggml_backend_buft_alloc_buffer_n"],
        lacks: &[],
    },
];

/// The generation of a library; None if it is not in the table. A program that hands its functions over hands over none
/// to tell generations apart by, so that the version has to do.
pub fn generation(lib: &Library) -> Option<&'static Generation> {
    let version = lib.ggml_version();
    if lib.is_given() {
        return SUPPORTED.iter().rfind(|g| version.starts_with(g.ggml));
    }
    let exports = |name: &&str| lib.symbol(name).is_some();
    SUPPORTED.iter().find(|g| version.starts_with(g.ggml) && g.has.iter().all(exports) && !g.lacks.iter().any(exports))
}

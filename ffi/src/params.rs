//! Context parameters: a large struct that is passed by value and whose layout changes between versions.

use std::mem::MaybeUninit;

use crate::{generated::types::*, library::Library};

/// More room than any version's parameters need: a host that writes more fields than the bindings know stays inside.
#[repr(C)]
struct Roomy {
    params: MaybeUninit<llama_context_params>,
    spare: [u64; 64],
}

/// True if the host's default parameters, read through the bindings, are the documented ones.
///
/// They hold enough distinct values (512, 2048, 1, −1.0, F16, true and false) that a shifted field shows.
pub fn layout_agrees(lib: &Library) -> bool {
    let Some(llama) = &lib.llama else { return false };
    type Roomily = unsafe extern "C-unwind" fn() -> Roomy;
    // SAFETY: both types return a struct in memory that the caller provides; ours is larger than the host's.
    let roomily = unsafe {
        std::mem::transmute::<unsafe extern "C-unwind" fn() -> llama_context_params, Roomily>(
            llama.llama_context_default_params,
        )
    };
    // SAFETY: the function takes nothing; every bit pattern of the fields that are read below is valid, the
    // booleans apart, which are read as bytes.
    unsafe {
        let roomy = roomily();
        let p = roomy.params.as_ptr();
        let byte = |field: *const bool| field.cast::<u8>().read();
        [(*p).n_ctx, (*p).n_batch, (*p).n_ubatch, (*p).n_seq_max] == [512, 2048, 512, 1]
            && (*p).ctx_type == LLAMA_CONTEXT_TYPE_DEFAULT
            && [(*p).yarn_ext_factor, (*p).defrag_thold] == [-1.0, -1.0]
            && [(*p).type_k, (*p).type_v] == [GGML_TYPE_F16, GGML_TYPE_F16]
            && byte(&raw const (*p).embeddings) == 0
            && byte(&raw const (*p).offload_kqv) == 1
            && byte(&raw const (*p).kv_unified) == 0
    }
}

/// What a context is for, as far as its parameters say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextKind {
    /// It generates text.
    Default,
    /// It drafts tokens with a model's own multi-token prediction layers.
    Mtp,
    /// It computes embeddings.
    Embedding,
}

/// Reads what a context is for.
///
/// # Safety
/// `params` points to the parameters that the host passed by value, and [`layout_agrees`] for that host.
pub unsafe fn kind(params: *const llama_context_params) -> ContextKind {
    // SAFETY: the caller's promise.
    unsafe {
        if (*params).ctx_type != LLAMA_CONTEXT_TYPE_DEFAULT {
            ContextKind::Mtp
        } else if (&raw const (*params).embeddings).cast::<u8>().read() != 0 {
            ContextKind::Embedding
        } else {
            ContextKind::Default
        }
    }
}

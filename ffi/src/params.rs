//! Context parameters: a large struct that is passed by value and whose layout changes between versions.

use std::mem::{MaybeUninit, offset_of};

use crate::{
    generated::{symbols::Llama, types::*},
    library::Library,
};

/// More room than any version's parameters need: a host that writes more fields than the bindings know stays inside.
#[derive(Clone, Copy)]
#[repr(C)]
struct Roomy {
    params: MaybeUninit<llama_context_params>,
    spare: [u64; 64],
}

/// Where the host's parameters hold `embeddings`, if its default parameters, read through the bindings, are the
/// documented ones.
///
/// They hold enough distinct values (512, 2048, 1, −1.0, F16, true and false) that a shifted field shows. Versions differ
/// in the pointers between the cache types and the booleans, so the run of booleans is looked for there.
pub fn embeddings_offset(lib: &Library) -> Option<usize> {
    let roomy = defaults(lib.llama.as_ref()?);
    // SAFETY: every bit pattern of the fields that are read below is valid, the booleans apart, which are read as bytes,
    // all of them inside the parameters that the bindings know.
    unsafe {
        let p = roomy.params.as_ptr();
        let front = [(*p).n_ctx, (*p).n_batch, (*p).n_ubatch, (*p).n_seq_max] == [512, 2048, 512, 1]
            && (*p).ctx_type == LLAMA_CONTEXT_TYPE_DEFAULT
            && [(*p).yarn_ext_factor, (*p).defrag_thold] == [-1.0, -1.0]
            && [(*p).type_k, (*p).type_v] == [GGML_TYPE_F16, GGML_TYPE_F16];
        let first = offset_of!(llama_context_params, type_v) + size_of::<ggml_type>();
        let bytes = |offset: usize| p.cast::<[u8; DEFAULTS.len()]>().byte_add(offset).read();
        let mut offsets = (first..=size_of::<llama_context_params>() - DEFAULTS.len()).step_by(align_of::<usize>());
        offsets.find(|offset| front && bytes(*offset) == DEFAULTS)
    }
}

/// The host's default parameters.
fn defaults(llama: &Llama) -> Roomy {
    type Roomily = unsafe extern "C-unwind" fn() -> Roomy;
    // SAFETY: both types return a struct in memory that the caller provides; ours is larger than the host's. The function
    // takes nothing.
    unsafe {
        let roomily = std::mem::transmute::<unsafe extern "C-unwind" fn() -> llama_context_params, Roomily>(
            llama.llama_context_default_params,
        );
        roomily()
    }
}

/// Parameters that a context was made with: good for another one like it, of which the host knows nothing.
#[derive(Clone, Copy)]
pub struct Copied {
    roomy: Roomy,
    /// Whether its sequences share one cache, so that a cell can be several sequences'.
    pub unified: bool,
    /// Whether the program is asked about each node that its context evaluates.
    pub watched: bool,
    /// Where the parameters say that.
    unified_at: usize,
}

// SAFETY: the pointers in it are what the host gave its own context, which lives longer than a copy is used.
unsafe impl Send for Copied {}
// SAFETY: as above; it is never written.
unsafe impl Sync for Copied {}

impl Copied {
    /// Copies them as far as they are known, up to the booleans; what follows (samplers, another context that is shared) is
    /// what the host's defaults say, and the host's callback is not asked about nodes of this context.
    ///
    /// # Safety
    /// As [`kind`]; `llama` are that host's functions.
    pub unsafe fn of(llama: &Llama, params: *const llama_context_params, embeddings: usize) -> Copied {
        let mut roomy = defaults(llama);
        // SAFETY: the caller's promise: the booleans end there, inside of what the host passed, and of ours.
        unsafe {
            let into = roomy.params.as_mut_ptr();
            std::ptr::copy_nonoverlapping(params.cast::<u8>(), into.cast::<u8>(), embeddings + DEFAULTS.len());
            let watched = (*into).cb_eval.is_some();
            (*into).cb_eval = None;
            (*into).cb_eval_user_data = std::ptr::null_mut();
            let unified_at = embeddings + DEFAULTS.len() - 1;
            let unified = params.cast::<u8>().add(unified_at).read() != 0 || (*into).n_seq_max == 1;
            // Nobody reads its embeddings.
            into.cast::<u8>().add(embeddings).write(0);
            Copied { roomy, unified, watched, unified_at }
        }
    }

    /// The same for a context whose attention weights can be replaced: they are values of its graphs, and all sequences share one
    /// cache. Values in it are F16 where they were quantised, because those are read by flash attention only.
    #[must_use]
    pub fn with_weights(mut self) -> Copied {
        let known = [GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16];
        // SAFETY: the fields were copied from the host's parameters, or are its defaults; every bit pattern of them is valid.
        unsafe {
            let params = self.roomy.params.as_mut_ptr();
            (*params).flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
            if !known.contains(&(*params).type_v) {
                (*params).type_v = GGML_TYPE_F16;
            }
            params.cast::<u8>().add(self.unified_at).write(1);
        }
        self.unified = true;
        self
    }

    /// Makes a context with them; null if the host cannot.
    ///
    /// # Safety
    /// `model` is loaded, and `llama` are the functions of its host.
    pub unsafe fn context(&self, llama: &Llama, model: *mut llama_model) -> *mut llama_context {
        type Roomily = unsafe extern "C-unwind" fn(*mut llama_model, Roomy) -> *mut llama_context;
        // SAFETY: both types take a struct that is passed in memory; ours is larger than the host's, which reads its own size.
        unsafe {
            let make = std::mem::transmute::<
                unsafe extern "C-unwind" fn(*mut llama_model, llama_context_params) -> *mut llama_context,
                Roomily,
            >(llama.llama_init_from_model);
            make(model, self.roomy)
        }
    }
}

/// The defaults of `embeddings`, `offload_kqv`, `no_perf`, `op_offload`, `swa_full`, `kv_unified`.
const DEFAULTS: [u8; 6] = [0, 1, 1, 1, 1, 0];

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
/// `params` points to the parameters that the host passed by value, and `embeddings` is [`embeddings_offset`] of that host.
pub unsafe fn kind(params: *const llama_context_params, embeddings: usize) -> ContextKind {
    // SAFETY: the caller's promise.
    unsafe {
        if (*params).ctx_type != LLAMA_CONTEXT_TYPE_DEFAULT {
            ContextKind::Mtp
        } else if params.cast::<u8>().add(embeddings).read() != 0 {
            ContextKind::Embedding
        } else {
            ContextKind::Default
        }
    }
}

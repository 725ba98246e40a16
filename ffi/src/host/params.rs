//! The structs that llama.cpp takes by value, and the proof that they are laid out as the bindings say.

use std::{ffi::c_void, mem::MaybeUninit};

use super::{ContextOptions, FlashAttention, HostError, callback::Callback};
use crate::generated::{symbols::Host, types::*};

/// A struct with room behind it: a host whose struct is longer writes its defaults there and gets them back.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Padded<T: Copy> {
    fields: MaybeUninit<T>,
    tail: [MaybeUninit<u64>; 64],
}

pub(super) type ModelParams = Padded<llama_model_params>;
pub(super) type ContextParams = Padded<llama_context_params>;

/// `llama_model_load_from_file` with room behind its last parameter.
pub(super) type LoadModel = unsafe extern "C-unwind" fn(*const std::ffi::c_char, ModelParams) -> *mut llama_model;
/// `llama_init_from_model` with room behind its last parameter.
pub(super) type NewContext = unsafe extern "C-unwind" fn(*mut llama_model, ContextParams) -> *mut llama_context;

/// Fails unless the bytes of `$field` are those of `$expected`. Bytes are compared, never values: a `bool` or a function
/// pointer in the wrong place must not be read as one.
macro_rules! same {
    ($struct:ty, $params:expr, $field:ident, $expected:expr) => {{
        let pointer = $params.fields.as_ptr();
        // SAFETY: only the address is formed; the field lies inside the struct.
        let field = unsafe { &raw const (*pointer).$field };
        let expected = $expected;
        assert_eq!(size_of_val(&expected), field_size(field));
        // SAFETY: the host's function wrote its defaults over these bytes.
        let found = unsafe { std::slice::from_raw_parts(field.cast::<u8>(), size_of_val(&expected)) };
        let wanted = expected.to_le_bytes();
        if found != wanted {
            return Err(HostError::Layout {
                strukt: stringify!($struct),
                field: stringify!($field),
                expected: expected.to_string(),
                found: format!("{found:02x?}"),
            });
        }
    }};
}

fn field_size<T>(_: *const T) -> usize {
    size_of::<T>()
}

/// The host's default model parameters, with their layout checked.
pub(super) fn model_defaults(host: &Host) -> Result<ModelParams, HostError> {
    // SAFETY: a struct this large is returned through memory that the caller owns, in every C ABI; a larger one gives
    // the host more room.
    let make: unsafe extern "C-unwind" fn() -> ModelParams =
        unsafe { std::mem::transmute(host.llama_model_default_params) };
    // SAFETY: llama_model_default_params takes nothing and only fills the struct.
    let params = unsafe { make() };
    same!(llama_model_params, params, devices, 0u64);
    same!(llama_model_params, params, tensor_buft_overrides, 0u64);
    same!(llama_model_params, params, n_gpu_layers, -1i32);
    same!(llama_model_params, params, split_mode, LLAMA_SPLIT_MODE_LAYER);
    same!(llama_model_params, params, main_gpu, 0i32);
    same!(llama_model_params, params, progress_callback, 0u64);
    same!(llama_model_params, params, kv_overrides, 0u64);
    same!(llama_model_params, params, vocab_only, 0u8);
    same!(llama_model_params, params, check_tensors, 0u8);
    same!(llama_model_params, params, use_extra_bufts, 1u8);
    same!(llama_model_params, params, no_host, 0u8);
    same!(llama_model_params, params, no_alloc, 0u8);
    Ok(params)
}

/// The host's default context parameters, with their layout checked.
pub(super) fn context_defaults(host: &Host) -> Result<ContextParams, HostError> {
    // SAFETY: as in `model_defaults`.
    let make: unsafe extern "C-unwind" fn() -> ContextParams =
        unsafe { std::mem::transmute(host.llama_context_default_params) };
    // SAFETY: llama_context_default_params takes nothing and only fills the struct.
    let params = unsafe { make() };
    same!(llama_context_params, params, n_ctx, 512u32);
    same!(llama_context_params, params, n_batch, 2048u32);
    same!(llama_context_params, params, n_ubatch, 512u32);
    same!(llama_context_params, params, n_seq_max, 1u32);
    same!(llama_context_params, params, n_outputs_max_per_seq, 1u32);
    same!(llama_context_params, params, n_threads, 4i32);
    same!(llama_context_params, params, n_threads_batch, 4i32);
    same!(llama_context_params, params, ctx_type, LLAMA_CONTEXT_TYPE_DEFAULT);
    same!(llama_context_params, params, rope_scaling_type, -1i32);
    same!(llama_context_params, params, pooling_type, LLAMA_POOLING_TYPE_UNSPECIFIED);
    same!(llama_context_params, params, flash_attn_type, LLAMA_FLASH_ATTN_TYPE_AUTO);
    same!(llama_context_params, params, yarn_ext_factor, -1.0f32);
    same!(llama_context_params, params, cb_eval, 0u64);
    same!(llama_context_params, params, cb_eval_user_data, 0u64);
    same!(llama_context_params, params, type_k, GGML_TYPE_F16);
    same!(llama_context_params, params, type_v, GGML_TYPE_F16);
    same!(llama_context_params, params, abort_callback, 0u64);
    same!(llama_context_params, params, embeddings, 0u8);
    same!(llama_context_params, params, offload_kqv, 1u8);
    same!(llama_context_params, params, no_perf, 1u8);
    same!(llama_context_params, params, op_offload, 1u8);
    same!(llama_context_params, params, swa_full, 1u8);
    same!(llama_context_params, params, kv_unified, 0u8);
    same!(llama_context_params, params, samplers, 0u64);
    same!(llama_context_params, params, n_samplers, 0u64);
    Ok(params)
}

/// The host's defaults with `options` put in, and what is called for each node that is evaluated.
pub(super) fn context_params(
    host: &Host,
    options: &ContextOptions,
    callback: Option<(Callback, *mut c_void)>,
) -> Result<ContextParams, HostError> {
    let mut params = context_defaults(host)?;
    // SAFETY: `context_defaults` found the host's defaults at the offsets of the bindings: every field is initialised
    // and valid.
    let fields = unsafe { params.fields.assume_init_mut() };
    fields.n_ctx = options.n_ctx;
    fields.n_batch = options.n_batch;
    fields.n_ubatch = options.n_ubatch;
    fields.n_seq_max = options.n_seq_max;
    // All rows of a batch may ask for logits.
    fields.n_outputs_max_per_seq = 0;
    fields.n_threads = options.threads;
    fields.n_threads_batch = options.threads;
    fields.kv_unified = options.kv_unified;
    fields.embeddings = options.embeddings;
    if let Some((callback, user)) = callback {
        (fields.cb_eval, fields.cb_eval_user_data) = (Some(callback), user);
    }
    (fields.type_k, fields.type_v) = (options.cache_type, options.cache_type);
    fields.flash_attn_type = match options.flash_attention {
        FlashAttention::Auto => LLAMA_FLASH_ATTN_TYPE_AUTO,
        FlashAttention::On => LLAMA_FLASH_ATTN_TYPE_ENABLED,
        FlashAttention::Off => LLAMA_FLASH_ATTN_TYPE_DISABLED,
    };
    Ok(params)
}

/// The host's defaults with the number of layers to put on a GPU.
pub(super) fn model_params(host: &Host, gpu_layers: Option<i32>) -> Result<ModelParams, HostError> {
    let mut params = model_defaults(host)?;
    // SAFETY: as in `context_params`.
    let fields = unsafe { params.fields.assume_init_mut() };
    if let Some(layers) = gpu_layers {
        fields.n_gpu_layers = layers;
    }
    Ok(params)
}

//! The sampler that [`super::attach`] puts into a context: llama.cpp calls it while it builds a graph.

use std::{ffi::c_char, mem::MaybeUninit, sync::Arc};

use evenkeel_ffi::generated::{symbols::Sampler, types::*};

use super::attach::Attached;
use crate::{guard::guard, state};

/// A chain with one sampler of ours in it: llama.cpp takes chains only, and each chain once.
///
/// # Safety
/// `functions` are those of one llama.cpp.
pub unsafe fn new_chain(functions: &Sampler, attached: Arc<Attached>) -> *mut llama_sampler {
    // SAFETY: the interface lives for ever, the box until `free`.
    unsafe {
        let behind = Box::into_raw(Box::new(Behind { functions: *functions, attached }));
        let ours = (functions.llama_sampler_init)((&raw const INTERFACE.0).cast_mut(), behind.cast());
        let chain = (functions.llama_sampler_chain_init)((functions.llama_sampler_chain_default_params)());
        (functions.llama_sampler_chain_add)(chain, ours);
        chain
    }
}

/// What a sampler of ours points to; a copy of one points to nothing.
struct Behind {
    functions: Sampler,
    attached: Arc<Attached>,
}

/// llama.cpp's table of a sampler's functions, with room for those that later versions add: null means absent.
#[repr(C)]
struct Interface(llama_sampler_i, [usize; 32]);

// SAFETY: it is never written.
unsafe impl Sync for Interface {}

static INTERFACE: Interface = Interface(
    llama_sampler_i {
        name: Some(name),
        accept: None,
        apply: Some(sample_nothing),
        reset: None,
        clone: Some(clone),
        free: Some(free),
        backend_init: Some(backend_init),
        backend_accept: None,
        backend_apply: Some(backend_apply),
        backend_set_input: None,
        backend_reset: None,
        copy_state: None,
    },
    [0; 32],
);

unsafe extern "C" fn name(_: *const llama_sampler) -> *const c_char {
    c"evenkeel".as_ptr()
}

unsafe extern "C" fn sample_nothing(_: *mut llama_sampler, _: *mut llama_token_data_array) {}

/// A copy belongs to no context and does nothing.
unsafe extern "C" fn clone(sampler: *const llama_sampler) -> *mut llama_sampler {
    // SAFETY: llama.cpp passes a sampler that `new_chain` made (one without anything behind it has no use for a copy).
    unsafe {
        match (*sampler).ctx.cast::<Behind>().as_ref() {
            Some(behind) => (behind.functions.llama_sampler_init)((*sampler).iface, std::ptr::null_mut()),
            None => std::ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn free(sampler: *mut llama_sampler) {
    // SAFETY: llama.cpp frees a sampler once; what is behind it came from a box.
    let behind = unsafe { (*sampler).ctx.cast::<Behind>() };
    if !behind.is_null() {
        // SAFETY: as above.
        guard("sampler", (), || drop(unsafe { Box::from_raw(behind) }));
    }
}

unsafe extern "C" fn backend_init(_: *mut llama_sampler, _: ggml_backend_buffer_type_t, _: u32) -> bool {
    true
}

unsafe extern "C" fn backend_apply(
    sampler: *mut llama_sampler,
    _: *mut ggml_context,
    gf: *mut ggml_cgraph,
    data: *mut llama_sampler_data,
) {
    // Nothing of ours is to be expanded behind the logits: not even the padded copy of them that it would be read from.
    // SAFETY: llama.cpp passes a record of its own; null pointers are what it takes for nothing.
    unsafe { *data = MaybeUninit::zeroed().assume_init() };
    if state::poisoned() {
        return;
    }
    guard("sampler", (), || {
        // SAFETY: as in `free`.
        if let Some(behind) = unsafe { (*sampler).ctx.cast::<Behind>().as_ref() } {
            behind.attached.built(gf);
        }
    });
}

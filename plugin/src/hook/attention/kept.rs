//! What later rows need of a region: its keys without positions, its keys as they are cached, its values.
//!
//! They are kept in F32 whatever the cache's type is, so that what is ranked and what is attended to in the region does not
//! depend on how a cache rounds, and where the cache's cells are does not matter.

use std::{ffi::CString, sync::Arc};

use evenkeel_ffi::generated::types::*;

use super::super::library::Host;

/// The tensors of one layer.
#[derive(Clone, Copy)]
pub struct Layer {
    /// Keys before their rotation, F32 `[n_embd_k, n_slots]`.
    pub bare: *mut ggml_tensor,
    /// Keys at the positions of the region, F32 `[n_embd_k, n_slots]`.
    pub keys: *mut ggml_tensor,
    /// Values, F32 `[n_slots, n_embd_v]`.
    pub values: *mut ggml_tensor,
}

/// One region's, for all layers.
pub struct Kept {
    host: Arc<Host>,
    ctx: *mut ggml_context,
    buffers: Vec<ggml_backend_buffer_t>,
    /// By number of the attention site.
    pub layers: Vec<Layer>,
}

// SAFETY: ggml's contexts and buffers have no thread affinity; the tensors are written and read by graphs only.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: made in `new`, freed once, with the last graph that reads them and the region itself.
        unsafe {
            for buffer in self.buffers.drain(..) {
                (self.host.lib.backend.ggml_backend_buffer_free)(buffer);
            }
            (self.host.lib.ggml.ggml_free)(self.ctx);
        }
    }
}

/// What one layer needs.
pub struct Wanted {
    /// A tensor that lies where the layer's should.
    pub near: *mut ggml_tensor,
    /// Width of the keys of a token.
    pub keys: i64,
    /// Width of its values.
    pub values: i64,
}

impl Kept {
    /// Memory for `n_slots` tokens in each layer; `None` if there is not as much.
    ///
    /// # Safety
    /// The `near` tensors are allocated tensors of this library.
    pub unsafe fn new(host: &Arc<Host>, wanted: &[Wanted], n_slots: i64) -> Option<Kept> {
        let lib = &host.lib;
        // SAFETY: the context has room for the tensors that are made in it; the views of a buffer's tensors stay within it.
        unsafe {
            let mem_size = (3 * wanted.len() + 1) * (lib.ggml.ggml_tensor_overhead)();
            let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
            let ctx = (lib.ggml.ggml_init)(params);
            if ctx.is_null() {
                return None;
            }
            let mut kept = Kept { host: host.clone(), ctx, buffers: vec![], layers: vec![] };
            let places: Vec<ggml_backend_buffer_type_t> = wanted.iter().map(|w| place(host, w.near)).collect();
            let mut made: Vec<ggml_backend_buffer_type_t> = vec![];
            // One buffer per device: `alloc_ctx_tensors` takes all tensors of a context that have none yet.
            for &here in &places {
                if made.contains(&here) {
                    continue;
                }
                made.push(here);
                for (w, _) in wanted.iter().zip(&places).filter(|(_, place)| **place == here) {
                    let tensor = |a, b, name: &str| {
                        let t = (lib.ggml.ggml_new_tensor_2d)(ctx, GGML_TYPE_F32, a, b);
                        let name = CString::new(name).unwrap_or_default();
                        (lib.ggml.ggml_set_name)(t, name.as_ptr());
                        t
                    };
                    let (bare, keys) = (tensor(w.keys, n_slots, "ek.bare"), tensor(w.keys, n_slots, "ek.keys"));
                    kept.layers.push(Layer { bare, keys, values: tensor(n_slots, w.values, "ek.values") });
                }
                let buffer = (lib.backend.ggml_backend_alloc_ctx_tensors_from_buft)(ctx, here);
                if buffer.is_null() {
                    return None;
                }
                kept.buffers.push(buffer);
            }
            // Back in the order of the layers.
            let mut order: Vec<usize> = Vec::with_capacity(wanted.len());
            for here in &made {
                order.extend((0..wanted.len()).filter(|i| places[*i] == *here));
            }
            let mut sorted = kept.layers.clone();
            order.iter().zip(&kept.layers).for_each(|(i, layer)| sorted[*i] = *layer);
            kept.layers = sorted;
            Some(kept)
        }
    }
}

unsafe fn place(host: &Host, near: *mut ggml_tensor) -> ggml_backend_buffer_type_t {
    // SAFETY: the caller's promise.
    unsafe {
        if near.is_null() || (*near).buffer.is_null() {
            return (host.lib.backend.ggml_backend_cpu_buffer_type)();
        }
        (host.lib.backend.ggml_backend_buffer_get_type)((*near).buffer)
    }
}

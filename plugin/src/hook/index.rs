//! Row numbers that one graph's operations read: written when the graph is edited, the same for its whole life.
//!
//! They lie in host memory of their own, as the gate table does: the scheduler copies them to the devices that read them.

use std::{
    ffi::{CString, c_void},
    sync::Arc,
};

use evenkeel_core::lower::{Leaf, Patch};
use evenkeel_ffi::generated::types::*;

use super::library::Host;

/// The index tensors of one patch, I32 `[n, rows]` each.
pub struct Indices {
    host: Arc<Host>,
    ctx: *mut ggml_context,
    buffer: ggml_backend_buffer_t,
    /// With their places in the patch's leafs.
    pub tensors: Vec<(usize, *mut ggml_tensor)>,
}

// SAFETY: ggml's contexts and buffers have no thread affinity, and the tensors are only touched under the state's lock.
unsafe impl Send for Indices {}

impl Drop for Indices {
    fn drop(&mut self) {
        // SAFETY: both were made in `new` and are freed once, with the graph that reads them.
        unsafe {
            if !self.buffer.is_null() {
                (self.host.lib.backend.ggml_backend_buffer_free)(self.buffer);
            }
            (self.host.lib.ggml.ggml_free)(self.ctx);
        }
    }
}

impl Indices {
    /// Makes those that the patch has; the number of bytes if there is no memory for them.
    pub fn new(host: &Arc<Host>, patch: &Patch) -> Result<Option<Indices>, usize> {
        let wanted = |(at, leaf)| match leaf {
            &Leaf::Index { ref name, ref data, rows } => Some((at, name, data, rows as usize)),
            _ => None,
        };
        let list: Vec<_> = patch.leafs.iter().enumerate().filter_map(wanted).collect();
        if list.is_empty() {
            return Ok(None);
        }
        let lib = &host.lib;
        let bytes = list.iter().map(|(_, _, data, rows)| size_of_val(&***data) * rows).sum();
        // SAFETY: the context has room for exactly the tensors that are made; each is written with its own size.
        unsafe {
            let mem_size = (lib.ggml.ggml_tensor_overhead)() * list.len();
            let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
            let ctx = (lib.ggml.ggml_init)(params);
            if ctx.is_null() {
                return Err(bytes);
            }
            let mut made = Indices { host: host.clone(), ctx, buffer: std::ptr::null_mut(), tensors: vec![] };
            for (at, name, data, rows) in &list {
                let t = (lib.ggml.ggml_new_tensor_2d)(ctx, GGML_TYPE_I32, data.len() as i64, *rows as i64);
                let name = CString::new(name.as_str()).unwrap_or_default();
                (lib.ggml.ggml_set_name)(t, name.as_ptr());
                (lib.ggml.ggml_set_input)(t);
                made.tensors.push((*at, t));
            }
            let cpu = (lib.backend.ggml_backend_cpu_buffer_type)();
            made.buffer = (lib.backend.ggml_backend_alloc_ctx_tensors_from_buft)(ctx, cpu);
            if made.buffer.is_null() {
                return Err(bytes);
            }
            for ((_, _, data, rows), (_, t)) in list.iter().zip(&made.tensors) {
                let all = data.repeat(*rows);
                (lib.backend.ggml_backend_tensor_set)(*t, all.as_ptr().cast::<c_void>(), 0, size_of_val(&*all));
            }
            Ok(Some(made))
        }
    }
}

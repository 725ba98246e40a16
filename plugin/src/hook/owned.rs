//! Tensors in host memory of our own: the scheduler copies them to the devices that read them, at every evaluation, and never
//! gives their memory to something else.

use std::{ffi::c_void, sync::Arc};

use evenkeel_ffi::generated::types::*;

use super::library::Host;

/// A context of ggml's for their metadata, and the buffer that they lie in.
pub struct Owned {
    host: Arc<Host>,
    /// Tensors are made in it, before [`Owned::allocate`].
    pub ctx: *mut ggml_context,
    buffer: ggml_backend_buffer_t,
}

// SAFETY: ggml's contexts and buffers have no thread affinity, and the tensors are only touched under the state's lock.
unsafe impl Send for Owned {}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: both were made here and are freed once, with the graph that reads the tensors.
        unsafe {
            if !self.buffer.is_null() {
                (self.host.lib.backend.ggml_backend_buffer_free)(self.buffer);
            }
            (self.host.lib.ggml.ggml_free)(self.ctx);
        }
    }
}

impl Owned {
    /// Room for the metadata of so many tensors; `None` if there is no memory.
    pub fn new(host: &Arc<Host>, n_tensors: usize) -> Option<Owned> {
        let g = &host.lib.ggml;
        // SAFETY: plain functions of ggml's, with parameters of its own type.
        unsafe {
            let mem_size = (g.ggml_tensor_overhead)() * n_tensors;
            let ctx = (g.ggml_init)(ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true });
            (!ctx.is_null()).then(|| Owned { host: host.clone(), ctx, buffer: std::ptr::null_mut() })
        }
    }

    /// Gives all tensors that were made in the context their memory; `None` if there is none.
    pub fn allocate(&mut self) -> Option<()> {
        let backend = &self.host.lib.backend;
        // SAFETY: the context is alive, and none of its tensors has memory yet.
        unsafe {
            let cpu = (backend.ggml_backend_cpu_buffer_type)();
            self.buffer = (backend.ggml_backend_alloc_ctx_tensors_from_buft)(self.ctx, cpu);
        }
        (!self.buffer.is_null()).then_some(())
    }

    /// Writes a tensor.
    ///
    /// # Safety
    /// It is one of these, allocated, and holds exactly these values.
    pub unsafe fn set<T>(&self, tensor: *mut ggml_tensor, values: &[T]) {
        // SAFETY: the caller's promise.
        unsafe {
            let set = self.host.lib.backend.ggml_backend_tensor_set;
            set(tensor, values.as_ptr().cast::<c_void>(), 0, size_of_val(values));
        }
    }
}

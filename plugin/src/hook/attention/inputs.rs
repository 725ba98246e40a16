//! The inputs of one graph, in host memory of their own: what is not written before an evaluation still holds what it held.

use std::{
    ffi::{CString, c_void},
    sync::Arc,
};

use evenkeel_ffi::generated::types::*;

use super::super::library::Host;

/// Tensors that the plug-in writes.
pub struct Inputs {
    host: Arc<Host>,
    ctx: *mut ggml_context,
    buffer: ggml_backend_buffer_t,
    tensors: Vec<*mut ggml_tensor>,
}

// SAFETY: ggml's contexts and buffers have no thread affinity, and the inputs are only touched under their graph's lock.
unsafe impl Send for Inputs {}

impl Drop for Inputs {
    fn drop(&mut self) {
        // SAFETY: made in `new`, freed once, with the graph that reads them.
        unsafe {
            if !self.buffer.is_null() {
                (self.host.lib.backend.ggml_backend_buffer_free)(self.buffer);
            }
            (self.host.lib.ggml.ggml_free)(self.ctx);
        }
    }
}

/// Extents and type of an input.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Its type.
    pub kind: ggml_type,
    /// Extents, fastest first.
    pub ne: [i64; 4],
}

impl Inputs {
    /// Makes them, all zeros; `None` if there is no memory.
    pub fn new(host: &Arc<Host>, shapes: &[Shape]) -> Option<Inputs> {
        let lib = &host.lib;
        // SAFETY: the context has room for the tensors that are made in it, and each is written with its own size.
        unsafe {
            let mem_size = (shapes.len() + 1) * (lib.ggml.ggml_tensor_overhead)();
            let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
            let ctx = (lib.ggml.ggml_init)(params);
            if ctx.is_null() {
                return None;
            }
            let mut inputs = Inputs { host: host.clone(), ctx, buffer: std::ptr::null_mut(), tensors: vec![] };
            for (i, shape) in shapes.iter().enumerate() {
                let [a, b, c, d] = shape.ne;
                let t = (lib.ggml.ggml_new_tensor_4d)(ctx, shape.kind, a, b, c, d);
                let name = CString::new(format!("ek.attention-{i}")).unwrap_or_default();
                (lib.ggml.ggml_set_name)(t, name.as_ptr());
                (lib.ggml.ggml_set_input)(t);
                inputs.tensors.push(t);
            }
            let cpu = (lib.backend.ggml_backend_cpu_buffer_type)();
            inputs.buffer = (lib.backend.ggml_backend_alloc_ctx_tensors_from_buft)(ctx, cpu);
            if inputs.buffer.is_null() {
                return None;
            }
            for (i, tensor) in inputs.tensors.iter().enumerate() {
                inputs.write(i, &vec![0u8; (lib.ggml.ggml_nbytes)(*tensor)]);
            }
            Some(inputs)
        }
    }

    /// The tensors, in order.
    pub fn tensors(&self) -> &[*mut ggml_tensor] {
        &self.tensors
    }

    /// Writes one, of numbers of its type or their bits.
    pub fn write<T: Copy>(&self, input: usize, values: &[T]) {
        let tensor = self.tensors[input];
        // SAFETY: the tensor is allocated; no more is written than it holds.
        unsafe {
            let bytes = size_of_val(values);
            assert_eq!(bytes, (self.host.lib.ggml.ggml_nbytes)(tensor), "input {input}");
            (self.host.lib.backend.ggml_backend_tensor_set)(tensor, values.as_ptr().cast::<c_void>(), 0, bytes);
        }
    }
}

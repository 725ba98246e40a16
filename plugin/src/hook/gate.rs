//! The gate table of one graph: what the rules' per-row strengths are in the evaluation that follows.
//!
//! It lies in host memory of its own, not in the scheduler's, which recycles an input's memory once it has been read:
//! a table that is not written before an evaluation must still hold the last values, never something else. The
//! scheduler copies it to the devices that read it, at every evaluation.

use std::{ffi::c_void, sync::Arc};

use evenkeel_ffi::generated::types::*;

use super::library::Host;

/// F32 `[1, n_tokens, n_gates]`.
pub struct Gates {
    host: Arc<Host>,
    ctx: *mut ggml_context,
    buffer: ggml_backend_buffer_t,
    tensor: *mut ggml_tensor,
    values: Vec<f32>,
    n_tokens: usize,
}

// SAFETY: ggml's contexts and buffers have no thread affinity, and a table is only touched under the state's lock.
unsafe impl Send for Gates {}

impl Drop for Gates {
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

impl Gates {
    /// Makes a table of zeros; None if there is no memory.
    pub fn new(host: &Arc<Host>, n_tokens: u32, n_gates: u16) -> Option<Gates> {
        let (lib, n_tokens, n_gates) = (&host.lib, n_tokens as usize, usize::from(n_gates));
        // SAFETY: the context has room for the one tensor that is made in it.
        unsafe {
            let mem_size = (lib.ggml.ggml_tensor_overhead)();
            let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
            let ctx = (lib.ggml.ggml_init)(params);
            let (buffer, tensor, values) = (std::ptr::null_mut(), std::ptr::null_mut(), vec![0.0; n_tokens * n_gates]);
            let mut gates = Gates { host: host.clone(), ctx, buffer, tensor, values, n_tokens };
            if ctx.is_null() {
                return None;
            }
            gates.tensor = (lib.ggml.ggml_new_tensor_3d)(ctx, GGML_TYPE_F32, 1, n_tokens as i64, n_gates as i64);
            (lib.ggml.ggml_set_name)(gates.tensor, c"ek.gates".as_ptr());
            // Not marked as an input: with several copies of the inputs, as between two GPUs, the scheduler would make
            // siblings of a marked tensor and take its own memory for theirs, which they do not have.
            let cpu = (lib.backend.ggml_backend_cpu_buffer_type)();
            gates.buffer = (lib.backend.ggml_backend_alloc_ctx_tensors_from_buft)(ctx, cpu);
            if gates.buffer.is_null() {
                return None;
            }
            gates.write(|_, _| 0.0);
            Some(gates)
        }
    }

    /// The table's tensor.
    pub fn tensor(&self) -> *mut ggml_tensor {
        self.tensor
    }

    /// Rows of the micro-batch.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Fills the table: `value` tells that of a gate on a row.
    pub fn write(&mut self, mut value: impl FnMut(usize, usize) -> f32) {
        for (gate, row) in self.values.chunks_exact_mut(self.n_tokens.max(1)).enumerate() {
            row.iter_mut().enumerate().for_each(|(i, v)| *v = value(gate, i));
        }
        // SAFETY: the tensor is allocated and holds exactly the values.
        unsafe {
            let bytes = size_of_val(&*self.values);
            (self.host.lib.backend.ggml_backend_tensor_set)(
                self.tensor,
                self.values.as_ptr().cast::<c_void>(),
                0,
                bytes,
            );
        }
    }
}

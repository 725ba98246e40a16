//! The gate table of one graph: what the rules' per-row strengths are in the evaluation that follows.
//!
//! It lies in host memory of its own, not in the scheduler's, which recycles an input's memory once it has been read:
//! a table that is not written before an evaluation must still hold the last values, never something else. The
//! scheduler copies it to the devices that read it, at every evaluation.

use std::sync::Arc;

use evenkeel_ffi::generated::types::*;

use super::{library::Host, owned::Owned};

/// F32 `[1, n_tokens, n_gates]`.
pub struct Gates {
    memory: Owned,
    tensor: *mut ggml_tensor,
    values: Vec<f32>,
    n_tokens: usize,
}

// SAFETY: the table's tensor has no thread affinity, and is only touched under the state's lock.
unsafe impl Send for Gates {}

impl Gates {
    /// Makes a table of zeros; None if there is no memory.
    pub fn new(host: &Arc<Host>, n_tokens: u32, n_gates: u16) -> Option<Gates> {
        let (g, n_tokens, n_gates) = (&host.lib.ggml, n_tokens as usize, usize::from(n_gates));
        let mut memory = Owned::new(host, 1)?;
        // SAFETY: the context has room for the one tensor that is made in it.
        let tensor = unsafe {
            let tensor = (g.ggml_new_tensor_3d)(memory.ctx, GGML_TYPE_F32, 1, n_tokens as i64, n_gates as i64);
            (g.ggml_set_name)(tensor, c"ek.gates".as_ptr());
            tensor
        };
        // Not marked as an input: with several copies of the inputs, as between two GPUs, the scheduler would make siblings of
        // a marked tensor and take its own memory for theirs, which they do not have.
        memory.allocate()?;
        let mut gates = Gates { memory, tensor, values: vec![0.0; n_tokens * n_gates], n_tokens };
        gates.write(|_, _| 0.0);
        Some(gates)
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
        unsafe { self.memory.set(self.tensor, &self.values) };
    }
}

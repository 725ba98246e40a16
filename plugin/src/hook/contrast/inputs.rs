//! What one graph's rows are set off against, in host memory of its own, as the gate table is: the scheduler copies it to the
//! devices that read it, at every evaluation.

use std::{ffi::c_void, sync::Arc};

use evenkeel_core::lower::{Leaf, Patch, PerRow};
use evenkeel_ffi::generated::types::*;

use super::super::library::Host;
use crate::state::{Against, Counterpart};

/// One tensor: F32 `[width, rows]`, or I32.
struct Input {
    /// Its place in the patch's leafs.
    at: usize,
    what: PerRow,
    tensor: *mut ggml_tensor,
    values: Vec<f32>,
    width: usize,
}

/// The inputs of one patch.
pub struct Inputs {
    host: Arc<Host>,
    ctx: *mut ggml_context,
    buffer: ggml_backend_buffer_t,
    inputs: Vec<Input>,
}

// SAFETY: ggml's contexts and buffers have no thread affinity, and the tensors are only touched under the state's lock.
unsafe impl Send for Inputs {}

impl Drop for Inputs {
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

impl Inputs {
    /// Makes those that the patch has, and no row is set off; the number of bytes if there is no memory for them.
    pub fn new(host: &Arc<Host>, patch: &Patch) -> Result<Option<Inputs>, usize> {
        let wanted = |(at, leaf): (usize, &Leaf)| match *leaf {
            Leaf::PerRow { what, width, rows } => Some((at, what, width as usize, rows as usize)),
            _ => None,
        };
        let list: Vec<_> = patch.leafs.iter().enumerate().filter_map(wanted).collect();
        if list.is_empty() {
            return Ok(None);
        }
        let lib = &host.lib;
        let bytes = list.iter().map(|(_, _, width, rows)| width * rows * size_of::<f32>()).sum();
        // SAFETY: the context has room for exactly the tensors that are made.
        unsafe {
            let mem_size = (lib.ggml.ggml_tensor_overhead)() * list.len();
            let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
            let ctx = (lib.ggml.ggml_init)(params);
            if ctx.is_null() {
                return Err(bytes);
            }
            let mut made = Inputs { host: host.clone(), ctx, buffer: std::ptr::null_mut(), inputs: vec![] };
            for (at, what, width, rows) in list {
                let kind = if what == PerRow::Place { GGML_TYPE_I32 } else { GGML_TYPE_F32 };
                let tensor = (lib.ggml.ggml_new_tensor_2d)(ctx, kind, width as i64, rows as i64);
                let name = std::ffi::CString::new(what.name()).unwrap_or_default();
                (lib.ggml.ggml_set_name)(tensor, name.as_ptr());
                made.inputs.push(Input { at, what, tensor, values: vec![0.0; width * rows], width });
            }
            let cpu = (lib.backend.ggml_backend_cpu_buffer_type)();
            made.buffer = (lib.backend.ggml_backend_alloc_ctx_tensors_from_buft)(ctx, cpu);
            if made.buffer.is_null() {
                return Err(bytes);
            }
            made.write(&[]);
            Ok(Some(made))
        }
    }

    /// The tensors, each with its place in the patch's leafs.
    pub fn tensors(&self) -> impl Iterator<Item = (usize, *mut ggml_tensor)> {
        self.inputs.iter().map(|input| (input.at, input.tensor))
    }

    /// Fills them for the rows of the evaluation that follows; rows that `rows` does not have are left alone.
    pub fn write(&mut self, rows: &[Option<Against>]) {
        for input in &mut self.inputs {
            for (i, values) in input.values.chunks_exact_mut(input.width.max(1)).enumerate() {
                match (rows.get(i).and_then(Option::as_ref), input.what) {
                    (Some(Against { other: Counterpart::Minus(logits), .. }), PerRow::MinusWithout)
                        if logits.len() == values.len() =>
                    {
                        values.copy_from_slice(logits);
                    }
                    (_, PerRow::MinusWithout) => values.fill(0.0),
                    // The same four bytes as a number.
                    (Some(Against { other: Counterpart::Beside(row), .. }), PerRow::Place) => {
                        values.fill(f32::from_bits(*row));
                    }
                    (_, PerRow::Place) => values.fill(f32::from_bits(0)),
                    (against, PerRow::Coefficient) => values.fill(against.map_or(0.0, |a| a.alpha)),
                    // Without a bound every token is near enough.
                    (against, PerRow::Reach) => values.fill(against.and_then(|a| a.reach).unwrap_or(f32::MAX)),
                }
            }
            // SAFETY: the tensor is allocated and holds exactly the values, of four bytes each.
            unsafe {
                (self.host.lib.backend.ggml_backend_tensor_set)(
                    input.tensor,
                    input.values.as_ptr().cast::<c_void>(),
                    0,
                    size_of_val(&*input.values),
                );
            }
        }
    }
}

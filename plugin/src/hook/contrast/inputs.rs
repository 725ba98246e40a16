//! What one graph's rows are set off against, in host memory of its own, as the gate table is: the scheduler copies it to the
//! devices that read it, at every evaluation.

use std::sync::Arc;

use evenkeel_core::lower::{Leaf, Patch, PerRow};
use evenkeel_ffi::generated::types::*;

use super::super::{library::Host, owned::Owned};
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
    memory: Owned,
    inputs: Vec<Input>,
}

// SAFETY: the tensors have no thread affinity, and are only touched under the state's lock.
unsafe impl Send for Inputs {}

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
        let g = &host.lib.ggml;
        let bytes: usize = list.iter().map(|(_, _, width, rows)| width * rows * size_of::<f32>()).sum();
        let mut memory = Owned::new(host, list.len()).ok_or(bytes)?;
        let make = |(at, what, width, rows): (usize, PerRow, usize, usize)| {
            let kind = if what == PerRow::Place { GGML_TYPE_I32 } else { GGML_TYPE_F32 };
            let name = std::ffi::CString::new(what.name()).unwrap_or_default();
            // SAFETY: the context has room for exactly the tensors that are made.
            let tensor = unsafe {
                let tensor = (g.ggml_new_tensor_2d)(memory.ctx, kind, width as i64, rows as i64);
                (g.ggml_set_name)(tensor, name.as_ptr());
                tensor
            };
            Input { at, what, tensor, values: vec![0.0; width * rows], width }
        };
        let inputs = list.into_iter().map(make).collect();
        memory.allocate().ok_or(bytes)?;
        let mut made = Inputs { memory, inputs };
        made.write(&[]);
        Ok(Some(made))
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
            unsafe { self.memory.set(input.tensor, &input.values) };
        }
    }
}

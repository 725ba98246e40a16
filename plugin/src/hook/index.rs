//! Row numbers that one graph's operations read: written when the graph is edited, the same for its whole life.
//!
//! They lie in host memory of their own, as the gate table does: the scheduler copies them to the devices that read them.

use std::{ffi::CString, sync::Arc};

use evenkeel_core::lower::{Leaf, Patch};
use evenkeel_ffi::generated::types::*;

use super::{library::Host, owned::Owned};

/// The index tensors of one patch, I32 `[n, rows]` each.
pub struct Indices {
    _memory: Owned,
    /// With their places in the patch's leafs.
    pub tensors: Vec<(usize, *mut ggml_tensor)>,
}

// SAFETY: the tensors have no thread affinity, and are only touched under the state's lock.
unsafe impl Send for Indices {}

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
        let g = &host.lib.ggml;
        let bytes: usize = list.iter().map(|(_, _, data, rows)| size_of_val(&***data) * rows).sum();
        let mut memory = Owned::new(host, list.len()).ok_or(bytes)?;
        let mut tensors = vec![];
        // SAFETY: the context has room for exactly the tensors that are made; each is written with its own size.
        unsafe {
            for (at, name, data, rows) in &list {
                let t = (g.ggml_new_tensor_2d)(memory.ctx, GGML_TYPE_I32, data.len() as i64, *rows as i64);
                let name = CString::new(name.as_str()).unwrap_or_default();
                (g.ggml_set_name)(t, name.as_ptr());
                (g.ggml_set_input)(t);
                tensors.push((*at, t));
            }
            memory.allocate().ok_or(bytes)?;
            for ((_, _, data, rows), (_, t)) in list.iter().zip(&tensors) {
                memory.set(*t, &data.repeat(*rows));
            }
        }
        Ok(Some(Indices { _memory: memory, tensors }))
    }
}

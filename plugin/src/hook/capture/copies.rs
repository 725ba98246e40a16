//! Copies of the residual stream in one graph: a node behind each layer, which keeps the rows with output until all of the graph
//! is evaluated.

use std::sync::Arc;

use evenkeel_core::lower::residuals;
use evenkeel_ffi::generated::types::*;

use super::super::{
    capacity,
    edit::Editor,
    library::Host,
    view::{self, holds},
};

/// The copies in one graph, until the host builds the next one at its address, or frees its scheduler.
pub struct Copies {
    host: Arc<Host>,
    /// The metadata of the new nodes; null if there are none.
    ctx: *mut ggml_context,
    /// The scheduler that evaluates them.
    pub sched: usize,
    /// A node that was added, and its place.
    anchor: Option<(i32, *mut ggml_tensor)>,
    /// F32 `[width, rows]` by block; `None`: what the output matrix reads.
    tensors: Vec<(Option<u32>, *mut ggml_tensor)>,
}

// SAFETY: the metadata has no thread affinity, and copies are only touched under their owner's lock.
unsafe impl Send for Copies {}

impl Drop for Copies {
    fn drop(&mut self) {
        // SAFETY: made in `add`, freed once; the host has reset or freed the graph whose nodes lie here.
        unsafe { (self.host.lib.ggml.ggml_free)(self.ctx) }
    }
}

impl Copies {
    /// Adds them to a graph.
    ///
    /// # Errors
    /// Why it stays as it is.
    ///
    /// # Safety
    /// The host hands this graph over to this scheduler on this thread; the library passed the self-test.
    pub unsafe fn add(host: &Arc<Host>, sched: usize, graph: *mut ggml_cgraph) -> Result<Copies, String> {
        let lib = &host.lib;
        // SAFETY: the caller's promise; the context has room for the nodes that are made.
        unsafe {
            let mut viewed = view::read(lib, host.facts.compute_flag, graph);
            capacity::bound(&mut viewed.view, sched);
            let found = residuals(&viewed.view).map_err(|why| why.to_string())?;
            let mut copies =
                Copies { host: host.clone(), ctx: std::ptr::null_mut(), sched, anchor: None, tensors: vec![] };
            if found.is_empty() {
                return Ok(copies);
            }
            let mem_size = found.len() * (lib.ggml.ggml_tensor_overhead)();
            let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
            copies.ctx = (lib.ggml.ggml_init)(params);
            if copies.ctx.is_null() {
                return Err(format!("{mem_size} bytes for graph metadata could not be allocated"));
            }
            let mut editor = Editor::new(host, graph, copies.ctx, &viewed, vec![], &[]);
            copies.tensors = found.iter().map(|residual| (residual.layer, editor.copy(residual))).collect();
            copies.anchor = Some(editor.finish());
            Ok(copies)
        }
    }

    /// True if `graph` has these copies in it, and is not another one at the same address.
    ///
    /// # Safety
    /// `graph` is a valid graph of the same library, used by the calling thread only.
    pub unsafe fn are_in(&self, graph: *mut ggml_cgraph) -> bool {
        // SAFETY: the caller's promise.
        self.anchor.is_none_or(|anchor| unsafe { holds(&self.host.lib, graph, anchor) })
    }

    /// Waits until they are computed.
    ///
    /// # Safety
    /// The scheduler lives.
    pub unsafe fn wait(&self) {
        // SAFETY: the caller's promise.
        unsafe { (self.host.lib.sched.ggml_backend_sched_synchronize)(self.sched as _) };
    }

    /// Gives each copy to `see`: its block, its width, its rows one after the other.
    ///
    /// # Safety
    /// They were computed and waited for, and nothing was evaluated or allocated by the same scheduler since.
    pub unsafe fn read(&self, mut see: impl FnMut(Option<u32>, usize, &[f32])) {
        let mut values = vec![];
        for &(layer, t) in &self.tensors {
            // SAFETY: the caller's promise: the tensor is F32 and has its memory, as long as it has any rows.
            unsafe {
                let [width, rows, ..] = (*t).ne.map(|n| usize::try_from(n).unwrap_or(0));
                values.resize(width * rows, 0.0);
                if rows > 0 {
                    let into = values.as_mut_ptr().cast();
                    (self.host.lib.backend.ggml_backend_tensor_get)(t, into, 0, size_of_val(&*values));
                }
                see(layer, width, &values);
            }
        }
    }
}

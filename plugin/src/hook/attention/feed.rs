//! What is kept of a graph whose attention is rewritten or fed, and the writing of its inputs before each evaluation.

use std::sync::{Arc, atomic::Ordering};

use evenkeel_core::lower::{AttentionSite, TensorId};
use evenkeel_ffi::generated::types::*;

use super::{
    super::{
        library::Host,
        view::{Viewed, holds},
    },
    build::Tensor,
    inputs::Inputs,
    layer::Piece,
};
use crate::{
    log,
    state::{self, Batch, Context, lock},
};

/// The host's inputs that are read and changed.
pub struct Fed {
    positions: Tensor,
    pub mask: Tensor,
    cells: Tensor,
    first_node: Tensor,
    signature: Vec<(u64, bool)>,
    pub n_rows: usize,
}

/// The metadata of new nodes.
pub struct Nodes {
    pub host: Arc<Host>,
    pub ctx: *mut ggml_context,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // SAFETY: made by `rewrite`, freed once; the host has reset or freed the graph whose nodes lie here, or the graph
        // was never changed.
        unsafe { (self.host.lib.ggml.ggml_free)(self.ctx) }
    }
}

/// What was added to a graph.
pub struct Rewritten {
    pub inputs: Inputs,
    /// A node that was added, and its place.
    pub anchor: (i32, Tensor),
    /// Its regions, with the memory that its nodes read and write.
    pub pieces: Vec<Piece>,
    pub _nodes: Nodes,
}

/// A graph that is given what it needs of the regions of its rows.
pub struct AttentionGraph {
    host: Arc<Host>,
    /// Whose graph it is.
    pub context: Arc<Context>,
    /// The scheduler it was handed to.
    pub sched: usize,
    pub(super) fed: Fed,
    pub(super) rewritten: Option<Rewritten>,
}

// SAFETY: the tensors are the graph's, which is only touched by the thread that is about to evaluate it, under the state's
// lock.
unsafe impl Send for AttentionGraph {}

impl Fed {
    /// # Safety
    /// `viewed` is a current view of the graph in which `site` was found.
    pub unsafe fn new(viewed: &Viewed, site: &AttentionSite, batch: &Batch) -> Fed {
        let base = |id: TensorId| viewed.view.base_of_copy(id).map_or(std::ptr::null_mut(), |id| viewed.tensor(id));
        let positions = viewed.view.leaf("inp_pos").map_or(std::ptr::null_mut(), |id| viewed.tensor(id));
        Fed {
            positions,
            mask: base(site.mask),
            cells: base(site.cells),
            first_node: viewed.tensors[0],
            signature: signature(batch),
            n_rows: batch.rows.len(),
        }
    }
}

fn signature(batch: &Batch) -> Vec<(u64, bool)> {
    batch.parts.iter().map(|part| (part.evaluated.id, part.fresh)).collect()
}

impl AttentionGraph {
    pub fn new(host: &Arc<Host>, context: &Arc<Context>, fed: Fed, rewritten: Option<Rewritten>) -> AttentionGraph {
        AttentionGraph { host: host.clone(), context: context.clone(), sched: 0, fed, rewritten }
    }

    /// Whether its nodes read memory of the plug-in's.
    pub fn reads_memory(&self) -> bool {
        self.rewritten.as_ref().is_some_and(|rewritten| !rewritten.pieces.is_empty())
    }

    /// Writes the inputs for the evaluation that follows. `batch` is what its micro-batch has to do with regions.
    ///
    /// # Safety
    /// `graph` is a valid graph of the same library that the calling thread is about to evaluate, and the host has set its
    /// inputs.
    pub unsafe fn before_compute(&self, graph: *mut ggml_cgraph, batch: Option<&Batch>) {
        // SAFETY: the caller's promise.
        let current = unsafe { self.is_current(graph) };
        let written = match batch.filter(|batch| current && signature(batch) == self.fed.signature) {
            // SAFETY: the caller's promise, and the inputs are those of this graph.
            Some(batch) => unsafe { self.write(batch) },
            _ => Err("another graph is evaluated than was built for these segments"),
        };
        if let Err(why) = written {
            state::get().trouble.unread.fetch_add(1, Ordering::Relaxed);
            log::error!("context {}: segments of a micro-batch were not taken into account: {why}", self.context.id);
        }
    }

    unsafe fn is_current(&self, graph: *mut ggml_cgraph) -> bool {
        let anchor = self.rewritten.as_ref().map_or((0, self.fed.first_node), |rewritten| rewritten.anchor);
        // SAFETY: the caller's promise.
        unsafe { holds(&self.host.lib, graph, anchor) }
    }

    unsafe fn write(&self, batch: &Batch) -> Result<(), &'static str> {
        let n = self.fed.n_rows;
        if batch.rows.len() != n {
            return Err("it has other rows");
        }
        let mut natural = vec![0i32; n];
        let mut cells = vec![0i64; n];
        // SAFETY: the caller's promise; both inputs have one number for each row.
        unsafe {
            self.get(self.fed.positions, &mut natural)?;
            self.get(self.fed.cells, &mut cells)?;
        }
        if !natural.iter().eq(batch.rows.iter().map(|(pos, _)| pos)) {
            return Err("its positions are not those of the micro-batch");
        }
        for (index, part) in batch.parts.iter().enumerate() {
            let region = &part.evaluated.region;
            let mut known = lock(&part.evaluated.cells);
            // Of a fresh region all come; of one that was evaluated before, those that the host feeds again.
            known.resize(region.n_cells(), u32::MAX);
            for ((pos, of), cell) in batch.rows.iter().zip(&cells) {
                if *of == Some(index) && (region.first()..region.end()).contains(pos) {
                    known[(*pos - region.first()) as usize] = *cell as u32;
                }
            }
        }
        let positions: Vec<i32> = batch
            .rows
            .iter()
            .map(|(pos, of)| {
                let evaluated = of.map(|of| &batch.parts[of].evaluated);
                evaluated.map_or(*pos, |e| e.region.position(*pos, e.mode))
            })
            .collect();
        // SAFETY: as above.
        unsafe { self.set(self.fed.positions, &positions)? };
        self.write_masks(batch)
    }

    /// # Safety
    /// The tensor is null or an input whose elements are of type `T`.
    pub(super) unsafe fn get<T: Copy>(&self, tensor: Tensor, values: &mut [T]) -> Result<(), &'static str> {
        // SAFETY: the caller's promise; no more is read than the tensor holds.
        unsafe {
            let bytes = self.allocated(tensor, size_of_val(values))?;
            (self.host.lib.backend.ggml_backend_tensor_get)(tensor, values.as_mut_ptr().cast(), 0, bytes);
        }
        Ok(())
    }

    /// # Safety
    /// As [`Self::get`].
    pub(super) unsafe fn set<T: Copy>(&self, tensor: Tensor, values: &[T]) -> Result<(), &'static str> {
        // SAFETY: as above.
        unsafe {
            let bytes = self.allocated(tensor, size_of_val(values))?;
            (self.host.lib.backend.ggml_backend_tensor_set)(tensor, values.as_ptr().cast(), 0, bytes);
        }
        Ok(())
    }

    unsafe fn allocated(&self, tensor: Tensor, bytes: usize) -> Result<usize, &'static str> {
        // SAFETY: the caller's promise.
        unsafe {
            if tensor.is_null() || (*tensor).data.is_null() || (self.host.lib.ggml.ggml_nbytes)(tensor) < bytes {
                return Err("an input of its is not where it should be");
            }
        }
        Ok(bytes)
    }
}

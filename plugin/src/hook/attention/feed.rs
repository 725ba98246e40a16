//! What is kept of a graph whose attention is rewritten or fed, and the writing of its inputs before each evaluation.

use std::sync::{Arc, atomic::Ordering};

use evenkeel_core::{
    invariance::{Mode, Tables, mask_row},
    lower::{AttentionSite, TensorId},
};
use evenkeel_ffi::generated::types::*;

use super::{
    super::{
        library::Host,
        view::{Viewed, holds},
    },
    build::Tensor,
    emit::At,
    inputs::Inputs,
    kept::Kept,
};
use crate::{
    log,
    state::{self, Batch, Context, lock},
};

/// Bits of −∞ in F16, which drops a cell; every other value of a mask without a bias keeps one.
const DROPPED: u16 = 0xFC00;

/// The host's inputs that are read and changed.
pub struct Fed {
    positions: Tensor,
    mask: Tensor,
    cells: Tensor,
    first_node: Tensor,
    signature: Vec<(u64, bool)>,
    n_rows: usize,
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
    /// Memory that its nodes read and write.
    pub kept: Vec<Arc<Kept>>,
    pub _nodes: Nodes,
}

/// A graph that is given what it needs of the regions of its rows.
pub struct AttentionGraph {
    host: Arc<Host>,
    /// Whose graph it is.
    pub context: Arc<Context>,
    /// The scheduler it was handed to.
    pub sched: usize,
    fed: Fed,
    rewritten: Option<Rewritten>,
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
        self.rewritten.as_ref().is_some_and(|rewritten| !rewritten.kept.is_empty())
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

    fn write_masks(&self, batch: &Batch) -> Result<(), &'static str> {
        // SAFETY: an input of the graph, allocated by now, as before every evaluation.
        let (n_kv, rows) = unsafe { ((*self.fed.mask).ne[0] as usize, (*self.fed.mask).ne[1] as usize) };
        let mut mask = self.read_mask(n_kv * rows)?;
        let mut changed = false;
        for (row, (pos, of)) in batch.rows.iter().enumerate() {
            let Some(evaluated) = of.map(|of| &batch.parts[of].evaluated).filter(|e| e.mode == Mode::Set) else {
                continue;
            };
            for (key, cell) in (evaluated.region.first()..).zip(lock(&evaluated.cells).iter()) {
                let Some(value) = mask.get_mut(row * n_kv + *cell as usize).filter(|_| (*cell as usize) < n_kv) else {
                    continue;
                };
                // What the host lets it see, it sees, but for what the region hides.
                if key <= *pos && !evaluated.region.sees(*pos, key, Mode::Set) {
                    *value = f32::NEG_INFINITY;
                    changed = true;
                }
            }
        }
        if changed {
            self.write_mask(&mask)?;
        }
        let Some(rewritten) = &self.rewritten else { return Ok(()) };
        let parts: Vec<_> = batch.parts().collect();
        let slots: usize = parts.iter().map(|(_, _, part)| part.n_slots()).sum();
        let (width, n) = (n_kv + slots, self.fed.n_rows);
        let mut whole = vec![f32::NEG_INFINITY; width * n];
        for (row, (_, of)) in batch.rows.iter().enumerate() {
            let evaluated = of.map(|of| &batch.parts[of].evaluated).filter(|e| e.mode == Mode::Pine);
            let cells = evaluated.map(|e| lock(&e.cells).clone()).unwrap_or_default();
            mask_row(&mask[row * n_kv..][..n_kv], &cells, &mut whole[row * width..][..n_kv]);
        }
        let mut first = n_kv;
        for (number, (index, batch_part, part)) in parts.into_iter().enumerate() {
            let tables = Tables::new(&batch_part.evaluated.region, &batch.seen(index), part)
                .map_err(|_| "a token of a segment is missing")?;
            for (row, seen) in tables.mask.chunks_exact(part.n_slots()).enumerate() {
                whole[row * width + first..][..part.n_slots()].copy_from_slice(seen);
            }
            first += part.n_slots();
            let write = |which, values: &[f32]| rewritten.inputs.write(At::input(number, which), values);
            write(At::COUNTS, &tables.counts);
            write(At::MEMBER, &tables.member);
            write(At::SIGN, &tables.sign);
            write(At::WEIGHT, &tables.weight);
            write(At::BEFORE, &tables.before);
            if part.fresh {
                write(At::POOL, &tables.pool);
                write(At::OWN, &tables.own);
                rewritten.inputs.write(At::input(number, At::ROWS), &tables.rows);
                // The same for every head.
                let groups = rewritten.inputs.tensors()[At::input(number, At::GROUPS)];
                // SAFETY: the plug-in's own tensor, `[n_rows, n_head]`.
                let heads = unsafe { (*groups).ne[1] as usize };
                rewritten.inputs.write(At::input(number, At::GROUPS), &tables.groups.repeat(heads));
            }
        }
        rewritten.inputs.write(0, &whole);
        Ok(())
    }

    /// Whether a host's mask is of F16; it is of F32 otherwise.
    fn halves(&self) -> bool {
        // SAFETY: an input of the graph.
        unsafe { (*self.fed.mask).type_ == GGML_TYPE_F16 }
    }

    fn read_mask(&self, n: usize) -> Result<Vec<f32>, &'static str> {
        // SAFETY: the mask has n elements of the type that is read.
        unsafe {
            if self.halves() {
                let mut bits = vec![0u16; n];
                self.get(self.fed.mask, &mut bits)?;
                Ok(bits.into_iter().map(|b| if b == DROPPED { f32::NEG_INFINITY } else { 0.0 }).collect())
            } else {
                let mut values = vec![0f32; n];
                self.get(self.fed.mask, &mut values)?;
                Ok(values)
            }
        }
    }

    fn write_mask(&self, mask: &[f32]) -> Result<(), &'static str> {
        // SAFETY: as in `read_mask`.
        unsafe {
            if self.halves() {
                let bits: Vec<u16> = mask.iter().map(|v| if *v < 0.0 { DROPPED } else { 0 }).collect();
                self.set(self.fed.mask, &bits)
            } else {
                self.set(self.fed.mask, mask)
            }
        }
    }

    /// # Safety
    /// The tensor is null or an input whose elements are of type `T`.
    unsafe fn get<T: Copy>(&self, tensor: Tensor, values: &mut [T]) -> Result<(), &'static str> {
        // SAFETY: the caller's promise; no more is read than the tensor holds.
        unsafe {
            let bytes = self.allocated(tensor, size_of_val(values))?;
            (self.host.lib.backend.ggml_backend_tensor_get)(tensor, values.as_mut_ptr().cast(), 0, bytes);
        }
        Ok(())
    }

    /// # Safety
    /// As [`Self::get`].
    unsafe fn set<T: Copy>(&self, tensor: Tensor, values: &[T]) -> Result<(), &'static str> {
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

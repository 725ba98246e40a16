//! The graph of the second context, kept from being evaluated by itself: it is evaluated with the first one's, as one graph.
//!
//! llama.cpp builds it, writes its inputs and reads its logits as ever. Its inputs lie in memory of ours, so that they can be
//! written before the scheduler of the first context allocates the rest; what is read as its logits meanwhile is nobody's.

use std::{
    ffi::c_void,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use evenkeel_core::lower::Op;
use evenkeel_ffi::generated::types::*;

use super::super::{
    library::Host,
    view::{self, Viewed},
};

/// The graph, and all that is needed to bring it back to what llama.cpp built.
pub struct Beside {
    host: Arc<Host>,
    /// Tells it from those that were built before.
    pub number: u64,
    /// It, as it was built.
    pub viewed: Viewed,
    /// Its nodes as they were before a scheduler had them.
    built: Vec<ggml_tensor>,
    /// Its logits: F32 `[n_vocab, n_rows]`.
    pub logits: *mut ggml_tensor,
    /// What the logits really are while llama.cpp reads others.
    real: Option<ggml_tensor>,
    /// Its inputs, and what is read as its logits.
    buffer: ggml_backend_buffer_t,
    /// Where the latter lie.
    unread: *mut c_void,
}

// SAFETY: the tensors have no thread affinity, and are only touched by the thread that uses both contexts, under a lock.
unsafe impl Send for Beside {}

impl Drop for Beside {
    fn drop(&mut self) {
        // SAFETY: made in `new`, freed once; what reads it was waited for (see `evaluate`), and llama.cpp writes no input of a
        // graph that it is about to build anew.
        unsafe { (self.host.lib.backend.ggml_backend_buffer_free)(self.buffer) }
    }
}

/// A tensor without memory that no node computes.
unsafe fn is_input(t: *mut ggml_tensor) -> bool {
    // SAFETY: the caller's promise: a tensor of the graph at hand.
    unsafe { (*t).buffer.is_null() && (*t).data.is_null() && (*t).view_src.is_null() }
}

impl Beside {
    /// Keeps a graph that `sched` was about to allocate; `None` if it is not one whose logits are known, if the first context's
    /// scheduler has no room for both (`room` nodes and leafs), or there is no memory.
    ///
    /// # Safety
    /// The host hands this graph over for allocation, on this thread.
    pub unsafe fn new(host: &Arc<Host>, (sched, room): (usize, usize), graph: *mut ggml_cgraph) -> Option<Beside> {
        static BUILT: AtomicU64 = AtomicU64::new(1);
        let (lib, join) = (&host.lib, host.lib.join.as_ref()?);
        // SAFETY: the caller's promise; every tensor gets as much of the buffer as its type of buffer says.
        unsafe {
            let viewed = view::read(lib, host.facts.compute_flag, graph);
            let named = |(_, t): &(_, &evenkeel_core::lower::TensorView)| t.name.as_bytes() == b"result_output";
            let logits = viewed.tensor(viewed.view.nodes().rev().find(named)?.0);
            // The first context's has the same layers, a few nodes more, and a part of them is made once more for both.
            if 3 * viewed.tensors.len() > room {
                return None;
            }
            let plain = viewed.view.leafs().all(|(_, leaf)| leaf.op == Op::None);
            if !plain || (*logits).type_ != GGML_TYPE_F32 || !(*logits).view_src.is_null() {
                return None;
            }
            let leafs = viewed.tensors[viewed.view.n_nodes..].iter().copied();
            let inputs: Vec<_> = leafs.filter(|t| is_input(*t)).collect();
            let buft = (lib.backend.ggml_backend_cpu_buffer_type)();
            let align = (join.ggml_backend_buft_get_alignment)(buft).max(1);
            let size = |t: *mut ggml_tensor| (join.ggml_backend_buft_get_alloc_size)(buft, t).next_multiple_of(align);
            let bytes: usize = inputs.iter().map(|t| size(*t)).sum();
            let buffer = (join.ggml_backend_buft_alloc_buffer)(buft, bytes + size(logits) + align);
            if buffer.is_null() {
                return None;
            }
            let base = (join.ggml_backend_buffer_get_base)(buffer);
            let mut at = base.byte_add(base.align_offset(align));
            for t in &inputs {
                (join.ggml_backend_tensor_alloc)(buffer, *t, at);
                at = at.byte_add(size(*t));
            }
            // llama.cpp asks the scheduler where the logits are, to read them from there: the last device is the CPU.
            let n = (join.ggml_backend_sched_get_n_backends)(sched as _);
            let cpu = (join.ggml_backend_sched_get_backend)(sched as _, n - 1);
            (join.ggml_backend_sched_set_tensor_backend)(sched as _, logits, cpu);
            let built = viewed.tensors[..viewed.view.n_nodes].iter().map(|t| t.read()).collect();
            let number = BUILT.fetch_add(1, Ordering::Relaxed);
            Some(Beside { host: host.clone(), number, viewed, built, logits, real: None, buffer, unread: at })
        }
    }

    /// Brings the graph back to what llama.cpp built, but for its inputs, which stay where they are: a scheduler can have it.
    ///
    /// # Safety
    /// The graph is alive and not being evaluated.
    pub unsafe fn restore(&mut self) {
        for (t, built) in self.viewed.tensors.iter().zip(&self.built) {
            // SAFETY: the caller's promise.
            unsafe { t.copy_from_nonoverlapping(built, 1) };
        }
    }

    /// Lets llama.cpp read something as the logits.
    ///
    /// # Safety
    /// As [`Self::restore`].
    pub unsafe fn lend(&mut self) {
        if self.real.is_some() {
            return;
        }
        // SAFETY: the caller's promise; the place has room for the logits.
        unsafe {
            self.real = Some(self.logits.read());
            (*self.logits).view_src = std::ptr::null_mut();
            (*self.logits).buffer = self.buffer;
            (*self.logits).data = self.unread;
        }
    }

    /// The logits are what they really are again.
    ///
    /// # Safety
    /// As [`Self::restore`].
    pub unsafe fn take_back(&mut self) {
        if let Some(real) = self.real.take() {
            // SAFETY: the caller's promise.
            unsafe { self.logits.write(real) };
        }
    }

    /// Nodes that it has, and leafs.
    pub fn size(&self) -> usize {
        self.viewed.tensors.len()
    }
}

/// By node: the weights that it multiplies by, where other rows could be multiplied with them at once.
///
/// # Safety
/// `viewed` is current.
pub unsafe fn products(viewed: &Viewed) -> Vec<Option<usize>> {
    let view = &viewed.view;
    let weights = |i: usize| {
        let t = &view.tensors[i];
        let [Some(weights), Some(rows), ..] = t.src else { return None };
        let (w, x) = (view.tensor(weights), view.tensor(rows));
        let plain = t.op == Op::MulMat && t.compute && t.f32 && w.op == Op::None && !w.view;
        // SAFETY: the caller's promise.
        let whole = || unsafe { is_whole(viewed.tensor(rows)) && (*viewed.tensors[i]).view_src.is_null() };
        let fits = x.f32 && [x.ne[2], x.ne[3], t.ne[2], t.ne[3]] == [1; 4] && x.ne[1] > 0;
        (plain && fits && whole()).then(|| viewed.tensor(weights) as usize)
    };
    (0..view.n_nodes).map(weights).collect()
}

/// Whether its rows follow each other.
unsafe fn is_whole(t: *mut ggml_tensor) -> bool {
    // SAFETY: the caller's promise: a tensor of type F32.
    unsafe { (*t).nb[0] == size_of::<f32>() && (*t).nb[1] == (*t).nb[0] * (*t).ne[0] as usize }
}

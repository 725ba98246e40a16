//! From a patch to nodes of the host's graph.

use std::{ffi::CString, sync::Arc};

use evenkeel_core::lower::{Leaf, NewOp, Patch, Ref, Substitution};
use evenkeel_ffi::generated::types::*;
use rustc_hash::FxHashMap;

use super::{constant::Wanted, library::Host, view::Viewed};
use crate::{
    log,
    state::{Context, Instance, lock},
};

/// What is kept of a rewritten graph until the host builds the next one at the same address, or frees its scheduler.
pub struct RewrittenGraph {
    host: Arc<Host>,
    /// The metadata of all tensors that were added.
    ctx: *mut ggml_context,
    /// The scheduler it was last handed to.
    pub sched: usize,
    /// Whose graph it is.
    pub context: Arc<Context>,
    /// Per rule: the rows it acts on in one evaluation, summed over its sites.
    pub rows: Vec<(usize, u64)>,
    /// A node that was added, and its place: tells this graph from another one at the same address.
    anchor: (i32, *mut ggml_tensor),
    gates: *mut ggml_tensor,
    /// What is written into the gate table.
    table: Vec<f32>,
}

// SAFETY: the metadata has no thread affinity, and a graph is only touched under the state's lock.
unsafe impl Send for RewrittenGraph {}

impl Drop for RewrittenGraph {
    fn drop(&mut self) {
        // SAFETY: made in `commit`, freed once; the host has reset or freed the graph whose nodes lie here.
        unsafe { (self.host.lib.ggml.ggml_free)(self.ctx) }
    }
}

/// What can go wrong after the lowering succeeded. The graph is then still as the host built it.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// No memory for constants.
    #[error(transparent)]
    NoMemory(#[from] super::constant::NoMemory),
    /// No memory for metadata.
    #[error("{0} bytes for graph metadata could not be allocated")]
    NoContext(usize),
}

/// Whether the plan's constants get memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The graph is only measured: nothing is allocated that is not there yet.
    Measure,
    /// The graph will be evaluated, or memory is reserved for one that will.
    Allocate,
}

/// Applies `patch` to `graph`; `None` if it has no edits.
///
/// # Errors
/// [`CommitError`], before the graph was touched.
///
/// # Safety
/// `viewed` is a current view of `graph`, `patch` was lowered from it, and no other thread uses the graph.
pub unsafe fn commit(
    host: &Arc<Host>,
    graph: *mut ggml_cgraph,
    viewed: &Viewed,
    patch: &Patch,
    (context, instance): (&Arc<Context>, &Instance),
    pass: Pass,
) -> Result<Option<RewrittenGraph>, CommitError> {
    if patch.substitutions.is_empty() {
        return Ok(None);
    }
    // SAFETY: the caller's promise; the context made here has room for every tensor that the patch adds.
    unsafe {
        let lib = &host.lib;
        let scratch = patch.substitutions.len();
        let n_tensors = patch.new_nodes() + patch.new_leafs() + scratch + 8;
        let mem_size = n_tensors * (lib.ggml.ggml_tensor_overhead)();
        let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
        let leafs = constants(host, viewed, patch, instance, pass)?;
        let ctx = (lib.ggml.ggml_init)(params);
        if ctx.is_null() {
            return Err(CommitError::NoContext(mem_size));
        }
        let mut rewritten = RewrittenGraph {
            host: host.clone(),
            ctx,
            sched: 0,
            context: context.clone(),
            rows: rows(patch),
            anchor: (0, std::ptr::null_mut()),
            gates: std::ptr::null_mut(),
            table: Vec::new(),
        };
        let mut editor = Editor { host, graph, ctx, viewed, leafs, gates: FxHashMap::default(), before: Vec::new() };
        editor.add_leafs(patch);
        if let Some(gates) = patch.gates {
            rewritten.gates = editor.add_gate_table(gates.n_tokens, gates.n_gates);
            rewritten.table = vec![0.0; gates.n_tokens as usize * usize::from(gates.n_gates)];
        }
        for substitution in &patch.substitutions {
            editor.substitute(substitution);
        }
        rewritten.anchor = editor.reorder();
        Ok(Some(rewritten))
    }
}

fn rows(patch: &Patch) -> Vec<(usize, u64)> {
    let mut rows: Vec<(usize, u64)> = Vec::new();
    for s in &patch.substitutions {
        for rule in &s.rules {
            let rule = usize::from(rule.0);
            match rows.iter_mut().find(|(r, _)| *r == rule) {
                Some((_, n)) => *n += u64::from(s.n_rows),
                None => rows.push((rule, u64::from(s.n_rows))),
            }
        }
    }
    rows
}

/// The tensors of the patch's constants; null where a measured graph needs one that is not allocated.
unsafe fn constants(
    host: &Arc<Host>,
    viewed: &Viewed,
    patch: &Patch,
    instance: &Instance,
    pass: Pass,
) -> Result<Vec<*mut ggml_tensor>, CommitError> {
    let mut store = lock(&instance.constants);
    let near = |id: &Option<_>| id.map_or(std::ptr::null_mut(), |id| viewed.tensor(id));
    let wanted: Vec<Wanted> = patch
        .leafs
        .iter()
        .filter_map(|leaf| match leaf {
            Leaf::Constant { name, data, near: id } => Some(Wanted { name, data, near: near(id) }),
            _ => None,
        })
        .collect();
    if pass == Pass::Allocate {
        for (place, bytes) in store.ensure(host, &wanted)? {
            log::debug!("{:.2} MiB of vectors in {place}", bytes as f64 / f64::from(1 << 20));
        }
    }
    Ok(wanted.iter().map(|w| store.get(w.name).unwrap_or(std::ptr::null_mut())).collect())
}

/// One patch being applied.
struct Editor<'a> {
    host: &'a Host,
    graph: *mut ggml_cgraph,
    ctx: *mut ggml_context,
    viewed: &'a Viewed,
    leafs: Vec<*mut ggml_tensor>,
    /// Rows of the gate table as the substitutions read them: gate and whether it holds output rows only.
    gates: FxHashMap<(u16, bool), *mut ggml_tensor>,
    /// New nodes, each with the index of the node that it stands before.
    before: Vec<(u32, *mut ggml_tensor)>,
}

impl Editor<'_> {
    unsafe fn name(&self, t: *mut ggml_tensor, name: &str) {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: `t` is a tensor made here; set_name copies and cuts.
        unsafe { (self.host.lib.ggml.ggml_set_name)(t, name.as_ptr()) };
    }

    /// Makes the graph's leafs known to it: a leaf that it does not list is given its reader's device, without a copy.
    unsafe fn add_leafs(&mut self, patch: &Patch) {
        for (slot, leaf) in self.leafs.iter_mut().zip(&patch.leafs) {
            let Leaf::Constant { name, data, .. } = leaf else { continue };
            // SAFETY: see `commit`.
            unsafe {
                if slot.is_null() {
                    *slot = (self.host.lib.ggml.ggml_new_tensor_1d)(self.ctx, GGML_TYPE_F32, data.len() as i64);
                    let name = CString::new(name.as_str()).unwrap_or_default();
                    (self.host.lib.ggml.ggml_set_name)(*slot, name.as_ptr());
                }
                (self.host.lib.graph.ggml_build_forward_expand)(self.graph, *slot);
            }
        }
    }

    unsafe fn add_gate_table(&mut self, n_tokens: u32, n_gates: u16) -> *mut ggml_tensor {
        // SAFETY: see `commit`.
        unsafe {
            let g = &self.host.lib.ggml;
            let (n_tokens, n_gates) = (i64::from(n_tokens), i64::from(n_gates));
            let table = (g.ggml_new_tensor_3d)(self.ctx, GGML_TYPE_F32, 1, n_tokens, n_gates);
            self.name(table, "ek.gates");
            // The scheduler keeps inputs in host memory and copies them to the device at every evaluation.
            (g.ggml_set_input)(table);
            (self.host.lib.graph.ggml_build_forward_expand)(self.graph, table);
            self.leafs.push(table);
            table
        }
    }

    /// One row of the gate table, for all rows or for the output rows; made at its first use.
    unsafe fn gate(&mut self, gate: u16, output: bool, at: u32) -> *mut ggml_tensor {
        if let Some(&t) = self.gates.get(&(gate, output)) {
            return t;
        }
        // SAFETY: see `commit`; the gate table is the last of `leafs` and has a row of that number.
        unsafe {
            let g = &self.host.lib.ggml;
            let table = self.leafs[self.leafs.len() - 1];
            let t = if output {
                let all = self.gate(gate, false, at);
                let out_ids = self.viewed.view.leaf("out_ids").expect("output rows are those that out_ids selects");
                (g.ggml_get_rows)(self.ctx, all, self.viewed.tensor(out_ids))
            } else {
                let stride = (*table).nb[2];
                (g.ggml_view_2d)(self.ctx, table, 1, (*table).ne[1], (*table).nb[1], usize::from(gate) * stride)
            };
            self.name(t, &format!("ek.gate-{gate}{}", if output { ".out" } else { "" }));
            self.insert(at, t, GGML_TENSOR_FLAG_COMPUTE as i32);
            self.gates.insert((gate, output), t);
            t
        }
    }

    /// Adds a node that will stand before the node at index `at`.
    unsafe fn insert(&mut self, at: u32, t: *mut ggml_tensor, compute: i32) {
        // SAFETY: see `commit`. Without the flag the node would be skipped; where the flag does not exist, it is inert.
        unsafe {
            (*t).flags |= compute & GGML_TENSOR_FLAG_COMPUTE as i32;
            (self.host.lib.graph.ggml_graph_add_node)(self.graph, t);
        }
        self.before.push((at, t));
    }

    /// Puts the substitution's nodes before its target, whose clone they read, and makes the target the last of them.
    unsafe fn substitute(&mut self, s: &Substitution) {
        let at = s.target.0;
        let target = self.viewed.tensor(s.target);
        // SAFETY: see `commit`. Existing tensors lose no reader that they count and gain none that they do not: the
        // clone takes over the target's sources.
        unsafe {
            let flags = (*target).flags;
            let clone = (self.host.lib.ggml.ggml_dup_tensor)(self.ctx, target);
            ((*clone).op, (*clone).op_params, (*clone).src) = ((*target).op, (*target).op_params, (*target).src);
            self.name(clone, &format!("ek.{}", s.name));
            self.insert(at, clone, flags);
            let mut made: Vec<*mut ggml_tensor> = Vec::with_capacity(s.nodes.len());
            for (i, node) in s.nodes.iter().enumerate() {
                let [a, b] = node.args.map(|r| match r {
                    Ref::Original => clone,
                    Ref::Leaf(i) => self.leafs[i as usize],
                    Ref::Node(i) => made[i as usize],
                    Ref::Gate(g) => self.gate(g.0, false, at),
                    Ref::OutputGate(g) => self.gate(g.0, true, at),
                });
                let g = &self.host.lib.ggml;
                let t = match node.op {
                    NewOp::Add => (g.ggml_add)(self.ctx, a, b),
                    NewOp::Mul => (g.ggml_mul)(self.ctx, a, b),
                    NewOp::Repeat => (g.ggml_repeat)(self.ctx, a, b),
                    op => unreachable!("the lowering of this version makes no {op:?}"),
                };
                made.push(t);
                if i + 1 < s.nodes.len() {
                    self.name(t, &format!("ek.{}.{i}", s.name));
                    self.insert(at, t, flags);
                } else {
                    ((*target).op, (*target).op_params, (*target).src) = ((*t).op, (*t).op_params, (*t).src);
                }
            }
        }
    }

    /// Moves the new nodes, which stand at the end, each to its place. Returns the first of them with its place.
    unsafe fn reorder(&mut self) -> (i32, *mut ggml_tensor) {
        // SAFETY: the array holds the old nodes followed by the new ones, in the order in which they were added.
        unsafe {
            let n = (self.host.lib.graph.ggml_graph_n_nodes)(self.graph) as usize;
            let n_old = self.viewed.view.n_nodes;
            assert_eq!(n, n_old + self.before.len(), "ggml_build_forward_expand on a leaf added a node");
            let nodes = std::slice::from_raw_parts_mut((self.host.lib.graph.ggml_graph_nodes)(self.graph), n);
            let old = nodes[..n_old].to_vec();
            let (mut new, mut out) = (self.before.iter().peekable(), 0);
            let (first, anchor) = self.before[0];
            for (i, t) in old.into_iter().enumerate() {
                while let Some((_, t)) = new.next_if(|(at, _)| *at as usize <= i) {
                    nodes[out] = *t;
                    out += 1;
                }
                nodes[out] = t;
                out += 1;
            }
            (first as i32, anchor)
        }
    }
}

impl RewrittenGraph {
    /// True if `graph` is this graph, and not another one that the host built at its address.
    ///
    /// # Safety
    /// `graph` is a valid graph of the same library, used by the calling thread only.
    pub unsafe fn is_current(&self, graph: *mut ggml_cgraph) -> bool {
        let (place, node) = self.anchor;
        // SAFETY: the caller's promise; the place is inside the graph.
        unsafe {
            let g = &self.host.lib.graph;
            place < (g.ggml_graph_n_nodes)(graph) && (g.ggml_graph_node)(graph, place) == node
        }
    }

    /// Writes the gate table for the evaluation that follows and counts what the rules do in it. False if `graph` is
    /// another graph by now.
    ///
    /// # Safety
    /// As [`Self::is_current`], and the calling thread is about to evaluate the graph.
    pub unsafe fn before_compute(&mut self, graph: *mut ggml_cgraph) -> bool {
        // SAFETY: the caller's promise.
        if !unsafe { self.is_current(graph) } {
            return false;
        }
        let Some(instance) = self.context.instance() else { return false };
        for &(rule, rows) in &self.rows {
            instance.counters[rule].add(rows);
        }
        // SAFETY: the table was made in `commit` and is allocated with the graph; it holds `table.len()` values.
        unsafe {
            if self.gates.is_null() || ((*self.gates).buffer.is_null() && (*self.gates).data.is_null()) {
                return true;
            }
            let n_tokens = (*self.gates).ne[1] as usize;
            for (gate, row) in self.table.chunks_exact_mut(n_tokens.max(1)).enumerate() {
                row.fill(instance.strength(gate));
            }
            let bytes = size_of_val(&*self.table);
            (self.host.lib.backend.ggml_backend_tensor_set)(self.gates, self.table.as_ptr().cast(), 0, bytes);
        }
        true
    }
}

//! A patch, committed: its memory, its nodes, and what is kept of it.

use std::{mem::ManuallyDrop, sync::Arc};

use evenkeel_core::lower::{Leaf, Patch};
use evenkeel_ffi::generated::types::*;

use super::{constant::Wanted, edit::Editor, gate::Gates, library::Host, view::Viewed};
use crate::{
    log,
    state::{Context, Instance, SiteCounter, lock},
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
    rows: Rows,
    /// The same per counter of a site.
    site_rows: Rows,
    /// A node that was added, and its place: tells this graph from another one at the same address.
    anchor: (i32, *mut ggml_tensor),
    gates: Option<Gates>,
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
    Constants(#[from] super::constant::NoMemory),
    /// No memory for the gate table.
    #[error("a gate table of {0} rows and {1} rules could not be allocated")]
    Gates(u32, u16),
    /// No memory for metadata.
    #[error("{0} bytes for graph metadata could not be allocated")]
    Metadata(usize),
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
        let gates = match patch.gates {
            Some(g) => Some(
                Gates::new(host, g.n_tokens, g.n_gates, instance).ok_or(CommitError::Gates(g.n_tokens, g.n_gates))?,
            ),
            None => None,
        };
        let (rows, site_rows) = rows(patch, instance);
        let ctx = (lib.ggml.ggml_init)(params);
        if ctx.is_null() {
            return Err(CommitError::Metadata(mem_size));
        }
        // A panic from here on leaves tensors of this context in the host's graph: it must then never be freed.
        let mut rewritten = ManuallyDrop::new(RewrittenGraph {
            host: host.clone(),
            ctx,
            sched: 0,
            context: context.clone(),
            rows,
            site_rows,
            anchor: (0, std::ptr::null_mut()),
            gates,
        });
        let mut editor = Editor::new(host, graph, ctx, viewed, leafs);
        editor.add_leafs(patch);
        if let Some(gates) = &rewritten.gates {
            editor.add_leaf(gates.tensor());
        }
        for substitution in &patch.substitutions {
            editor.substitute(substitution);
        }
        rewritten.anchor = editor.finish();
        Ok(Some(ManuallyDrop::into_inner(rewritten)))
    }
}

/// Index of a counter, and rows to count there.
type Rows = Vec<(usize, u64)>;

/// Per rule, its rows summed over its sites; and per counter of a site, its rows.
fn rows(patch: &Patch, instance: &Instance) -> (Rows, Rows) {
    let (mut rules, mut sites) = (Rows::new(), Rows::new());
    for s in &patch.substitutions {
        let n = u64::from(s.n_rows);
        for rule in s.rules.iter().map(|rule| usize::from(rule.0)) {
            match rules.iter_mut().find(|(r, _)| *r == rule) {
                Some((_, sum)) => *sum += n,
                None => rules.push((rule, n)),
            }
            let here = |c: &SiteCounter| (c.rule, c.site, c.layer) == (rule, s.site, s.layer);
            sites.extend(instance.sites.iter().position(here).map(|at| (at, n)));
        }
    }
    (rules, sites)
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
        for &(site, rows) in &self.site_rows {
            instance.sites[site].add(rows);
        }
        if let Some(gates) = &mut self.gates {
            gates.write(instance);
        }
        true
    }
}

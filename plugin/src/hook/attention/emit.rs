//! One graph with its attention rewritten: what it needs, whether there is room, and where the new nodes go.

use std::{ffi::CString, mem::ManuallyDrop, sync::Arc};

use evenkeel_core::{
    invariance::Part,
    lower::{AttentionSite, Form, TensorId},
};
use evenkeel_ffi::generated::types::*;

use super::{
    super::{fallback, library::Host, view::Viewed},
    build::{Build, Tensor},
    failure::AttentionFailure,
    feed::{AttentionGraph, Fed},
    inputs::{Inputs, Shape},
    kept::{Kept, Wanted},
    layer::{Edit, Emit, Extents, Piece},
};
use crate::state::{Batch, Context, lock};

/// Spare slots of the scheduler's hash set: it also uses them for copies between devices.
const SPARE: usize = 64;
/// Nodes of a layer, and of each of its regions, at most.
const NODES: usize = 16;
const NODES_PER_PART: usize = 48;
/// Inputs of a part.
const INPUTS: usize = 9;

/// The bit of a rotation's kind that says that each row has several positions.
const MULTIPLE: i32 = 8;

/// Where the inputs of a part lie among the graph's.
pub struct At;

impl At {
    pub const ROWS: usize = 0;
    pub const COUNTS: usize = 1;
    pub const MEMBER: usize = 2;
    pub const POOL: usize = 3;
    pub const OWN: usize = 4;
    pub const GROUPS: usize = 5;
    pub const SIGN: usize = 6;
    pub const WEIGHT: usize = 7;
    pub const BEFORE: usize = 8;

    /// The number of an input of the part: the whole mask is number 0.
    pub fn input(part: usize, which: usize) -> usize {
        1 + part * INPUTS + which
    }
}

/// Rewrites the attention of every layer. `None` if no region of the micro-batch needs nodes: the graph's own inputs are
/// then enough.
///
/// # Errors
/// [`AttentionFailure`], before the graph was touched.
///
/// # Safety
/// `viewed` is a current view of `graph`, `sites` were found in it, no other thread uses the graph.
pub unsafe fn rewrite(
    host: &Arc<Host>,
    graph: *mut ggml_cgraph,
    viewed: &Viewed,
    sites: &[AttentionSite],
    (context, batch): (&Arc<Context>, &Arc<Batch>),
) -> Result<AttentionGraph, AttentionFailure> {
    let lib = &host.lib;
    let a = lib.attention.as_ref().ok_or(AttentionFailure::Operations)?;
    let parts: Vec<_> = batch.parts().collect();
    // SAFETY: the caller's promise; the context made here has room for every node, which is checked before the last use.
    unsafe {
        let first = viewed.view.tensor(sites[0].query);
        if first.ne[2] as usize != batch.rows.len() {
            return Err(AttentionFailure::Rows { found: first.ne[2], rows: batch.rows.len() });
        }
        let fed = Fed::new(viewed, &sites[0], batch);
        if parts.is_empty() {
            return Ok(AttentionGraph::new(host, context, fed, None));
        }
        for site in sites {
            let node = viewed.tensor(match site.form {
                Form::Scores { soft_max, .. } => soft_max,
                Form::Flash => site.out,
            });
            if (*node).op_params[1] != 0 {
                return Err(AttentionFailure::Bias(site.layer));
            }
            if (*viewed.tensor(site.turned_query)).op_params[2] & MULTIPLE != 0 {
                return Err(AttentionFailure::Positions(site.layer));
            }
        }
        let extents: Vec<Extents> = sites.iter().map(|site| extents(viewed, site)).collect();
        let (n, n_kv) = (extents[0].n, extents[0].n_kv);
        let n_slots: i64 = parts.iter().map(|(_, _, part)| part.n_slots() as i64).sum();
        let mut pieces = Vec::new();
        for (_, batch_part, part) in &parts {
            let kept = if batch_part.fresh {
                let wanted: Vec<Wanted> = sites
                    .iter()
                    .zip(&extents)
                    .map(|(site, x)| Wanted {
                        near: viewed.tensor(site.cache),
                        keys: x.d * x.kv_heads,
                        values: x.values * x.kv_heads,
                    })
                    .collect();
                let kept = Kept::new(host, &wanted, part.n_slots() as i64);
                Arc::new(kept.ok_or(AttentionFailure::Memory("the keys of its segments"))?)
            } else {
                batch_part.evaluated.kept().ok_or(AttentionFailure::Gone)?
            };
            pieces.push(Piece { part: *part, kept });
        }
        let mut shapes = vec![Shape { whole: false, ne: [n_kv + n_slots, n, 1] }];
        pieces.iter().for_each(|piece| shapes.extend(input_shapes(&piece.part, n, extents[0].heads)));
        let inputs = Inputs::new(host, &shapes).ok_or(AttentionFailure::Memory("the inputs of a graph"))?;

        let room = sites.len() * (NODES + NODES_PER_PART * pieces.len()) * 2 + 8;
        let mem_size = room * (lib.ggml.ggml_tensor_overhead)();
        let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
        let ctx = (lib.ggml.ggml_init)(params);
        if ctx.is_null() {
            return Err(AttentionFailure::Memory("metadata"));
        }
        let nodes = super::feed::Nodes { host: host.clone(), ctx };
        let mut emit =
            Emit { build: Build::new(&lib.ggml, a, ctx), viewed, inputs: &inputs, pieces: &pieces, edits: vec![] };
        let mut of_layer = vec![];
        for (index, (site, x)) in sites.iter().zip(&extents).enumerate() {
            let first = emit.edits.len();
            emit.layer(index, site, x);
            let made = emit.edits[first..].iter().flat_map(|edit| &edit.nodes);
            of_layer.extend(made.map(|node| (site.layer, viewed.tensor(site.cache), *node)));
        }
        context.fallbacks_of_attention.get_or_init(|| fallback::of_attention(host, &of_layer, context));
        let edits = std::mem::take(&mut emit.edits);
        let new_nodes: usize = edits.iter().map(|edit| edit.nodes.len()).sum();
        let new_leafs = shapes.len() + 3 * sites.len() * pieces.len();
        let (has, capacity) = (viewed.view.tensors.len(), viewed.view.capacity);
        if has + new_nodes + new_leafs + SPARE > capacity {
            return Err(AttentionFailure::Capacity { nodes: has, capacity, new: new_nodes + new_leafs });
        }
        // From here on the graph has tensors of this context: a panic must not free it.
        let nodes = ManuallyDrop::new(nodes);
        let leafs = inputs.tensors().iter().copied();
        let kept = pieces.iter().flat_map(|piece| &piece.kept.layers).flat_map(|l| [l.bare, l.keys, l.values]);
        for leaf in leafs.chain(kept) {
            (lib.graph.ggml_build_forward_expand)(graph, leaf);
        }
        let anchor = apply(host, graph, viewed, edits);
        for ((_, batch_part, _), piece) in parts.iter().zip(&pieces).filter(|((_, p, _), _)| p.fresh) {
            *lock(&batch_part.evaluated.kept) = Some(piece.kept.clone());
        }
        let kept = pieces.into_iter().map(|piece| piece.kept).collect();
        let rewritten = super::feed::Rewritten { inputs, anchor, kept, _nodes: ManuallyDrop::into_inner(nodes) };
        Ok(AttentionGraph::new(host, context, fed, Some(rewritten)))
    }
}

/// # Safety
/// As [`rewrite`].
unsafe fn extents(viewed: &Viewed, site: &AttentionSite) -> Extents {
    let ne = |id: TensorId| viewed.view.tensor(id).ne;
    let (q, k) = (ne(site.query), ne(site.key));
    let values = ne(site.value).iter().product::<i64>() / (k[1] * k[2]);
    Extents { d: q[0], heads: q[1], kv_heads: k[1], values, n: q[2], n_kv: ne(site.cached_keys)[1] }
}

/// In the order of [`At`].
fn input_shapes(part: &Part, n: i64, heads: i64) -> [Shape; INPUTS] {
    let (slots, k, groups) = (part.n_slots() as i64, part.n_segments as i64, part.n_groups as i64);
    let fresh = |ne: [i64; 3]| if part.fresh { ne } else { [1, 1, 1] };
    let float = |ne| Shape { whole: false, ne };
    let whole = |ne| Shape { whole: true, ne };
    [
        whole(fresh([slots, 1, 1])),
        float([slots, n, 1]),
        float([slots, k, 1]),
        float(fresh([n, groups, 1])),
        float(fresh([k, groups, 1])),
        whole(fresh([n, heads, 1])),
        float([k, k, 1]),
        float([k, k, groups]),
        float([1, k, groups]),
    ]
}

/// Puts the new nodes to their places. Returns the first with its place.
unsafe fn apply(host: &Host, graph: *mut ggml_cgraph, viewed: &Viewed, edits: Vec<Edit>) -> (i32, Tensor) {
    let g = &host.lib.graph;
    // SAFETY: the caller's promise; the graph has room for the nodes.
    unsafe {
        let n_old = viewed.view.n_nodes;
        let mut before: Vec<(u32, Tensor)> =
            edits.iter().flat_map(|edit| edit.nodes.iter().map(|t| (edit.at, *t))).collect();
        before.sort_by_key(|(at, _)| *at);
        for (i, (_, t)) in before.iter().enumerate() {
            let name = CString::new(format!("ek.attention.{i}")).unwrap_or_default();
            (host.lib.ggml.ggml_set_name)(*t, name.as_ptr());
            (g.ggml_build_forward_expand)(graph, *t);
        }
        let n_new = (g.ggml_graph_n_nodes)(graph) as usize;
        assert_eq!(n_new, n_old + before.len(), "a leaf became a node, or a node was met before its turn");
        let mut order = Vec::with_capacity(n_new);
        let mut new = before.iter().peekable();
        let mut anchor: (i32, Tensor) = (0, std::ptr::null_mut());
        for (i, &old) in viewed.tensors[..n_old].iter().enumerate() {
            while let Some((_, t)) = new.next_if(|(at, _)| *at as usize <= i) {
                if anchor.1.is_null() {
                    anchor = (order.len() as i32, *t);
                }
                order.push(*t);
            }
            order.push(old);
        }
        std::ptr::copy_nonoverlapping(order.as_ptr(), (g.ggml_graph_nodes)(graph), order.len());
        for edit in &edits {
            if let Some(made) = edit.becomes {
                let target = edit.target;
                ((*target).op, (*target).op_params, (*target).src) = ((*made).op, (*made).op_params, (*made).src);
                ((*target).ne, (*target).nb) = ((*made).ne, (*made).nb);
            }
        }
        anchor
    }
}

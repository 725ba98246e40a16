//! One graph with its attention rewritten: what it needs, whether there is room, and where the new nodes go.

use std::{ffi::CString, mem::ManuallyDrop, sync::Arc};

use evenkeel_core::{
    invariance::{Part, chunks},
    lower::{AttentionSite, Form, TensorId},
};
use evenkeel_ffi::generated::types::*;

use super::{
    super::{fallback, library::Host, view::Viewed},
    build::{Build, Tensor},
    failure::AttentionFailure,
    feed::{AttentionGraph, Fed, Nodes, Rewritten},
    inputs::Inputs,
    kept::{Kept, Wanted},
    layer::{Edit, Emit, Extents, Piece},
    places::Places,
};
use crate::state::{Batch, BatchPart, Context, lock};

/// Spare slots of the scheduler's hash set: it also uses them for copies between devices.
const SPARE: usize = 64;
/// Bytes of scores that are made at once, where it can be chosen; more if there is no room for as many nodes.
const BUDGET: usize = 8 << 20;
/// Tensors of a layer for each region, of each piece of the scores of its rows, and of the rows behind it, at most.
const TENSORS: usize = 80;
const TENSORS_OF_PIECE: usize = 40;
const TENSORS_AFTER: usize = 80;

/// The bit of a rotation's kind that says that each row has several positions.
const MULTIPLE: i32 = 8;

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
        sites.iter().try_for_each(|site| fits(viewed, site))?;
        let extents: Vec<Extents> = sites.iter().map(|site| extents(viewed, site)).collect();
        let mut shapes = vec![];
        let mut pieces = Vec::new();
        for (_, batch_part, part) in &parts {
            let inputs = Places::new(part, &extents[0], &mut shapes);
            let kept = kept(host, viewed, (sites, &extents), batch_part, part)?;
            pieces.push(Piece { part: *part, kept, inputs });
        }
        let inputs = Inputs::new(host, &shapes).ok_or(AttentionFailure::Memory("the inputs of a graph"))?;
        let (has, capacity) = (viewed.view.tensors.len(), viewed.view.capacity);
        let new_leafs = shapes.len() + 3 * sites.len() * pieces.len();
        let mut budget = BUDGET;
        let (nodes, edits) = loop {
            let room: usize = extents.iter().flat_map(|x| pieces.iter().map(|p| tensors(&p.part, x, budget))).sum();
            let mem_size = room * (lib.ggml.ggml_tensor_overhead)();
            let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
            let ctx = (lib.ggml.ggml_init)(params);
            if ctx.is_null() {
                return Err(AttentionFailure::Memory("metadata"));
            }
            let nodes = Nodes { host: host.clone(), ctx };
            let build = Build::new(&lib.ggml, a, ctx);
            let mut emit = Emit { build, viewed, inputs: &inputs, budget, edits: vec![] };
            for (index, (site, x)) in sites.iter().zip(&extents).enumerate() {
                emit.layer(index, site, *x, &pieces);
            }
            let edits = emit.edits;
            let new_nodes: usize = edits.iter().map(|edit| edit.nodes.len()).sum();
            if has + new_nodes + new_leafs + SPARE <= capacity {
                break (nodes, edits);
            }
            // Larger pieces need fewer nodes, until each is a whole layer's.
            if budget > usize::MAX >> 8 {
                return Err(AttentionFailure::Capacity { nodes: has, capacity, new: new_nodes + new_leafs });
            }
            budget *= 4;
        };
        let of_layer: Vec<_> = sites
            .iter()
            .zip(&edits)
            .flat_map(|(site, edit)| edit.nodes.iter().map(|node| (site.layer, viewed.tensor(site.cache), *node)))
            .collect();
        context.fallbacks_of_attention.get_or_init(|| fallback::of_attention(host, &of_layer, context));
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
        let rewritten = Rewritten { inputs, anchor, pieces, _nodes: ManuallyDrop::into_inner(nodes) };
        Ok(AttentionGraph::new(host, context, fed, Some(rewritten)))
    }
}

/// Tensors of one region in one layer, at most.
fn tensors(part: &Part, x: &Extents, budget: usize) -> usize {
    let pieces = if part.fresh {
        let unit = part.longest * x.group() as usize * size_of::<f32>();
        let of = |width: usize| chunks(part.n_segments, x.kv_heads as usize, budget / (unit * width)).len();
        of(part.n_slots()) + of(part.n_seen())
    } else {
        0
    };
    let row = (part.n_slots() + x.n_kv as usize) * x.heads as usize * size_of::<f32>();
    let after = part.n_after.div_ceil((budget / row).max(1));
    TENSORS + TENSORS_OF_PIECE * pieces + TENSORS_AFTER * after
}

/// What a region's keys and values are kept in: new if it is evaluated now.
unsafe fn kept(
    host: &Arc<Host>,
    viewed: &Viewed,
    (sites, extents): (&[AttentionSite], &[Extents]),
    batch_part: &BatchPart,
    part: &Part,
) -> Result<Arc<Kept>, AttentionFailure> {
    if !batch_part.fresh {
        return batch_part.evaluated.kept().ok_or(AttentionFailure::Gone);
    }
    let wanted: Vec<Wanted> = sites
        .iter()
        .zip(extents)
        .map(|(site, x)| Wanted {
            near: viewed.tensor(site.cache),
            keys: x.d * x.kv_heads,
            values: x.values * x.kv_heads,
        })
        .collect();
    // SAFETY: the caches of the layers are allocated.
    let kept = unsafe { Kept::new(host, &wanted, part.n_slots() as i64) };
    Ok(Arc::new(kept.ok_or(AttentionFailure::Memory("the keys of its segments"))?))
}

/// What is only seen in the host's own tensors.
///
/// # Safety
/// As [`rewrite`].
unsafe fn fits(viewed: &Viewed, site: &AttentionSite) -> Result<(), AttentionFailure> {
    let node = viewed.tensor(match site.form {
        Form::Scores { soft_max, .. } => soft_max,
        Form::Flash => site.out,
    });
    // SAFETY: the caller's promise.
    unsafe {
        if (*node).op_params[1] != 0 {
            return Err(AttentionFailure::Bias(site.layer));
        }
        if site.turned_query.is_some_and(|id| (*viewed.tensor(id)).op_params[2] & MULTIPLE != 0) {
            return Err(AttentionFailure::Positions(site.layer));
        }
    }
    Ok(())
}

/// # Safety
/// As [`rewrite`].
unsafe fn extents(viewed: &Viewed, site: &AttentionSite) -> Extents {
    let ne = |id: TensorId| viewed.view.tensor(id).ne;
    let (q, k) = (ne(site.query), ne(site.key));
    let values = ne(site.value).iter().product::<i64>() / (k[1] * k[2]);
    Extents { d: q[0], heads: q[1], kv_heads: k[1], values, n: q[2], n_kv: ne(site.cached_keys)[1] }
}

/// Puts the new nodes to their places. Returns the first with its place.
unsafe fn apply(host: &Host, graph: *mut ggml_cgraph, viewed: &Viewed, mut edits: Vec<Edit>) -> (i32, Tensor) {
    let g = &host.lib.graph;
    // SAFETY: the caller's promise; the graph has room for the nodes.
    unsafe {
        let n_old = viewed.view.n_nodes;
        edits.sort_by_key(|edit| edit.behind);
        let made: usize = edits.iter().map(|edit| edit.nodes.len()).sum();
        for (i, t) in edits.iter().flat_map(|edit| &edit.nodes).enumerate() {
            let name = CString::new(format!("ek.attention.{i}")).unwrap_or_default();
            (host.lib.ggml.ggml_set_name)(*t, name.as_ptr());
            (g.ggml_build_forward_expand)(graph, *t);
        }
        let n_new = (g.ggml_graph_n_nodes)(graph) as usize;
        assert_eq!(n_new, n_old + made, "a leaf became a node, or a node was met before its turn");
        let mut order = Vec::with_capacity(n_new);
        let mut edits = edits.iter().peekable();
        let mut anchor: (i32, Tensor) = (0, std::ptr::null_mut());
        for (i, &old) in viewed.tensors[..n_old].iter().enumerate() {
            order.push(old);
            while let Some(edit) = edits.next_if(|edit| edit.behind as usize == i) {
                if let (true, Some(first)) = (anchor.1.is_null(), edit.nodes.first()) {
                    anchor = (order.len() as i32, *first);
                }
                order.extend(&edit.nodes);
            }
        }
        std::ptr::copy_nonoverlapping(order.as_ptr(), (g.ggml_graph_nodes)(graph), order.len());
        anchor
    }
}

//! The nodes of one graph.

use std::{ffi::CString, mem::ManuallyDrop, sync::Arc};

use evenkeel_core::{
    invariance::Part,
    lower::{AttentionSite, Form, TensorId},
};
use evenkeel_ffi::generated::types::*;

use super::{
    super::{fallback, library::Host, view::Viewed},
    build::{Build, Tensor},
    feed::{AttentionGraph, Fed},
    inputs::{Inputs, Shape},
    kept::{Kept, Wanted},
};
use crate::state::{Batch, Context, lock};

/// Why a graph's attention could not be rewritten. The graph is then as the host built it.
#[derive(Debug, thiserror::Error)]
pub enum AttentionFailure {
    /// This ggml lacks an operation.
    #[error("this ggml lacks operations that it is built of")]
    Operations,
    /// Scores have a bias by position.
    #[error("layer {0}: its scores have a bias by position (ALiBi)")]
    Bias(u32),
    /// Positions of several kinds.
    #[error("layer {0}: its positions have several dimensions")]
    Positions(u32),
    /// No memory.
    #[error("no memory for {0}")]
    Memory(&'static str),
    /// A graph of an unknown number of rows, or of other rows.
    #[error("the graph has {found} rows, not the micro-batch's {rows}")]
    Rows {
        /// The graph's.
        found: i64,
        /// The micro-batch's.
        rows: usize,
    },
    /// The keys of a region are not there.
    #[error("what a region's keys were kept in is gone")]
    Gone,
    /// Too large.
    #[error("the graph has {nodes} nodes of {capacity}: no room for {new} more")]
    Capacity {
        /// Nodes and leafs it has.
        nodes: usize,
        /// `ggml_graph_size`
        capacity: usize,
        /// Nodes and leafs that are needed.
        new: usize,
    },
}

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

/// One region in one graph.
struct Piece {
    part: Part,
    kept: Arc<Kept>,
}

/// Extents of one layer.
struct Extents {
    d: i64,
    heads: i64,
    kv_heads: i64,
    values: i64,
    n: i64,
    n_kv: i64,
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
            if (*viewed.tensor(site.query)).op_params[2] & MULTIPLE != 0 {
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

/// New nodes before one of the graph's, and what the graph's becomes.
struct Edit {
    at: u32,
    nodes: Vec<Tensor>,
    becomes: Option<Tensor>,
    target: Tensor,
}

struct Emit<'a> {
    build: Build<'a>,
    viewed: &'a Viewed,
    inputs: &'a Inputs,
    pieces: &'a [Piece],
    edits: Vec<Edit>,
}

impl Emit<'_> {
    fn input(&self, part: usize, which: usize) -> Tensor {
        self.inputs.tensors()[At::input(part, which)]
    }

    /// One layer. Scores over the whole cache and over each region's slots come into one softmax, so that every key counts
    /// once: the cells of a row's own region are masked in the cache.
    unsafe fn layer(&mut self, index: usize, site: &AttentionSite, x: &Extents) {
        let of = |id| self.viewed.tensor(id);
        // SAFETY: the sites' shapes were compared when they were found.
        unsafe {
            let (query, out) = (of(site.query), of(site.out));
            let (like, caps, scale, sinks) = match &site.form {
                Form::Scores { products, caps, soft_max } => {
                    let caps = caps.iter().map(|cap| of(*cap)).collect();
                    let soft_max = of(*soft_max);
                    (Some(of(*products)), caps, (*soft_max).op_params[0], (*soft_max).src[2])
                }
                Form::Flash => (None, vec![], (*out).op_params[0], (*out).src[4]),
            };
            let scale = f32::from_bits(scale as u32);
            let turned = self.build.permute(query, [0, 2, 1, 3]);
            let turned = self.build.contiguous(turned);
            let bare = self.build.permute(of(site.bare_query), [0, 2, 1, 3]);
            let mut scores = match &site.form {
                Form::Scores { soft_max, .. } => (*of(*soft_max)).src[0],
                Form::Flash => {
                    let keys = uncast(of(site.cached_keys));
                    self.build.product(keys, turned, None)
                }
            };
            let mut values = vec![];
            for part in 0..self.pieces.len() {
                let (mut own, v) = self.region((index, part), site, x, (turned, bare), (like, scale));
                for cap in &caps {
                    own = self.build.as_in(*cap, own);
                }
                scores = self.build.concat(scores, own);
                values.push(v);
            }
            let mask = self.inputs.tensors()[0];
            let soft_max = self.build.bare_soft_max(scores, mask, scale, sinks);
            let weights = match &site.form {
                Form::Scores { soft_max: id, .. } => {
                    let nodes = self.build.take();
                    self.edits.push(Edit { at: id.0, nodes, becomes: Some(soft_max), target: of(*id) });
                    of(*id)
                }
                Form::Flash => self.build.add(soft_max),
            };
            // The graph's own softmax gets these extents with the edit; views of it are made as if it had them.
            let window = |build: &mut Build<'_>, first, n| {
                let view = build.part(soft_max, first, n);
                ((*view).src[0], (*view).view_src) = (weights, weights);
                view
            };
            let main = window(&mut self.build, 0, x.n_kv);
            let cached = match &site.form {
                Form::Scores { .. } => of(site.cached_values),
                Form::Flash => {
                    let v = self.build.permute(uncast(of(site.cached_values)), [1, 0, 2, 3]);
                    self.build.contiguous(v)
                }
            };
            let mut sum = self.build.product(cached, main, None);
            let mut first = x.n_kv;
            for (piece, v) in self.pieces.iter().zip(&values) {
                let n_slots = piece.part.n_slots() as i64;
                let part = window(&mut self.build, first, n_slots);
                let product = self.build.product(*v, part, None);
                sum = self.build.sum(sum, product);
                first += n_slots;
            }
            if site.form == Form::Flash {
                let rows = self.build.permute(sum, [0, 2, 1, 3]);
                sum = self.build.contiguous(rows);
            }
            let mut nodes = self.build.take();
            // The last is not a node of its own: the graph's becomes it.
            nodes.pop();
            self.edits.push(Edit { at: site.out.0, nodes, becomes: Some(sum), target: out });
        }
    }

    /// The scores of one region, `[n_slots, n_rows, n_head]`, and its values, `[n_slots, n_embd_head, n_head_kv]`.
    unsafe fn region(
        &mut self,
        (index, part): (usize, usize),
        site: &AttentionSite,
        x: &Extents,
        (turned, bare): (Tensor, Tensor),
        (like, scale): (Option<Tensor>, f32),
    ) -> (Tensor, Tensor) {
        let piece = &self.pieces[part];
        let (shape, kept) = (piece.part, piece.kept.layers[index]);
        let (slots, k, stride, groups) =
            (shape.n_slots() as i64, shape.n_segments as i64, shape.stride as i64, shape.n_groups as i64);
        let of = |id| self.viewed.tensor(id);
        let input = |which| self.input(part, which);
        let [rows, counts, member, pool, own, row_groups, sign, weight, before] =
            [At::ROWS, At::COUNTS, At::MEMBER, At::POOL, At::OWN, At::GROUPS, At::SIGN, At::WEIGHT, At::BEFORE]
                .map(input);
        let b = &mut self.build;
        // SAFETY: as in `layer`.
        unsafe {
            let (bare_keys, keys, values) = if shape.fresh {
                let mut gather = |t: Tensor, width: i64, into: Tensor, turn: bool| {
                    let all = b.rows(t, width, x.n);
                    let mut own = b.get_rows(all, rows);
                    if turn {
                        let turned = b.permute(own, [1, 0, 2, 3]);
                        own = b.contiguous(turned);
                    }
                    b.copy(own, into)
                };
                let (wide, wide_values) = (x.d * x.kv_heads, x.values * x.kv_heads);
                (
                    gather(of(site.bare_key), wide, kept.bare, false),
                    gather(of(site.key), wide, kept.keys, false),
                    gather(of(site.value), wide_values, kept.values, true),
                )
            } else {
                (kept.bare, kept.keys, kept.values)
            };
            // How much each row attends to each segment, positions left out.
            let bare_keys = b.reshape(bare_keys, [x.d, x.kv_heads, slots, 1]);
            let bare_keys = b.permute(bare_keys, [0, 2, 1, 3]);
            let attended = b.product(bare_keys, bare, like);
            let attended = b.soft_max(attended, counts, scale);
            let mut importance = b.product(member, attended, None);
            if shape.fresh {
                let by_row = b.permute(importance, [1, 0, 2, 3]);
                let by_row = b.contiguous(by_row);
                let pooled = b.product(pool, by_row, None);
                let pooled = b.permute(pooled, [1, 0, 2, 3]);
                let pooled = b.contiguous(pooled);
                importance = b.sum(pooled, own);
            }
            // The tokens that stand between a segment and the region's end: see `Tables`.
            let nearer = b.reshape(importance, [k, 1, groups, x.heads]);
            let nearer = b.repeat(nearer, [k, k, groups, x.heads]);
            let farther = b.reshape(importance, [1, k, groups, x.heads]);
            let difference = b.subtract(nearer, farther);
            let signed = b.times(difference, sign);
            let stepped = b.step(signed);
            let weighed = b.times(stepped, weight);
            let moved = b.sum_rows(weighed);
            let shift = b.sum(moved, before);
            let mut shift = b.reshape(shift, [k, groups, x.heads, 1]);
            if shape.fresh {
                shift = b.get_rows(shift, row_groups);
            }
            let shift = b.permute(shift, [2, 0, 1, 3]);
            let shift = b.contiguous(shift);
            let shift = b.reshape(shift, [x.n * x.heads * k, 1, 1, 1]);
            let shift = b.cast(shift, GGML_TYPE_I32);
            // Each query once for each segment, turned by as much as that segment's keys should have been.
            let queries = b.repeat(turned, [x.d, x.n, x.heads, k]);
            let queries = b.reshape(queries, [x.d, 1, x.n * x.heads * k, 1]);
            let queries = b.turn(queries, shift, of(site.query));
            let queries = b.reshape(queries, [x.d, x.n, x.heads, k]);
            let keys = b.reshape(keys, [x.d, x.kv_heads, stride, k]);
            let keys = b.permute(keys, [0, 2, 1, 3]);
            let scores = b.product(keys, queries, like);
            let scores = b.permute(scores, [0, 2, 3, 1]);
            let scores = b.contiguous(scores);
            let scores = b.reshape(scores, [slots, x.n, x.heads, 1]);
            let values = b.reshape(values, [slots, x.values, x.kv_heads, 1]);
            (scores, values)
        }
    }
}

/// What a cast to F16 was made of: flash attention's builder casts an F32 cache.
unsafe fn uncast(t: Tensor) -> Tensor {
    // SAFETY: a tensor of the graph; a copy's first source is what is copied.
    unsafe {
        let source = (*t).src[0];
        let cast = (*t).type_ == GGML_TYPE_F16 && !source.is_null() && (*source).type_ == GGML_TYPE_F32;
        if cast { source } else { t }
    }
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

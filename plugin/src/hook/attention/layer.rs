//! The nodes of one layer.

use std::sync::Arc;

use evenkeel_core::{
    invariance::Part,
    lower::{AttentionSite, Form},
};
use evenkeel_ffi::generated::types::*;

use super::{
    super::view::Viewed,
    build::{Build, Tensor},
    emit::At,
    inputs::Inputs,
    kept::Kept,
};

/// One region in one graph.
pub struct Piece {
    pub part: Part,
    pub kept: Arc<Kept>,
}

/// Extents of one layer.
pub struct Extents {
    pub d: i64,
    pub heads: i64,
    pub kv_heads: i64,
    pub values: i64,
    pub n: i64,
    pub n_kv: i64,
}

/// New nodes before one of the graph's, and what the graph's becomes.
pub struct Edit {
    pub at: u32,
    pub nodes: Vec<Tensor>,
    pub becomes: Option<Tensor>,
    pub target: Tensor,
}

pub struct Emit<'a> {
    pub build: Build<'a>,
    pub viewed: &'a Viewed,
    pub inputs: &'a Inputs,
    pub pieces: &'a [Piece],
    pub edits: Vec<Edit>,
}

impl Emit<'_> {
    fn input(&self, part: usize, which: usize) -> Tensor {
        self.inputs.tensors()[At::input(part, which)]
    }

    /// One layer. Scores over the whole cache and over each region's slots come into one softmax, so that every key counts
    /// once: the cells of a row's own region are masked in the cache.
    pub unsafe fn layer(&mut self, index: usize, site: &AttentionSite, x: &Extents) {
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
            // Rotated queries may be multiplied before they are read; those without positions are multiplied here.
            let scales = site.query_scales.iter().map(|id| f32::from_bits((*of(*id)).op_params[0] as u32));
            let bare_scale = scale * scales.product::<f32>();
            let turned = self.build.permute(query, [0, 2, 1, 3]);
            let turned = self.build.contiguous(turned);
            let bare = self.build.permute(of(site.bare_query), [0, 2, 1, 3]);
            let mut scores = match &site.form {
                Form::Scores { soft_max, .. } => (*of(*soft_max)).src[0],
                Form::Flash => {
                    let keys = uncast(of(site.cached_keys));
                    let read = self.build.contiguous(of(site.read_query));
                    self.build.product(keys, read, None)
                }
            };
            let mut values = vec![];
            for part in 0..self.pieces.len() {
                let (mut own, v) = self.region((index, part), site, x, (turned, bare), (like, &caps, bare_scale));
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
                    let mut v = uncast(of(site.cached_values));
                    // Blocks of a quantised type cannot be transposed.
                    if !matches!((*v).type_, GGML_TYPE_F32 | GGML_TYPE_F16 | GGML_TYPE_BF16) {
                        v = self.build.cast(v, GGML_TYPE_F32);
                    }
                    let v = self.build.permute(v, [1, 0, 2, 3]);
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
        (like, caps, scale): (Option<Tensor>, &[Tensor], f32),
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
            let mut attended = b.product(bare_keys, bare, like);
            for cap in caps {
                attended = b.as_in(*cap, attended);
            }
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
            let queries = b.turn(queries, shift, of(site.turned_query));
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

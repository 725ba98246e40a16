//! Rows of segments: all tokens of a segment share an order of the others, their own segment nearest (the specification of
//! PINE: Wang et al., arXiv 2407.01100, section 3).
//!
//! Queries, like keys, stand in slots. Scores are made piece by piece, so that memory does not grow with the square of the
//! region: a few segments at once, or some heads of one.

use evenkeel_core::{
    invariance::{Chunk, chunks},
    lower::Form,
};
use evenkeel_ffi::generated::types::*;

use super::{
    build::Tensor,
    layer::{Emit, Extents, Layer, Piece, Slots, uncast},
    places::OwnPlaces,
};

/// Keys and values that the rows of segments look at: the segments', then those of the tokens before the region.
struct Looked {
    /// `[n_embd_k, n_seen]`
    keys: Tensor,
    /// `[n_seen, n_embd_v, n_head_kv]`
    values: Tensor,
}

impl Emit<'_> {
    /// # Safety
    /// As `layer`.
    pub unsafe fn own_rows(&mut self, layer: &Layer<'_>, piece: &Piece, places: &OwnPlaces, slots: Slots) {
        let (x, part) = (layer.x, piece.part);
        let (k, longest) = (part.n_segments, part.longest);
        let unit = |width: usize| width * longest * x.group() as usize * size_of::<f32>();
        let pieces = |width: usize| chunks(k, x.kv_heads as usize, self.budget / unit(width));
        let (ranked, looked) = (pieces(part.n_slots()), pieces(part.n_seen()));
        // SAFETY: the caller's promise.
        unsafe {
            // Without positions there is no order.
            let turn = layer
                .site
                .turned_query
                .map(|like| (self.order_of_rows(layer, piece, places, slots, &ranked), self.viewed.tensor(like)));
            let queries = self.in_slots(self.of(layer.site.query), piece, places, x);
            let seen = self.looked(layer, piece, places, slots);
            for chunk in &looked {
                self.attend(layer, piece, places, chunk, (queries, turn, &seen));
            }
        }
    }

    /// Rows of the micro-batch `[n_embd_head, n_head, n_rows]` by segment: `[n_embd_head, longest, n_segments, n_head]`.
    unsafe fn in_slots(&mut self, rows: Tensor, piece: &Piece, places: &OwnPlaces, x: Extents) -> Tensor {
        let (k, longest) = (piece.part.n_segments as i64, piece.part.longest as i64);
        let numbers = self.input(places.rows);
        let b = &mut self.build;
        // SAFETY: as in `layer`.
        unsafe {
            let all = b.rows(rows, x.d * x.heads, x.n);
            let own = b.get_rows(all, numbers);
            let own = b.reshape(own, [x.d, x.heads, longest, k]);
            let own = b.permute(own, [0, 3, 1, 2]);
            b.contiguous(own)
        }
    }

    /// The shift of every block for each segment and head: F32 `[n_segments · n_head, n_segments + n_before]`.
    unsafe fn order_of_rows(
        &mut self,
        layer: &Layer<'_>,
        piece: &Piece,
        places: &OwnPlaces,
        slots: Slots,
        ranked: &[Chunk],
    ) -> Tensor {
        let x = layer.x;
        let k = piece.part.n_segments;
        let (nearest, still) = (self.input(places.nearest), self.input(places.still));
        // SAFETY: as in `layer`.
        unsafe {
            // Of two segments, the other is the farther.
            let importance = if k > 2 {
                let bare = self.in_slots(self.of(layer.site.bare_query), piece, places, x);
                let bare = self.build.scale(bare, layer.query_scale);
                let of_others = self.importance(layer, piece, places, (bare, slots), ranked);
                self.build.sum(of_others, nearest)
            } else {
                self.build.repeat(nearest, [k as i64, k as i64, x.heads, 1])
            };
            let shift = self.shifts(piece, importance, x.heads * k as i64);
            self.build.concat(shift, still, 1)
        }
    }

    /// How much the tokens of each segment attend to each other one, positions left out: `[n_segments, n_segments, n_head]`.
    unsafe fn importance(
        &mut self,
        layer: &Layer<'_>,
        piece: &Piece,
        places: &OwnPlaces,
        (queries, slots): (Tensor, Slots),
        ranked: &[Chunk],
    ) -> Tensor {
        let x = layer.x;
        let (k, longest, n_slots) =
            (piece.part.n_segments as i64, piece.part.longest as i64, piece.part.n_slots() as i64);
        let (counts, mean, member) =
            (self.input(places.counts), self.input(places.mean), self.input(piece.inputs.member));
        let (mut of_all, mut of_segments): (Option<Tensor>, Option<Tensor>) = (None, None);
        for chunk in ranked {
            let (n, heads) = (chunk.segments.len(), chunk.heads.len() as i64 * x.group());
            let segments = n as i64;
            // SAFETY: as in `layer`.
            unsafe {
                let (keys, queries) = self.of_chunk(chunk, x, slots.bare, queries);
                let queries = self.build.contiguous(queries);
                let grouped = [x.d, longest * segments * x.group(), chunk.heads.len() as i64, 1];
                let queries = self.build.reshape(queries, grouped);
                let scores = self.build.product(keys, queries);
                let (scores, scale) = self.capped(layer, scores);
                let b = &mut self.build;
                let scores = b.reshape(scores, [n_slots, 1, longest, segments * heads]);
                let counts = b.part(counts, 3, chunk.segments.start, n);
                let attended = b.soft_max(scores, counts, scale, std::ptr::null_mut());
                let attended = b.reshape(attended, [n_slots, longest * segments * heads, 1, 1]);
                // This way round, ggml's CPU backend has a fast product for any number of segments.
                let pooled = b.product(attended, member);
                let pooled = b.reshape(pooled, [longest, segments, heads, k]);
                let mean = b.part(mean, 1, chunk.segments.start, n);
                let weighed = b.times(pooled, mean);
                let pooled = b.sum_rows(weighed);
                let pooled = b.reshape(pooled, [segments, heads, k, 1]);
                let pooled = b.permute(pooled, [1, 2, 0, 3]);
                let pooled = b.contiguous(pooled);
                of_segments = Some(match of_segments.take() {
                    Some(others) => b.concat(others, pooled, 2),
                    None => pooled,
                });
                if chunk.heads.end == x.kv_heads as usize
                    && let Some(whole) = of_segments.take()
                {
                    of_all = Some(match of_all.take() {
                        Some(others) => b.concat(others, whole, 1),
                        None => whole,
                    });
                }
            }
        }
        of_all.expect("a region has segments")
    }

    /// Of keys `[n_embd_head, n, n_head_kv, …]` and queries in slots, those of a chunk.
    unsafe fn of_chunk(&mut self, chunk: &Chunk, x: Extents, keys: Tensor, queries: Tensor) -> (Tensor, Tensor) {
        let group = x.group() as usize;
        let b = &mut self.build;
        // SAFETY: as in `layer`.
        unsafe {
            let queries = b.part(queries, 2, chunk.segments.start, chunk.segments.len());
            let queries = b.part(queries, 3, chunk.heads.start * group, chunk.heads.len() * group);
            (b.part(keys, 2, chunk.heads.start, chunk.heads.len()), queries)
        }
    }

    /// What the rows look at. The tokens before the region are read from the cache.
    unsafe fn looked(&mut self, layer: &Layer<'_>, piece: &Piece, places: &OwnPlaces, slots: Slots) -> Looked {
        let x = layer.x;
        let (cached_keys, cached_values) = (self.of(layer.site.cached_keys), self.of(layer.site.cached_values));
        let cells = self.input(places.cells_before);
        let mixed_by = layer.site.mixed_by.map(|id| self.of(id));
        let b = &mut self.build;
        let (wide, wide_values) = (x.d * x.kv_heads, x.values * x.kv_heads);
        // SAFETY: as in `layer`.
        unsafe {
            let all = b.cells(uncast(cached_keys), wide);
            let mut before = b.get_rows(all, cells);
            if let Some(matrix) = mixed_by {
                before = b.unmix(before, matrix);
            }
            let keys = b.concat(slots.keys, before, 1);
            let all = match layer.site.form {
                Form::Flash => b.cells(uncast(cached_values), wide_values),
                // Cached by channel.
                Form::Scores { .. } => {
                    let turned = b.permute(cached_values, [2, 0, 1, 3]);
                    let turned = b.contiguous(turned);
                    b.reshape(turned, [wide_values, x.n_kv, 1, 1])
                }
            };
            let before = b.get_rows(all, cells);
            let before = b.permute(before, [1, 0, 2, 3]);
            let before = b.contiguous(before);
            let values = b.concat(slots.values, before, 0);
            let values = b.reshape(values, [piece.part.n_seen() as i64, x.values, x.kv_heads, 1]);
            Looked { keys, values }
        }
    }

    /// The attention of a chunk's rows, over all slots that they look at, written behind the host's.
    unsafe fn attend(
        &mut self,
        layer: &Layer<'_>,
        piece: &Piece,
        places: &OwnPlaces,
        chunk: &Chunk,
        (queries, turn, looked): (Tensor, Option<(Tensor, Tensor)>, &Looked),
    ) {
        let x = layer.x;
        let (stride, longest, seen) = (piece.part.stride as i64, piece.part.longest as i64, piece.part.n_seen() as i64);
        let blocks = seen / stride;
        let (n, kv_heads) = (chunk.segments.len() as i64, chunk.heads.len() as i64);
        let (heads, rows) = (kv_heads * x.group(), longest * n);
        let (mask, targets) = (self.input(places.mask), self.input(places.targets));
        let first_head = chunk.heads.start * x.group() as usize;
        // SAFETY: as in `layer`.
        unsafe {
            let scores = match turn {
                Some((shift, like)) => {
                    let b = &mut self.build;
                    let keys = b.reshape(looked.keys, [x.d, x.kv_heads, stride, blocks]);
                    let keys = b.permute(keys, [0, 2, 1, 3]);
                    let (keys, queries) = self.of_chunk(chunk, x, keys, queries);
                    let b = &mut self.build;
                    // Each query once for each block, turned by as much as the block's keys should have been.
                    let shift = b.reshape(shift, [piece.part.n_segments as i64, x.heads, blocks, 1]);
                    let shift = b.part(shift, 0, chunk.segments.start, n as usize);
                    let shift = b.part(shift, 1, first_head, heads as usize);
                    let shift = b.contiguous(shift);
                    let shift = b.reshape(shift, [n * heads * blocks, 1, 1, 1]);
                    let shift = b.cast(shift, GGML_TYPE_I32);
                    let turned = b.contiguous(queries);
                    let turned = b.reshape(turned, [x.d, rows * heads, 1, 1]);
                    let turned = b.repeat(turned, [x.d, rows * heads, blocks, 1]);
                    let turned = b.reshape(turned, [x.d, longest, n * heads * blocks, 1]);
                    let turned = b.turn(turned, shift, like);
                    let turned = b.reshape(turned, [x.d, rows * x.group(), kv_heads, blocks]);
                    let scores = b.product(keys, turned);
                    let scores = b.reshape(scores, [stride, rows * heads, blocks, 1]);
                    let scores = b.permute(scores, [0, 2, 1, 3]);
                    b.contiguous(scores)
                }
                None => {
                    let keys = self.build.reshape(looked.keys, [x.d, x.kv_heads, seen, 1]);
                    let keys = self.build.permute(keys, [0, 2, 1, 3]);
                    let (keys, queries) = self.of_chunk(chunk, x, keys, queries);
                    let queries = self.build.contiguous(queries);
                    let queries = self.build.reshape(queries, [x.d, rows * x.group(), kv_heads, 1]);
                    self.build.product(keys, queries)
                }
            };
            let scores = self.build.reshape(scores, [seen, rows, heads, 1]);
            let (scores, scale) = self.capped(layer, scores);
            let b = &mut self.build;
            let first_row = chunk.segments.start * longest as usize;
            let mask = b.part(mask, 1, first_row, rows as usize);
            let sinks =
                if layer.sinks.is_null() { layer.sinks } else { b.part(layer.sinks, 0, first_head, heads as usize) };
            let weights = b.soft_max(scores, mask, scale, sinks);
            let values = b.part(looked.values, 2, chunk.heads.start, chunk.heads.len());
            let attended = b.product(values, weights);
            let targets = b.part(targets, 0, first_row, rows as usize);
            self.put(layer, attended, (first_head, heads as usize), targets);
        }
    }

    /// Overwrites rows of the host's result, in some heads. `rows` are `[n_embd_v, n, n_heads]`.
    ///
    /// # Safety
    /// As `layer`.
    pub unsafe fn put(
        &mut self,
        layer: &Layer<'_>,
        rows: Tensor,
        (first_head, heads): (usize, usize),
        targets: Tensor,
    ) {
        let x = layer.x;
        let out = self.of(layer.site.out);
        let b = &mut self.build;
        // SAFETY: as in `layer`.
        unsafe {
            match layer.site.form {
                Form::Flash => {
                    let (n, width) = ((*rows).ne[1], x.values as usize);
                    let rows = b.permute(rows, [0, 2, 1, 3]);
                    let rows = b.contiguous(rows);
                    let rows = b.reshape(rows, [x.values * heads as i64, n, 1, 1]);
                    let all = b.reshape(out, [x.values * x.heads, x.n, 1, 1]);
                    let all = b.part(all, 0, width * first_head, width * heads);
                    b.overwrite(all, rows, targets);
                }
                Form::Scores { .. } => {
                    let all = b.part(out, 2, first_head, heads);
                    b.overwrite(all, rows, targets);
                }
            }
        }
    }
}

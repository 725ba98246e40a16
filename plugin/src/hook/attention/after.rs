//! Rows behind a region: each has an order of the segments of its own in each head.
//!
//! The host's own attention leaves the region out. With the scores of all cells and slots in one softmax, a row's result is
//! the host's times what the slots leave of the weight, and the slots' own share.

use evenkeel_core::lower::Form;
use evenkeel_ffi::generated::types::*;

use super::{
    build::Tensor,
    layer::{Emit, Layer, Piece, Slots, uncast},
    places::AfterPlaces,
};

impl Emit<'_> {
    /// # Safety
    /// As `layer`.
    pub unsafe fn rows_after(&mut self, layer: &Layer<'_>, piece: &Piece, places: &AfterPlaces, slots: Slots) {
        let (x, n) = (layer.x, piece.part.n_after);
        let row = (piece.part.n_slots() as i64 + x.n_kv) * x.heads * size_of::<f32>() as i64;
        let at_once = (self.budget / row as usize).clamp(1, n);
        let site = layer.site;
        let (query, bare, out) = (self.of(site.query), self.of(site.bare_query), self.of(site.out));
        let read = self.of(site.read_query);
        let numbers = self.input(places.rows);
        let b = &mut self.build;
        let wide = x.d * x.heads;
        // SAFETY: the caller's promise.
        unsafe {
            let all = b.rows(query, wide, x.n);
            let queries = b.get_rows(all, numbers);
            let all = b.rows(bare, wide, x.n);
            let bare = b.get_rows(all, numbers);
            let bare = b.scale(bare, layer.query_scale);
            // As the cached keys are: mixed, if they are.
            let read = if site.mixed_by.is_none() {
                queries
            } else {
                let turned = b.permute(read, [0, 2, 1, 3]);
                let all = b.rows(turned, wide, x.n);
                b.get_rows(all, numbers)
            };
            let out = match site.form {
                Form::Flash => out,
                Form::Scores { .. } => b.permute(out, [0, 2, 1, 3]),
            };
            let all = b.rows(out, x.values * x.heads, x.n);
            let host = b.get_rows(all, numbers);
            for first in (0..n).step_by(at_once) {
                let n = at_once.min(n - first);
                let rows = [queries, bare, read, host].map(|t| self.build.part(t, 1, first, n));
                self.attend_after(layer, piece, places, slots, (first, n), rows);
            }
        }
    }

    unsafe fn attend_after(
        &mut self,
        layer: &Layer<'_>,
        piece: &Piece,
        places: &AfterPlaces,
        slots: Slots,
        (first, n): (usize, usize),
        [queries, bare, read, host]: [Tensor; 4],
    ) {
        let x = layer.x;
        let (k, stride, n_slots) =
            (piece.part.n_segments as i64, piece.part.stride as i64, piece.part.n_slots() as i64);
        let rows = n as i64;
        let (mask, targets) = (self.input(places.mask), self.input(places.targets));
        let cached = self.of(layer.site.cached_keys);
        // SAFETY: as in `layer`.
        unsafe {
            let own = match layer.site.turned_query {
                Some(like) => {
                    let shift = self.order_after(layer, piece, (slots, bare), rows);
                    let b = &mut self.build;
                    let shift = b.reshape(shift, [x.heads * rows * k, 1, 1, 1]);
                    let shift = b.cast(shift, GGML_TYPE_I32);
                    let turned = b.reshape(queries, [x.d, x.heads * rows, 1, 1]);
                    let turned = b.repeat(turned, [x.d, x.heads * rows, k, 1]);
                    let turned = b.reshape(turned, [x.d, 1, x.heads * rows * k, 1]);
                    let turned = b.turn(turned, shift, self.viewed.tensor(like));
                    // Heads that share keys are rows of one product.
                    let turned = b.reshape(turned, [x.d, x.group(), x.kv_heads, rows * k]);
                    let keys = b.reshape(slots.keys, [x.d, x.kv_heads, stride, k]);
                    let keys = b.permute(keys, [0, 2, 1, 3]);
                    let own = b.product(keys, turned);
                    let own = b.reshape(own, [stride, x.heads * rows, k, 1]);
                    let own = b.permute(own, [0, 2, 1, 3]);
                    b.contiguous(own)
                }
                // Without positions there is no order.
                None => {
                    let queries = self.build.reshape(queries, [x.d, x.group(), x.kv_heads, rows]);
                    self.build.product(slots.bare, queries)
                }
            };
            let b = &mut self.build;
            let own = b.reshape(own, [n_slots, 1, x.heads, rows]);
            let read = b.reshape(read, [x.d, x.group(), x.kv_heads, rows]);
            let others = b.product(uncast(cached), read);
            let others = b.reshape(others, [x.n_kv, 1, x.heads, rows]);
            let scores = b.concat(own, others, 0);
            let (scores, scale) = self.capped(layer, scores);
            let b = &mut self.build;
            let mask = b.part(mask, 3, first, n);
            let weights = b.soft_max(scores, mask, scale, layer.sinks);
            let weights = b.part(weights, 0, 0, n_slots as usize);
            let weights = b.contiguous(weights);
            let weight = b.sum_rows(weights);
            let weight = b.reshape(weight, [1, x.heads, rows, 1]);
            let values = b.reshape(slots.values, [n_slots, x.values, x.kv_heads, 1]);
            let weights = b.reshape(weights, [n_slots, x.group(), x.kv_heads, rows]);
            let own = b.product(values, weights);
            let own = b.reshape(own, [x.values, x.heads, rows, 1]);
            let host = b.reshape(host, [x.values, x.heads, rows, 1]);
            let left_out = b.times(host, weight);
            let host = b.subtract(host, left_out);
            let merged = b.sum(host, own);
            let merged = b.permute(merged, [0, 2, 1, 3]);
            let targets = b.part(targets, 0, first, n);
            self.put(layer, merged, (0, x.heads, rows), targets);
        }
    }

    /// The shift of every segment for each head and row: F32 `[n_head · n_rows, n_segments]`.
    unsafe fn order_after(
        &mut self,
        layer: &Layer<'_>,
        piece: &Piece,
        (slots, bare): (Slots, Tensor),
        rows: i64,
    ) -> Tensor {
        let x = layer.x;
        let (k, n_slots) = (piece.part.n_segments as i64, piece.part.n_slots() as i64);
        let (filled, member) = (self.input(piece.inputs.filled), self.input(piece.inputs.member));
        // SAFETY: as in `layer`.
        unsafe {
            let bare = self.build.reshape(bare, [x.d, x.group(), x.kv_heads, rows]);
            let scores = self.build.product(slots.bare, bare);
            let (scores, scale) = self.capped(layer, scores);
            let b = &mut self.build;
            let scores = b.reshape(scores, [n_slots, 1, x.heads * rows, 1]);
            let attended = b.soft_max(scores, filled, scale, std::ptr::null_mut());
            let importance = b.product(member, attended);
            let importance = b.reshape(importance, [k, x.heads * rows, 1, 1]);
            self.shifts(piece, importance, x.heads * rows)
        }
    }
}

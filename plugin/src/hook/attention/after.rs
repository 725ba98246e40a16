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
        let numbers = self.input(places.rows);
        // SAFETY: the caller's promise.
        unsafe {
            let queries = self.by_head(self.of(site.query), numbers, n as i64);
            let bare = self.by_head(self.of(site.bare_query), numbers, n as i64);
            let bare = self.build.scale(bare, layer.query_scale);
            // As the cached keys are: mixed, if they are.
            let read = if site.mixed_by.is_none() {
                queries
            } else {
                let turned = self.build.permute(self.of(site.read_query), [0, 2, 1, 3]);
                self.by_head(turned, numbers, n as i64)
            };
            let out = match site.form {
                Form::Flash => self.of(site.out),
                Form::Scores { .. } => self.build.permute(self.of(site.out), [0, 2, 1, 3]),
            };
            let host = self.by_head(out, numbers, n as i64);
            for first in (0..n).step_by(at_once) {
                let n = at_once.min(n - first);
                let rows = [queries, bare, read, host].map(|t| {
                    let some = self.build.part(t, 1, first, n);
                    self.build.contiguous(some)
                });
                self.attend_after(layer, piece, places, slots, (first, n), rows);
            }
        }
    }

    /// The rows of the region's tail of `[…, n_head, n_rows]`, as `[…, n, n_head]`.
    unsafe fn by_head(&mut self, of_all: Tensor, numbers: Tensor, n: i64) -> Tensor {
        let b = &mut self.build;
        // SAFETY: as in `layer`.
        unsafe {
            let (width, heads, n_rows) = ((*of_all).ne[0], (*of_all).ne[1], (*of_all).ne[2]);
            let all = b.rows(of_all, width * heads, n_rows);
            let rows = b.get_rows(all, numbers);
            if n == 1 {
                return b.reshape(rows, [width, 1, heads, 1]);
            }
            let rows = b.reshape(rows, [width, heads, n, 1]);
            let rows = b.permute(rows, [0, 2, 1, 3]);
            b.contiguous(rows)
        }
    }

    /// `[queries, bare, read]` are `[n_embd_head, n, n_head]`, the host's result `[n_embd_v, n, n_head]`.
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
        // Heads that share keys are rows of one product.
        let grouped = [x.d, rows * x.group(), x.kv_heads, 1];
        // SAFETY: as in `layer`.
        unsafe {
            let own = match layer.site.turned_query {
                Some(like) => {
                    let shift = self.order_after(layer, piece, (slots, bare), rows);
                    let b = &mut self.build;
                    let shift = b.reshape(shift, [rows * x.heads * k, 1, 1, 1]);
                    let shift = b.cast(shift, GGML_TYPE_I32);
                    let turned = b.reshape(queries, [x.d, rows * x.heads, 1, 1]);
                    let turned = b.repeat(turned, [x.d, rows * x.heads, k, 1]);
                    let turned = b.reshape(turned, [x.d, 1, rows * x.heads * k, 1]);
                    let turned = b.turn(turned, shift, self.viewed.tensor(like));
                    let turned = b.reshape(turned, [x.d, rows * x.group(), x.kv_heads, k]);
                    let keys = b.reshape(slots.keys, [x.d, x.kv_heads, stride, k]);
                    let keys = b.permute(keys, [0, 2, 1, 3]);
                    let own = b.product(keys, turned);
                    let own = b.reshape(own, [stride, rows * x.heads, k, 1]);
                    let own = b.permute(own, [0, 2, 1, 3]);
                    b.contiguous(own)
                }
                // Without positions there is no order.
                None => {
                    let queries = self.build.reshape(queries, grouped);
                    self.build.product(slots.bare, queries)
                }
            };
            let b = &mut self.build;
            let own = b.reshape(own, [n_slots, rows, x.heads, 1]);
            let read = b.reshape(read, grouped);
            let others = b.product(uncast(cached), read);
            let others = b.reshape(others, [x.n_kv, rows, x.heads, 1]);
            let scores = b.concat(own, others, 0);
            let (scores, scale) = self.capped(layer, scores);
            let b = &mut self.build;
            let mask = b.part(mask, 1, first, n);
            let weights = b.soft_max(scores, mask, scale, layer.sinks);
            let weights = b.part(weights, 0, 0, n_slots as usize);
            let weights = b.contiguous(weights);
            let weight = b.sum_rows(weights);
            let values = b.reshape(slots.values, [n_slots, x.values, x.kv_heads, 1]);
            let weights = b.reshape(weights, [n_slots, rows * x.group(), x.kv_heads, 1]);
            let own = b.product(values, weights);
            let own = b.reshape(own, [x.values, rows, x.heads, 1]);
            let left_out = b.times(host, weight);
            let host = b.subtract(host, left_out);
            let merged = b.sum(host, own);
            let targets = b.part(targets, 0, first, n);
            self.put(layer, merged, (0, x.heads as usize), targets);
        }
    }

    /// The shift of every segment for each head and row: F32 `[n_rows · n_head, n_segments]`.
    unsafe fn order_after(
        &mut self,
        layer: &Layer<'_>,
        piece: &Piece,
        (slots, bare): (Slots, Tensor),
        rows: i64,
    ) -> Tensor {
        let x = layer.x;
        let n_slots = piece.part.n_slots() as i64;
        let (filled, member) = (self.input(piece.inputs.filled), self.input(piece.inputs.member));
        // SAFETY: as in `layer`.
        unsafe {
            let bare = self.build.reshape(bare, [x.d, rows * x.group(), x.kv_heads, 1]);
            let scores = self.build.product(slots.bare, bare);
            let (scores, scale) = self.capped(layer, scores);
            let b = &mut self.build;
            let scores = b.reshape(scores, [n_slots, 1, x.heads * rows, 1]);
            let attended = b.soft_max(scores, filled, scale, std::ptr::null_mut());
            let attended = b.reshape(attended, [n_slots, x.heads * rows, 1, 1]);
            let importance = b.product(attended, member);
            let importance = b.permute(importance, [1, 0, 2, 3]);
            let importance = b.contiguous(importance);
            self.shifts(piece, importance, x.heads * rows)
        }
    }
}

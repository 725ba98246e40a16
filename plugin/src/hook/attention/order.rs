//! In which order a query has the segments, as shifts: the tokens that stand between a segment and the region's end.

use super::{
    build::Tensor,
    layer::{Emit, Piece},
};

impl Emit<'_> {
    /// Shifts `[n, n_segments]`, F32, from importances `[n_segments, n]`: see [`evenkeel_core::invariance::Tables`].
    ///
    /// # Safety
    /// As `layer`.
    pub unsafe fn shifts(&mut self, piece: &Piece, importance: Tensor, n: i64) -> Tensor {
        let k = piece.part.n_segments as i64;
        let [sign, weight, before] =
            [piece.inputs.sign, piece.inputs.weight, piece.inputs.before].map(|i| self.input(i));
        let b = &mut self.build;
        // SAFETY: the caller's promise.
        unsafe {
            let nearer = b.reshape(importance, [k, n, 1, 1]);
            let nearer = b.repeat(nearer, [k, n, k, 1]);
            let farther = b.reshape(importance, [k, n, 1, 1]);
            let farther = b.permute(farther, [1, 0, 2, 3]);
            let farther = b.contiguous(farther);
            let farther = b.reshape(farther, [1, n, k, 1]);
            let difference = b.subtract(nearer, farther);
            let signed = b.times(difference, sign);
            let stepped = b.step(signed);
            let weighed = b.times(stepped, weight);
            let moved = b.sum_rows(weighed);
            let shift = b.sum(moved, before);
            b.reshape(shift, [n, k, 1, 1])
        }
    }
}

//! Who sees what: the host's own mask, changed, and what the new nodes are given about each region.

use evenkeel_core::invariance::{Mode, Part, Tables};
use evenkeel_ffi::generated::types::*;

use super::{feed::AttentionGraph, inputs::Inputs, layer::Piece};
use crate::state::{Batch, BatchPart, lock};

/// Bits of −∞ in F16; 0 keeps a score.
const HALF_DROPPED: u16 = 0xFC00;

/// The host's mask, a row of `n_kv` cells for each row of the micro-batch.
struct Mask {
    n_kv: usize,
    values: Vec<f32>,
    changed: bool,
}

impl Mask {
    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.n_kv..][..self.n_kv]
    }

    fn drop(&mut self, row: usize, cell: u32) {
        if (cell as usize) < self.n_kv {
            self.values[row * self.n_kv + cell as usize] = f32::NEG_INFINITY;
            self.changed = true;
        }
    }
}

impl AttentionGraph {
    /// Writes them for the evaluation that follows.
    pub(super) fn write_masks(&self, batch: &Batch) -> Result<(), &'static str> {
        // SAFETY: an input of the graph, allocated by now, as before every evaluation.
        let (n_kv, rows) = unsafe { ((*self.fed.mask).ne[0] as usize, (*self.fed.mask).ne[1] as usize) };
        let mut mask = Mask { n_kv, values: self.read_mask(n_kv * rows)?, changed: false };
        for (row, (pos, of)) in batch.rows.iter().enumerate() {
            let Some(part) = of.map(|of| &batch.parts[of]) else { continue };
            let region = &part.evaluated.region;
            let pine = part.evaluated.mode == Mode::Pine;
            // Rows of a region that was evaluated before are only fed again: nobody looks at what becomes of them.
            if pine && !part.fresh && *pos < region.end() {
                continue;
            }
            for (key, cell) in (region.first()..).zip(lock(&part.evaluated.cells).iter()) {
                // What the host lets it see, it sees, but for what the region hides. Under PINE it looks at slots instead.
                if pine || key <= *pos && !region.sees(*pos, key, Mode::Set) {
                    mask.drop(row, *cell);
                }
            }
        }
        let Some(rewritten) = &self.rewritten else { return self.write_mask(&mask) };
        for ((index, batch_part, part), piece) in batch.parts().zip(&rewritten.pieces) {
            let tables = Tables::new(&batch_part.evaluated.region, &batch.seen(index), part)
                .map_err(|_| "a token of a segment is missing")?;
            write_part(&rewritten.inputs, piece, &tables);
            if let Some(places) = &piece.inputs.own {
                rewritten.inputs.write(places.cells_before, &cells_before(&mask, batch, (index, batch_part), part)?);
            }
            if let Some(places) = &piece.inputs.after {
                let rows = tables.after.iter().map(|row| mask.row(*row as usize));
                let whole: Vec<f32> = rows.flat_map(|row| tables.filled.iter().chain(row)).copied().collect();
                rewritten.inputs.write(places.mask, &whole);
            }
        }
        self.write_mask(&mask)
    }

    /// Whether a host's mask is of F16; it is of F32 otherwise.
    fn halves(&self) -> bool {
        // SAFETY: an input of the graph.
        unsafe { (*self.fed.mask).type_ == GGML_TYPE_F16 }
    }

    fn read_mask(&self, n: usize) -> Result<Vec<f32>, &'static str> {
        // SAFETY: the mask has n elements of the type that is read.
        unsafe {
            if self.halves() {
                let mut bits = vec![0u16; n];
                self.get(self.fed.mask, &mut bits)?;
                // Every other value of a mask without a bias keeps a cell.
                Ok(bits.into_iter().map(|b| if b == HALF_DROPPED { f32::NEG_INFINITY } else { 0.0 }).collect())
            } else {
                let mut values = vec![0f32; n];
                self.get(self.fed.mask, &mut values)?;
                Ok(values)
            }
        }
    }

    fn write_mask(&self, mask: &Mask) -> Result<(), &'static str> {
        if !mask.changed {
            return Ok(());
        }
        // SAFETY: as in `read_mask`.
        unsafe {
            if self.halves() {
                let bits: Vec<u16> = mask.values.iter().map(|v| if *v < 0.0 { HALF_DROPPED } else { 0 }).collect();
                self.set(self.fed.mask, &bits)
            } else {
                self.set(self.fed.mask, &mask.values)
            }
        }
    }
}

/// What does not depend on the host's mask.
fn write_part(inputs: &Inputs, piece: &Piece, tables: &Tables) {
    let places = &piece.inputs;
    inputs.write(places.member, &tables.member);
    inputs.write(places.filled, &tables.filled);
    inputs.write(places.sign, &tables.sign);
    inputs.write(places.weight, &tables.weight);
    inputs.write(places.before, &tables.before);
    let wide = |rows: &[i32]| rows.iter().map(|row| i64::from(*row)).collect::<Vec<_>>();
    if let (Some(places), Some(own)) = (&places.own, &tables.own) {
        inputs.write(places.rows, &own.rows);
        inputs.write(places.targets, &wide(&own.rows));
        inputs.write(places.keys, &own.keys);
        inputs.write(places.counts, &own.counts);
        inputs.write(places.mean, &own.mean);
        inputs.write(places.nearest, &own.nearest);
        inputs.write(places.mask, &own.mask);
    }
    if let Some(places) = &places.after {
        inputs.write(places.rows, &tables.after);
        inputs.write(places.targets, &wide(&tables.after));
    }
}

/// The cells of the tokens before a region, as many as its blocks have slots: those that are left over are seen by none.
///
/// They are what a row of the region still sees of the cache.
fn cells_before(
    mask: &Mask,
    batch: &Batch,
    (index, batch_part): (usize, &BatchPart),
    part: Part,
) -> Result<Vec<i32>, &'static str> {
    let region = &batch_part.evaluated.region;
    let is_own = |(pos, of): &(i32, Option<usize>)| *of == Some(index) && *pos < region.end();
    let row = batch.rows.iter().position(is_own).ok_or("a token of a segment is missing")?;
    let seen = mask.row(row).iter().enumerate().filter(|(_, v)| **v == 0.0);
    let mut cells: Vec<i32> = seen.map(|(cell, _)| cell as i32).collect();
    if cells.len() != part.n_before {
        return Err("the tokens before its segments are not all in the cache");
    }
    cells.resize(part.blocks_before() * part.stride, cells[0]);
    Ok(cells)
}

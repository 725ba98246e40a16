//! What a graph with drawn attention weights is given before each evaluation: shares of cells, or cells whose weights others
//! get.
//!
//! Where a token lies in the cache is chance, so both depend on positions: which cell has which is noted when it is written.

use std::sync::Arc;

use evenkeel_core::lower::{Leaf, Patch, TensorId};
use evenkeel_ffi::generated::types::*;

use super::super::{library::Host, owned::Owned, view::Viewed};
use crate::state::Row;

/// One table, and the host's inputs that it is made of.
struct Table {
    /// Its place in the patch's leafs.
    at: usize,
    tensor: *mut ggml_tensor,
    mask: *mut ggml_tensor,
    written: *mut ggml_tensor,
    order: bool,
    n_cells: usize,
    n_rows: usize,
}

/// The tables of one patch, in host memory of their own.
pub struct Cells {
    host: Arc<Host>,
    memory: Owned,
    tables: Vec<Table>,
}

// SAFETY: the tensors have no thread affinity, and are only touched under the state's lock.
unsafe impl Send for Cells {}

impl Cells {
    /// Makes those that the patch has; the number of bytes if there is no memory for them.
    pub fn new(host: &Arc<Host>, viewed: &Viewed, patch: &Patch) -> Result<Option<Cells>, usize> {
        let wanted = |(at, leaf): (usize, &Leaf)| match *leaf {
            Leaf::Cells { mask, written, order, n_cells, n_rows } => {
                Some((at, [mask, written], order, [n_cells as usize, n_rows as usize]))
            }
            _ => None,
        };
        let list: Vec<_> = patch.leafs.iter().enumerate().filter_map(wanted).collect();
        if list.is_empty() {
            return Ok(None);
        }
        let g = &host.lib.ggml;
        let bytes: usize = list.iter().map(|(.., [n_cells, n_rows])| n_cells * n_rows * size_of::<f32>()).sum();
        let mut memory = Owned::new(host, list.len()).ok_or(bytes)?;
        let make = |(at, inputs, order, [n_cells, n_rows]): (usize, [TensorId; 2], bool, [usize; 2])| {
            let [mask, written] = inputs.map(|id| viewed.tensor(id));
            let (kind, name) = if order { (GGML_TYPE_I32, c"ek.cells") } else { (GGML_TYPE_F32, c"ek.shares") };
            // SAFETY: the context has room for exactly the tensors that are made.
            let tensor = unsafe {
                let tensor = (g.ggml_new_tensor_2d)(memory.ctx, kind, n_cells as i64, n_rows as i64);
                (g.ggml_set_name)(tensor, name.as_ptr());
                tensor
            };
            Table { at, tensor, mask, written, order, n_cells, n_rows }
        };
        let tables = list.into_iter().map(make).collect();
        memory.allocate().ok_or(bytes)?;
        Ok(Some(Cells { host: host.clone(), memory, tables }))
    }

    /// The tensors, each with its place in the patch's leafs.
    pub fn tensors(&self) -> impl Iterator<Item = (usize, *mut ggml_tensor)> {
        self.tables.iter().map(|table| (table.at, table.tensor))
    }

    /// Fills them for the rows of the evaluation that follows. `positions`: by table, those of the cells.
    ///
    /// # Safety
    /// The host has set the inputs of the graph, which this thread is about to evaluate.
    pub unsafe fn write(&mut self, rows: &[Row], positions: &mut Vec<Vec<i32>>) {
        positions.resize_with(self.tables.len().max(positions.len()), Vec::new);
        for (table, positions) in self.tables.iter().zip(positions) {
            // SAFETY: the caller's promise; the tensors have the types and shapes that the lowering saw.
            unsafe {
                let written = self.numbers(table.written, rows.len());
                for (row, cell) in rows.iter().zip(written) {
                    let cell = usize::try_from(cell).unwrap_or(0);
                    if positions.len() <= cell {
                        positions.resize(cell + 1, -1);
                    }
                    positions[cell] = row.pos;
                }
                let mask = self.mask(table);
                let bits = draw(table, rows, &mask, positions);
                self.memory.set(table.tensor, &bits);
            }
        }
    }

    /// The first `n` numbers of an I64 or I32 input.
    unsafe fn numbers(&self, t: *mut ggml_tensor, n: usize) -> Vec<i64> {
        let get = self.host.lib.backend.ggml_backend_tensor_get;
        // SAFETY: the caller's promise; no more is read than the tensor has.
        unsafe {
            let n = n.min((*t).ne.iter().product::<i64>() as usize);
            if (*t).type_ == GGML_TYPE_I64 {
                let mut found = vec![0i64; n];
                get(t, found.as_mut_ptr().cast(), 0, size_of_val(&*found));
                return found;
            }
            let mut found = vec![0i32; n];
            get(t, found.as_mut_ptr().cast(), 0, size_of_val(&*found));
            found.into_iter().map(i64::from).collect()
        }
    }

    /// Which cells each row may attend to: where the mask is 0.
    unsafe fn mask(&self, table: &Table) -> Vec<bool> {
        let get = self.host.lib.backend.ggml_backend_tensor_get;
        // SAFETY: as above: a mask is F16 or F32, and 0 is the same in both: no bit but the sign.
        unsafe {
            let n = table.n_cells * table.n_rows;
            if (*table.mask).type_ == GGML_TYPE_F16 {
                let mut found = vec![0u16; n];
                get(table.mask, found.as_mut_ptr().cast(), 0, size_of_val(&*found));
                return found.into_iter().map(|bits| bits << 1 == 0).collect();
            }
            let mut found = vec![0u32; n];
            get(table.mask, found.as_mut_ptr().cast(), 0, size_of_val(&*found));
            found.into_iter().map(|bits| bits << 1 == 0).collect()
        }
    }
}

/// The bits of a table's values.
fn draw(table: &Table, rows: &[Row], mask: &[bool], positions: &[i32]) -> Vec<u32> {
    let position = |cell: &usize| positions.get(*cell).copied().unwrap_or(-1);
    let mut bits = vec![0u32; table.n_cells * table.n_rows];
    let masks = mask.chunks_exact(table.n_cells.max(1));
    for (i, (values, mask)) in bits.chunks_exact_mut(table.n_cells.max(1)).zip(masks).enumerate() {
        let row = rows.get(i).map_or(-1, |row| row.pos);
        let mut cells: Vec<usize> = (0..table.n_cells).filter(|cell| mask[*cell]).collect();
        if table.order {
            values.iter_mut().enumerate().for_each(|(cell, value)| *value = cell as u32);
            cells.sort_by_key(position);
            let mut from = cells.clone();
            from.sort_by_key(|cell| drawn(row, position(cell)));
            cells.iter().zip(from).for_each(|(cell, from)| values[*cell] = from as u32);
        } else {
            for cell in cells {
                // Above 0 and at most 1.
                let share = (f64::from((drawn(row, position(&cell)) >> 33) as u32) + 1.0) / f64::from(1u32 << 31);
                values[cell] = (share.ln() as f32).to_bits();
            }
        }
    }
    bits
}

/// A number that depends on two positions alone (the finisher of splitmix64).
fn drawn(row: i32, cell: i32) -> u64 {
    let mut x = (u64::from(row as u32) << 32 | u64::from(cell as u32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

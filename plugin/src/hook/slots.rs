//! Which slots of held probes the rows of one graph write and read: inputs of ours, written before every evaluation.

use std::sync::Arc;

use evenkeel_core::{
    lower::SlotTable,
    plan::{SLOT_LOST, SLOT_ONE, SLOT_ZERO},
};
use evenkeel_ffi::generated::types::*;
use rustc_hash::FxHashMap;

use super::{library::Host, owned::Owned};
use crate::state::Row;

/// The tensors of one [`SlotTable`], and what they are of.
#[derive(Clone, Copy)]
pub struct Tables {
    /// What they are.
    pub table: SlotTable,
    /// I64 `[n_rows]`, one row at least.
    pub write: *mut ggml_tensor,
    /// I32 `[n_rows, 3 + n_scans]`, one row at least.
    pub others: *mut ggml_tensor,
}

/// Both, in host memory of their own, as the gate table is.
pub struct Inputs {
    memory: Owned,
    tables: Tables,
}

// SAFETY: the tables have no thread affinity, and are only touched under the state's lock.
unsafe impl Send for Inputs {}

impl Inputs {
    /// Makes tables by which nothing is decided; None if there is no memory.
    pub fn new(host: &Arc<Host>, table: SlotTable) -> Option<Inputs> {
        let g = &host.lib.ggml;
        let mut memory = Owned::new(host, 2)?;
        let (rows, columns) = shape(&table);
        // SAFETY: the context has room for the two tensors that are made in it.
        let tables = unsafe {
            let write = (g.ggml_new_tensor_1d)(memory.ctx, GGML_TYPE_I64, rows as i64);
            let others = (g.ggml_new_tensor_2d)(memory.ctx, GGML_TYPE_I32, rows as i64, columns as i64);
            (g.ggml_set_name)(write, c"ek.slots.write".as_ptr());
            (g.ggml_set_name)(others, c"ek.slots".as_ptr());
            Tables { table, write, others }
        };
        memory.allocate()?;
        let mut inputs = Inputs { memory, tables };
        inputs.write(&[]);
        Some(inputs)
    }

    /// The tensors.
    pub fn tables(&self) -> Tables {
        self.tables
    }

    /// Fills them for these rows.
    pub fn write(&mut self, rows: &[Row]) {
        let (write, others) = numbers(&self.tables.table, &rows.iter().map(Some).collect::<Vec<_>>());
        // SAFETY: both tensors are allocated and hold exactly these numbers.
        unsafe {
            self.memory.set(self.tables.write, &write);
            self.memory.set(self.tables.others, &others);
        }
    }
}

/// Rows and columns that the tensors have: no tensor is empty.
pub fn shape(table: &SlotTable) -> (usize, usize) {
    ((table.n_rows as usize).max(1), 3 + table.n_scans as usize)
}

/// The numbers of a table for the rows of a micro-batch, `None` for one that is not known. Rows of one sequence that decide
/// follow each other.
pub fn numbers(table: &SlotTable, rows: &[Option<&Row>]) -> (Vec<i64>, Vec<i32>) {
    let (n, columns) = shape(table);
    let mut rows: Vec<Option<&Row>> =
        rows.iter().copied().filter(|row| !table.output_only || row.is_none_or(|row| row.output)).collect();
    if rows.len() != table.n_rows as usize {
        rows.clear();
    }
    let mut write = vec![i64::from(SLOT_LOST); n];
    let mut others = vec![SLOT_ZERO as i32; n * columns];
    let mut latest: FxHashMap<i32, usize> = FxHashMap::default();
    let mut back: Vec<Option<usize>> = vec![None; n];
    let (read, rest) = others.split_at_mut(n);
    let (before, rest) = rest.split_at_mut(n);
    let (follows, scans) = rest.split_at_mut(n);
    for (i, row) in rows.iter().enumerate() {
        let Some(row) = row else { continue };
        let slots = row.held;
        read[i] = slots.read.unwrap_or(SLOT_ZERO) as i32;
        let Some(slot) = slots.write else { continue };
        write[i] = i64::from(slot);
        let earlier = latest.insert(row.seq, i);
        if let Some(held) = slots.before {
            back[i] = earlier;
            (before[i], follows[i]) = match earlier {
                None => (held as i32, SLOT_ZERO as i32),
                Some(_) => (SLOT_ZERO as i32, SLOT_ONE as i32),
            };
        }
    }
    for step in scans.chunks_exact_mut(n) {
        for (i, (to, back)) in step.iter_mut().zip(&back).enumerate() {
            *to = back.unwrap_or(i) as i32;
        }
        back = back.iter().map(|b| back[(*b)?]).collect();
    }
    (write, others)
}

#[cfg(test)]
mod tests {
    use evenkeel_core::sequence::Phase;

    use super::*;
    use crate::state::RowSlots;

    fn row(seq: i32, write: Option<u32>, read: Option<u32>, before: Option<u32>) -> Row {
        let held = RowSlots { write, read, before };
        Row {
            seq,
            plan: Some(0),
            phase: Phase::Generated,
            pos: 0,
            token: 0,
            output: seq != 9,
            refused: false,
            after: 0,
            held,
        }
    }

    fn table(n_rows: u32, output_only: bool) -> SlotTable {
        SlotTable { output_only, n_rows, n_scans: SlotTable::scans(n_rows) }
    }

    #[test]
    fn rows_of_a_sequence_follow_each_other() {
        // A prompt row, three drafts of sequence 1 after slot 7, a last row of sequence 2, one of 3 that only reads.
        let rows = [
            row(9, None, None, None),
            row(1, Some(10), Some(10), Some(7)),
            row(2, Some(20), Some(20), None),
            row(1, Some(11), Some(11), Some(10)),
            row(1, Some(12), Some(12), Some(11)),
            row(3, None, Some(30), None),
        ];
        let known: Vec<Option<&Row>> = rows.iter().map(Some).collect();
        let (write, others) = numbers(&table(6, false), &known);
        assert_eq!(write, [1, 10, 20, 11, 12, 1]);
        let columns: Vec<&[i32]> = others.chunks(6).collect();
        assert_eq!(columns[0], [0, 10, 20, 11, 12, 30], "read");
        assert_eq!(columns[1], [0, 7, 0, 0, 0, 0], "before");
        assert_eq!(columns[2], [0, 0, 0, 2, 2, 0], "follows");
        assert_eq!(columns[3], [0, 1, 2, 1, 3, 5], "one back");
        assert_eq!(columns[4], [0, 1, 2, 3, 1, 5], "two back");
        assert_eq!(columns[5], [0, 1, 2, 3, 4, 5], "four back");
        let (write, others) = numbers(&table(5, true), &known);
        assert_eq!(write, [10, 20, 11, 12, 1], "the row without output is not among them");
        assert_eq!(others[..5], [10, 20, 11, 12, 30]);
    }

    #[test]
    fn rows_that_are_not_the_tables_decide_nothing() {
        let one = row(1, Some(10), Some(10), Some(7));
        for (n, rows) in [(2, vec![Some(&one)]), (1, vec![None]), (0, vec![])] {
            let (write, others) = numbers(&table(n, false), &rows);
            assert!(write.iter().all(|w| *w == 1));
            let n = (n as usize).max(1);
            assert!(others[..3 * n].iter().all(|o| *o == 0));
            assert!(others[3 * n..].chunks(n).all(|step| step.iter().enumerate().all(|(i, to)| *to == i as i32)));
        }
    }
}

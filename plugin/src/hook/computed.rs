//! A gate table that the graph computes by itself, for programs in which nothing is called between two micro-batches: an
//! operation of ours on the CPU, which reads the host's inputs to know which rows these are.

use std::{
    ffi::{c_int, c_void},
    sync::{Arc, Mutex, atomic::Ordering},
};

use evenkeel_core::{
    lower::SlotTable,
    sequence::{UNKNOWN_TOKEN, is_token},
};
use evenkeel_ffi::generated::types::*;

use super::{
    attach::Attached,
    commit::value,
    library::Host,
    slots::{self, Tables},
    view::Viewed,
};
use crate::{
    guard::guard,
    log,
    state::{self, Context, Row, RowSlots, Structure, lock},
};

/// The node, and what it computes from.
pub struct Computed {
    /// F32 `[1, n_tokens, n_gates]`
    pub tensor: *mut ggml_tensor,
    /// Tables of slots, computed from the same.
    pub slots: Vec<Tables>,
    source: Arc<Source>,
    _columns: Vec<Arc<Column>>,
}

/// One tensor of a table of slots.
struct Column {
    source: Arc<Source>,
    table: SlotTable,
    write: bool,
}

struct Source {
    /// The rows of this evaluation: found once, by the node that comes first.
    found: Mutex<Vec<Option<Row>>>,
    attached: Arc<Attached>,
    context: Arc<Context>,
    structure: Arc<Structure>,
    n_tokens: usize,
    has_tokens: bool,
}

impl Computed {
    /// Makes the node in `ctx`; `None` if this llama.cpp cannot.
    ///
    /// # Safety
    /// `ctx` has room for one tensor; `viewed` is a current view of the graph that gets the node.
    pub unsafe fn new(
        host: &Host,
        ctx: *mut ggml_context,
        viewed: &Viewed,
        (n_tokens, n_gates, tables): (u32, u16, &[SlotTable]),
        (attached, context, structure): (Arc<Attached>, &Arc<Context>, &Arc<Structure>),
    ) -> Option<Computed> {
        let functions = host.lib.sampler.as_ref()?;
        let tokens = viewed.view.leaf("inp_tokens").filter(|id| viewed.view.tensor(*id).ne[0] == i64::from(n_tokens));
        let positions = viewed.view.leaf("inp_pos");
        let mut args: Vec<*mut ggml_tensor> = tokens.iter().chain(&positions).map(|id| viewed.tensor(*id)).collect();
        let source = Arc::new(Source {
            found: Mutex::default(),
            attached,
            context: context.clone(),
            structure: structure.clone(),
            n_tokens: n_tokens as usize,
            has_tokens: tokens.is_some(),
        });
        let behind = Arc::as_ptr(&source).cast_mut().cast::<c_void>();
        // SAFETY: the caller's promise; the source lives as long as the node, and one thread runs it.
        let tensor = unsafe {
            let (n, gates) = (i64::from(n_tokens), i64::from(n_gates));
            let t = (functions.ggml_custom_4d)(
                ctx,
                GGML_TYPE_F32,
                1,
                n,
                gates,
                1,
                args.as_mut_ptr(),
                args.len() as c_int,
                Some(compute),
                1,
                behind,
            );
            (host.lib.ggml.ggml_set_name)(t, c"ek.gates".as_ptr());
            t
        };
        let (mut slots, mut columns) = (Vec::new(), Vec::new());
        for table in tables {
            let mut column = |write: bool| {
                let (rows, n) = slots::shape(table);
                let (kind, n) = if write { (GGML_TYPE_I64, 1) } else { (GGML_TYPE_I32, n) };
                let column = Arc::new(Column { source: source.clone(), table: *table, write });
                let behind = Arc::as_ptr(&column).cast_mut().cast::<c_void>();
                columns.push(column);
                // Behind the gate table, which finds the rows.
                let mut args = [tensor];
                // SAFETY: the caller's promise, which counts these nodes as leafs; the column lives as long as the node.
                unsafe {
                    let (rows, n) = (rows as i64, n as i64);
                    let t = (functions.ggml_custom_4d)(
                        ctx,
                        kind,
                        rows,
                        n,
                        1,
                        1,
                        args.as_mut_ptr(),
                        1,
                        Some(compute_slots),
                        1,
                        behind,
                    );
                    (host.lib.ggml.ggml_set_name)(t, c"ek.slots".as_ptr());
                    t
                }
            };
            slots.push(Tables { table: *table, write: column(true), others: column(false) });
        }
        Some(Computed { tensor, slots, source, _columns: columns })
    }
}

/// The rows that the table of one graph was computed for last.
#[derive(Clone)]
pub struct Found(Arc<Source>);

impl Found {
    /// `None` for a row that could not be told.
    pub fn rows(&self) -> Vec<Option<Row>> {
        lock(&self.0.found).clone()
    }
}

impl Computed {
    /// The rows of its evaluations.
    pub fn found(&self) -> Found {
        Found(self.source.clone())
    }
}

/// Called as [`compute`] is, after it.
unsafe extern "C" fn compute_slots(dst: *mut ggml_tensor, ith: c_int, _nth: c_int, behind: *mut c_void) {
    if ith != 0 {
        return;
    }
    // SAFETY: the column that the node was made with.
    let column = unsafe { &*behind.cast::<Column>() };
    let (write, others) = guard("slots", None, || Some(column.numbers())).unwrap_or_default();
    // SAFETY: the node's own memory, of its own size and type. Without numbers, all are 0: a panic of ours is the end
    // of all rules, and it does not matter what is written there.
    unsafe {
        let bytes =
            (*dst).ne.iter().product::<i64>() as usize * if column.write { size_of::<i64>() } else { size_of::<i32>() };
        std::ptr::write_bytes((*dst).data.cast::<u8>(), 0, bytes);
        match column.write {
            true => std::ptr::copy_nonoverlapping(write.as_ptr(), (*dst).data.cast::<i64>(), write.len()),
            false => std::ptr::copy_nonoverlapping(others.as_ptr(), (*dst).data.cast::<i32>(), others.len()),
        }
    }
}

impl Column {
    fn numbers(&self) -> (Vec<i64>, Vec<i32>) {
        let found = if state::poisoned() { vec![] } else { lock(&self.source.found).clone() };
        if let (true, Some(live)) = (self.write && !found.is_empty(), self.source.context.live()) {
            live.decided();
        }
        slots::numbers(&self.table, &found.iter().map(Option::as_ref).collect::<Vec<_>>())
    }
}

/// Called on a thread of the host's that evaluates the graph.
unsafe extern "C" fn compute(dst: *mut ggml_tensor, ith: c_int, _nth: c_int, behind: *mut c_void) {
    if ith != 0 {
        return;
    }
    // SAFETY: the node's own memory, of its own size; it is whole once this has run, whatever happens.
    let table = unsafe {
        let n = (*dst).ne.iter().product::<i64>() as usize;
        std::slice::from_raw_parts_mut((*dst).data.cast::<f32>(), n)
    };
    table.fill(0.0);
    if state::poisoned() {
        return;
    }
    guard("gates", (), || {
        // SAFETY: the source that the node was made with.
        let source = unsafe { &*behind.cast::<Source>() };
        // SAFETY: the host has set its inputs, and they are read where the operation runs: on the CPU.
        let (tokens, positions) = unsafe {
            let [first, second, ..] = (*dst).src;
            let (t, p) = if source.has_tokens { (first, second) } else { (std::ptr::null_mut(), first) };
            (numbers(t, source.n_tokens), numbers(p, source.n_tokens))
        };
        source.fill(table, tokens, positions);
    });
}

/// The first `n` numbers of an I32 tensor in host memory.
unsafe fn numbers<'a>(t: *mut ggml_tensor, n: usize) -> Option<&'a [i32]> {
    // SAFETY: the caller's promise.
    unsafe {
        let usable = !t.is_null() && !(*t).data.is_null() && (*t).type_ == GGML_TYPE_I32 && (*t).ne[0] as usize >= n;
        usable.then(|| std::slice::from_raw_parts((*t).data.cast::<i32>(), n))
    }
}

impl Source {
    fn fill(&self, table: &mut [f32], tokens: Option<&[i32]>, positions: Option<&[i32]>) {
        let Some(merged) = &self.structure.merged else { return };
        let rows = self.rows(tokens, positions);
        lock(&self.found).clone_from(&rows);
        for (gate, column) in table.chunks_exact_mut(self.n_tokens.max(1)).enumerate() {
            let Some(from) = merged.gates.get(gate) else { continue };
            for (v, row) in column.iter_mut().zip(&rows) {
                *v = row.as_ref().map_or(0.0, |row| value(&self.structure, row, *from, None));
            }
        }
    }

    /// Which of the announced rows these are. `None` for one that cannot be told: rules with a gate leave it alone.
    fn rows(&self, tokens: Option<&[i32]>, positions: Option<&[i32]>) -> Vec<Option<Row>> {
        let n = self.n_tokens;
        let mut told = lock(self.attached.told());
        let Some(all) = told.rows.clone() else {
            // The program does not say. If every row runs under the same plan, they need not be told apart.
            let phase = evenkeel_core::sequence::Phase::Prompt;
            let (held, token) = (RowSlots::default(), UNKNOWN_TOKEN);
            let row =
                Row { seq: -1, plan: Some(0), phase, pos: 0, token, output: true, refused: false, after: 0, held };
            return vec![self.structure.alone.then_some(row); n];
        };
        let fits = |row: &Row, i: usize| {
            tokens.is_none_or(|t| !is_token(row.token) || t[i] == row.token)
                && positions.is_none_or(|p| p[i] == row.pos)
        };
        // In the order of the batch, as long as llama.cpp keeps to it.
        if let Some(next) = all.get(told.next..told.next + n)
            && next.iter().enumerate().all(|(i, row)| fits(row, i))
        {
            told.next += n;
            return next.iter().copied().map(Some).collect();
        }
        drop(told);
        // It regroups rows by sequence: then token and position must tell, and rows that share both must agree.
        let same = |a: &Row, b: &Row| (a.plan, a.phase, a.refused, a.held) == (b.plan, b.phase, b.refused, b.held);
        let found = (0..n).map(|i| {
            let mut fitting = all.iter().filter(|row| fits(row, i));
            let first = fitting.next()?;
            fitting.all(|other| same(first, other)).then_some(*first)
        });
        let found: Vec<Option<Row>> = found.collect();
        if found.iter().any(Option::is_none) {
            self.lost();
        }
        found
    }

    fn lost(&self) {
        state::get().trouble.unread.fetch_add(1, Ordering::Relaxed);
        if !self.context.said.swap(true, Ordering::Relaxed) {
            log::error!(
                "context {}: the rows of a micro-batch are not those that ek_before_decode was told of: rules with a gate \
                 leave them alone",
                self.context.id
            );
        }
    }
}

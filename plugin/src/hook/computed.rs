//! A gate table that the graph computes by itself, for programs in which nothing is called between two micro-batches: an
//! operation of ours on the CPU, which reads the host's inputs to know which rows these are.

use std::{
    ffi::{c_int, c_void},
    sync::{Arc, atomic::Ordering},
};

use evenkeel_core::sequence::UNKNOWN_TOKEN;
use evenkeel_ffi::generated::types::*;

use super::{attach::Attached, commit::value, library::Host, view::Viewed};
use crate::{
    guard::guard,
    log,
    state::{self, Context, Row, Structure, lock},
};

/// The node, and what it computes from.
pub struct Computed {
    /// F32 `[1, n_tokens, n_gates]`
    pub tensor: *mut ggml_tensor,
    _source: Box<Source>,
}

struct Source {
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
        (n_tokens, n_gates): (u32, u16),
        (attached, context, structure): (Arc<Attached>, &Arc<Context>, &Arc<Structure>),
    ) -> Option<Computed> {
        let functions = host.lib.sampler.as_ref()?;
        let tokens = viewed.view.leaf("inp_tokens").filter(|id| viewed.view.tensor(*id).ne[0] == i64::from(n_tokens));
        let positions = viewed.view.leaf("inp_pos");
        let mut args: Vec<*mut ggml_tensor> = tokens.iter().chain(&positions).map(|id| viewed.tensor(*id)).collect();
        let source = Box::new(Source {
            attached,
            context: context.clone(),
            structure: structure.clone(),
            n_tokens: n_tokens as usize,
            has_tokens: tokens.is_some(),
        });
        let behind = (&raw const *source).cast_mut().cast::<c_void>();
        // SAFETY: the caller's promise; the box lives as long as the node, and one thread runs it.
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
        Some(Computed { tensor, _source: source })
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
        // SAFETY: the box that the node was made with.
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
        for (gate, column) in table.chunks_exact_mut(self.n_tokens.max(1)).enumerate() {
            let Some(from) = merged.gates.get(gate) else { continue };
            for (v, row) in column.iter_mut().zip(&rows) {
                *v = row.as_ref().map_or(0.0, |row| value(&self.structure, row, *from));
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
            let row =
                Row { plan: Some(0), phase, pos: 0, token: UNKNOWN_TOKEN, output: true, refused: false, after: 0 };
            return vec![self.structure.alone.then_some(row); n];
        };
        let fits = |row: &Row, i: usize| {
            tokens.is_none_or(|t| row.token == UNKNOWN_TOKEN || t[i] == row.token)
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
        let same = |a: &Row, b: &Row| (a.plan, a.phase, a.refused) == (b.plan, b.phase, b.refused);
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

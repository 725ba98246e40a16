//! What a rule whose prior is learned is shown of a graph: an operation of ours on the CPU, which gets the labels' shares of
//! the rows that are evaluated, a few numbers a row, where they are computed anyway.

use std::{
    ffi::{c_int, c_void},
    sync::Arc,
};

use evenkeel_core::{plan::RuleIndex, profile::Tokens};
use evenkeel_ffi::generated::types::*;

use super::{computed::Found, library::Host};
use crate::{
    guard::guard,
    state::{self, Context, Instance, Online, Row, Use},
};

/// One rule in one graph.
pub struct Observer {
    context: Arc<Context>,
    prior: Arc<Online>,
    how: Use,
    /// Its plan's place in the graph's structure, and where it acts.
    plan: usize,
    tokens: Tokens,
    /// The rows, where nobody announces a micro-batch.
    found: Option<Found>,
}

impl Observer {
    /// Of a rule of a plan, by that plan's place.
    ///
    /// None if its prior is not learned.
    pub fn new(
        context: Arc<Context>,
        (instance, plan): (&Instance, usize),
        rule: RuleIndex,
        found: Option<Found>,
    ) -> Option<Self> {
        let (prior, how) = instance.prior(rule)?.clone();
        let tokens = instance.plan.rules.get(usize::from(rule.0))?.tokens;
        Some(Self { context, prior, how, plan, tokens, found })
    }

    /// Makes the node, which reads shares `[labels, rows]` and a mark for each row, `[1, rows]`.
    ///
    /// # Safety
    /// `ctx` has room for one tensor; this observer lives as long as it. The host has the operation.
    pub unsafe fn node(
        self: &Arc<Self>,
        host: &Host,
        ctx: *mut ggml_context,
        mut reads: [*mut ggml_tensor; 2],
    ) -> *mut ggml_tensor {
        let functions = host.lib.sampler.as_ref().expect("it was asked for before the graph was touched");
        let behind = Arc::as_ptr(self).cast_mut().cast::<c_void>();
        // SAFETY: the caller's promise.
        unsafe {
            let (kind, n) = (GGML_TYPE_F32, reads.len() as c_int);
            (functions.ggml_custom_4d)(ctx, kind, 1, 1, 1, 1, reads.as_mut_ptr(), n, Some(compute), 1, behind)
        }
    }

    fn show(&self, shares: &[f32], marks: &[f32]) {
        let Some(live) = self.context.live() else { return };
        let rows: Vec<Option<Row>> = match &self.found {
            Some(found) => found.rows(),
            None => live.rows().iter().copied().map(Some).collect(),
        };
        // Logits have the rows with output; where all have, those are all.
        let output: Vec<Option<Row>> = rows.into_iter().filter(|row| row.is_none_or(|row| row.output)).collect();
        if output.len() != marks.len() {
            return;
        }
        for ((row, shares), mark) in output.iter().zip(shares.chunks_exact(shares.len() / marks.len())).zip(marks) {
            let Some(row) = row.filter(|row| row.plan == Some(self.plan) && *mark != 0.0) else { continue };
            match &self.how {
                Use::Stream(learning) => {
                    if row.takes(self.tokens, false) && live.counts(row.seq, &self.prior) {
                        self.prior.observe(shares, learning);
                    }
                }
                Use::ContentFree { .. } => {
                    self.prior.measure((live.id, row.seq), shares);
                }
            }
        }
    }
}

/// Called on a thread of the host's that evaluates the graph.
unsafe extern "C" fn compute(dst: *mut ggml_tensor, ith: c_int, _nth: c_int, behind: *mut c_void) {
    if ith != 0 {
        return;
    }
    // SAFETY: the node's own memory, one value.
    unsafe { *(*dst).data.cast::<f32>() = 0.0 };
    if state::poisoned() {
        return;
    }
    guard("online", (), || {
        // SAFETY: the observer that the node was made with; both sources are F32 and contiguous, and where the operation
        // runs: on the CPU.
        let (observer, shares, marks) = unsafe {
            let [shares, marks, ..] = (*dst).src;
            (&*behind.cast::<Observer>(), values(shares), values(marks))
        };
        if !shares.is_empty() && !marks.is_empty() {
            observer.show(shares, marks);
        }
    });
}

/// The values of an F32 tensor in host memory.
unsafe fn values<'a>(t: *mut ggml_tensor) -> &'a [f32] {
    // SAFETY: the caller's promise.
    unsafe {
        if t.is_null() || (*t).data.is_null() || (*t).type_ != GGML_TYPE_F32 {
            return &[];
        }
        std::slice::from_raw_parts((*t).data.cast::<f32>(), (*t).ne.iter().product::<i64>() as usize)
    }
}

//! Room in graphs and schedulers, which llama.cpp sizes for its own nodes: made larger where attention is rewritten.
//!
//! A graph lies in memory that llama.cpp takes by what `ggml_graph_overhead_custom` says, so both are answered for more nodes
//! than were asked for. Another program's memory is never used up: a graph is made larger only in memory of exactly the
//! size that llama.cpp takes for a larger one.

use evenkeel_core::{invariance::Mode, lower::GraphView};
use evenkeel_ffi::generated::types::ggml_context;

use super::{
    dispatch::Verdict,
    entry::Registers,
    library::{self, Host},
};
use crate::state::{self, ProfileSlot, lock};

/// How many times as many nodes. Attention of one region is about twice the nodes of a layer, in graphs that are half full.
const FACTOR: usize = 16;

/// Whether a loaded profile, or one that a context still runs under, needs it.
fn wanted() -> bool {
    let state = state::get();
    let loaded = match &*lock(&state.profile) {
        ProfileSlot::Loaded(shelf) => shelf
            .profiles
            .iter()
            .any(|p| p.profile.invariance.as_ref().is_some_and(|t| t.invariance.mode == Mode::Pine)),
        _ => false,
    };
    let pine = |live: &std::sync::Arc<state::Live>| {
        live.instances().iter().any(|instance| instance.plan.invariance.as_ref().is_some_and(|i| i.mode == Mode::Pine))
    };
    loaded || state.lives().iter().any(pine)
}

/// `size_t ggml_graph_overhead_custom(size, grads)`
pub fn before_overhead(r: &Registers) -> Verdict {
    if wanted() {
        r.set_argument(0, r.argument(0).saturating_mul(FACTOR));
    }
    Verdict::Continue
}

/// `ggml_cgraph * ggml_new_graph_custom(ctx, size, grads)`
pub fn before_new_graph(r: &Registers) -> Verdict {
    let (ctx, size) = (r.argument(0) as *const ggml_context, r.argument(1));
    // An address that is known costs a look-up; a program whose llama.cpp cannot be used is left alone.
    if wanted()
        && let Ok(host) = library::of_caller(r.caller())
        && has_room(&host, ctx, size)
    {
        r.set_argument(1, size * FACTOR);
    }
    Verdict::Continue
}

/// Whether the context is as large as llama.cpp makes it for a larger graph.
fn has_room(host: &Host, ctx: *const ggml_context, size: usize) -> bool {
    let Some(attention) = host.lib.attention.as_ref() else { return false };
    let Some(larger) = size.checked_mul(FACTOR) else { return false };
    // SAFETY: the caller makes a graph in this context; the functions only read.
    unsafe {
        let g = &host.lib.ggml;
        let expected = (g.ggml_tensor_overhead)() * size + (g.ggml_graph_overhead_custom)(larger, false);
        (attention.ggml_get_mem_size)(ctx) == expected
    }
}

/// `ggml_backend_sched_t ggml_backend_sched_new(backends, bufts, n, graph_size, parallel, op_offload)`
pub fn before_new_sched(r: &Registers) -> Verdict {
    if wanted() {
        r.set_argument(3, r.argument(3).saturating_mul(FACTOR));
    }
    Verdict::Continue
}

/// What was made holds as much.
pub fn after_new_sched(r: &Registers, sched: usize) -> usize {
    lock(&state::get().schedulers).insert(sched, r.argument(3));
    sched
}

/// No graph may be larger than its scheduler has room for. Where neither is seen when it is made (`sched` is 0), both have
/// the size that llama.cpp gives them.
pub fn bound(view: &mut GraphView, sched: usize) {
    if sched == 0 {
        return;
    }
    let known = lock(&state::get().schedulers).get(&sched).copied();
    view.capacity = view.capacity.min(known.unwrap_or(view.capacity / FACTOR));
}

//! Room in graphs and schedulers, which llama.cpp sizes for its own nodes: made larger where attention is rewritten, and in
//! schedulers also where two contexts' graphs are evaluated as one.
//!
//! A graph lies in memory that llama.cpp takes by what `ggml_graph_overhead_custom` says, so both are answered for more nodes
//! than were asked for. Another program's memory is never used up: a graph is made larger only in memory of exactly the
//! size that llama.cpp takes for a larger one.

use evenkeel_core::{
    invariance::{Invariance, Mode},
    lower::GraphView,
    plan::Plan,
    profile::Profile,
};
use evenkeel_ffi::generated::types::ggml_context;

use super::{
    dispatch::Verdict,
    entry::Registers,
    library::{self, Host},
};
use crate::state::{self, ProfileSlot, lock};

/// How many times as many nodes. Attention of one region is about twice the nodes of a layer, in graphs that are half full.
const FACTOR: usize = 16;

/// The same of schedulers that are given two graphs: each has hardly more nodes than llama.cpp gives it.
const FACTOR_OF_TWO: usize = 4;

/// Whether a loaded profile, or one that a context still runs under, rewrites attention.
fn wanted() -> bool {
    let pine = |of: &Invariance| of.mode == Mode::Pine;
    let typed = |profile: &Profile| profile.invariance.as_ref().is_some_and(|t| pine(&t.invariance));
    some(typed, |plan| plan.invariance.as_ref().is_some_and(pine))
}

/// Whether one sets logits off.
fn contrasts() -> bool {
    some(|profile| profile.contrast.is_some(), |plan| plan.contrast.is_some())
}

fn some(profile: impl Fn(&Profile) -> bool, plan: impl Fn(&Plan) -> bool) -> bool {
    let state = state::get();
    let loaded = match &*lock(&state.profile) {
        ProfileSlot::Loaded(shelf) => shelf.profiles.iter().any(|p| profile(&p.profile)),
        _ => false,
    };
    loaded || state.lives().iter().any(|live| live.instances().iter().any(|instance| plan(&instance.plan)))
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
    let factor = match (wanted(), contrasts()) {
        (true, _) => FACTOR,
        (false, true) => FACTOR_OF_TWO,
        (false, false) => 1,
    };
    r.set_argument(3, r.argument(3).saturating_mul(factor));
    Verdict::Continue
}

/// What was made holds as much.
pub fn after_new_sched(r: &Registers, sched: usize) -> usize {
    lock(&state::get().schedulers).insert(sched, r.argument(3));
    sched
}

/// Nodes and leafs that a scheduler has room for, if that was seen.
pub fn of(sched: usize) -> Option<usize> {
    lock(&state::get().schedulers).get(&sched).copied()
}

/// No graph may be larger than its scheduler has room for. Where neither is seen when it is made (`sched` is 0), both have
/// the size that llama.cpp gives them.
pub fn bound(view: &mut GraphView, sched: usize) {
    if sched == 0 {
        return;
    }
    view.capacity = view.capacity.min(of(sched).unwrap_or(view.capacity / FACTOR));
}

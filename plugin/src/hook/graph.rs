//! The scheduler's hooks: graphs are rewritten before they are measured or allocated, and fed before they are evaluated.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Instant,
};

use evenkeel_core::lower::{Beyond, Lowered, Missed, Patch, attention, lower_with};
use evenkeel_ffi::generated::types::ggml_cgraph;

use super::{
    attention::{self, AttentionGraph},
    capacity,
    commit::{Pass, RewrittenGraph, commit},
    context, contrast,
    dispatch::Verdict,
    entry::Registers,
    library::{self, Host},
    view,
};
use crate::{
    log,
    state::{self, Context, Instance, Live, Standing, State, Structure, clock, lock},
};

/// `bool ggml_backend_sched_reserve(sched, graph)`: also the place where a context can still be refused, because the
/// host takes a failed reservation for lack of memory and gives the context up.
pub fn before_reserve(r: &Registers) -> Verdict {
    match rewrite(r, Pass::Allocate) {
        Rewrite::Failed if library::required() => {
            log::error!("EVENKEEL_REQUIRE=1: the context is refused, for the reason above");
            Verdict::Refuse
        }
        _ => Verdict::Continue,
    }
}

/// `ggml_backend_sched_split_graph(sched, graph)` by itself: the host asks which device would compute one of its own nodes,
/// and draws conclusions (no flash attention where its device lacks it). Nothing is allocated for such a graph, and the
/// answer must be about the host's node and not about what stands in its place.
pub fn before_split(r: &Registers) -> Verdict {
    forget_attention(r, state::get());
    if forget_unless_current(state::get(), r.argument(1) as *mut ggml_cgraph) {
        context::take_building();
    }
    Verdict::Continue
}

/// `ggml_backend_sched_reserve_size(sched, graph, sizes)`.
pub fn before_measure(r: &Registers) -> Verdict {
    rewrite(r, Pass::Measure);
    Verdict::Continue
}

/// `bool ggml_backend_sched_alloc_graph(sched, graph)`.
pub fn before_alloc(r: &Registers) -> Verdict {
    let evaluating = context::evaluating().filter(|_| context::is_building());
    match rewrite(r, Pass::Allocate) {
        // The host takes it for lack of memory, and its call to decode fails.
        Rewrite::Refused => return Verdict::Refuse,
        Rewrite::Joined(graph) => r.set_argument(1, graph as usize),
        Rewrite::Fine | Rewrite::Failed => {}
    }
    match evaluating.and_then(|address| state::get().live(address)) {
        Some(live) if live.second_of.is_some() => contrast::before_alloc(&live, r),
        _ => Verdict::Continue,
    }
}

/// `ggml_backend_sched_graph_compute_async(sched, graph)`: also runs for a graph that the host reuses.
pub fn before_compute(r: &Registers) -> Verdict {
    clock::last();
    let state = state::get();
    let current = context::take_evaluating();
    let mut known = false;
    let mut joined = None;
    let graph = lock(&state.graphs).get(&r.argument(1)).cloned();
    if let Some(graph) = graph {
        let mut graph = lock(&graph);
        // SAFETY: this thread is about to evaluate the graph at this address.
        known = unsafe { graph.before_compute(r.argument(1) as *mut ggml_cgraph) };
        joined = if known { graph.joined() } else { None };
    }
    feed_attention(state, current, r.argument(1) as *mut ggml_cgraph);
    if let Some(capture) = current.and_then(|address| state.captures.of(address)) {
        // SAFETY: as above.
        unsafe { lock(&capture).before_compute(r.argument(1) as *mut ggml_cgraph) };
    }
    match joined {
        Some(Ok(graph)) => {
            r.set_argument(1, graph as usize);
            return Verdict::Continue;
        }
        // GGML_STATUS_FAILED: nothing is computed from a graph that is gone.
        Some(Err(_)) => return Verdict::Answer(-1i32 as u32 as usize),
        None => {}
    }
    if let Some(Verdict::Answer(status)) = current.map(contrast::before_compute) {
        return Verdict::Answer(status);
    }
    if !known && let Some(context) = current.and_then(|address| state.context(address)) {
        unsteered(state, &context);
    }
    Verdict::Continue
}

/// `ggml_backend_sched_free(sched)`: the graphs that were handed to it are gone with it.
pub fn before_sched_free(r: &Registers) -> Verdict {
    state::get().captures.before_sched_free(r.argument(0));
    let gone = |graph: &Arc<Mutex<_>>| lock::<RewrittenGraph>(graph).sched == r.argument(0);
    let graphs: Vec<_> = lock(&state::get().graphs).extract_if(|_, graph| gone(graph)).collect();
    let of_sched = |graph: &Arc<Mutex<_>>| lock::<AttentionGraph>(graph).sched == r.argument(0);
    let fed: Vec<_> = lock(&state::get().attention).extract_if(|_, graph| of_sched(graph)).collect();
    lock(&state::get().schedulers).remove(&r.argument(0));
    for live in state::get().lives() {
        let _ = live.sched.compare_exchange(r.argument(0), 0, Ordering::Relaxed, Ordering::Relaxed);
    }
    // Here and not under the lock: it frees the host's memory.
    drop((graphs, fed));
    Verdict::Continue
}

/// Gives a graph what it needs of the regions of its rows.
fn feed_attention(state: &State, current: Option<usize>, graph: *mut ggml_cgraph) {
    let Some(fed) = lock(&state.attention).get(&(graph as usize)).cloned() else { return };
    let live = current.and_then(|address| state.live(address));
    let batch = live.as_ref().and_then(|live| live.batch());
    // SAFETY: this thread is about to evaluate the graph, and the host has set its inputs.
    unsafe { lock(&fed).before_compute(graph, batch.as_deref()) };
    if let (Some(live), Some(batch)) = (live, batch) {
        // SAFETY: as above.
        if let Err(why) = unsafe { attention::put_back(&live.host, graph, &batch) } {
            state.trouble.unread.fetch_add(1, Ordering::Relaxed);
            log::error!("context {}: rows of segments give logits of others: {why}", live.id);
        }
    }
}

/// Says once that the process generates without the profile that it was given.
fn unsteered(state: &State, context: &Context) {
    let why = match &context.standing {
        Standing::Other(why) | Standing::Failed(why) => why,
        _ => return,
    };
    if state.any_ours.load(Ordering::Relaxed) {
        return;
    }
    if state.trouble.unsteered.fetch_add(1, Ordering::Relaxed) == 0 {
        log::error!(
            "context {} ({}) runs WITHOUT the profile, and no other runs with it: {why}",
            context.id,
            context.model
        );
    }
}

/// What became of a graph.
enum Rewrite {
    /// Nothing to do, or done.
    Fine,
    /// It is a graph of a context that should be steered, and runs as the host built it.
    Failed,
    /// It must not be evaluated: its rows would be computed otherwise than later ones take them to be.
    Refused,
    /// Another is allocated and evaluated in its place.
    Joined(*mut ggml_cgraph),
}

fn rewrite(r: &Registers, pass: Pass) -> Rewrite {
    let state = state::get();
    forget_attention(r, state);
    if !forget_unless_current(state, r.argument(1) as *mut ggml_cgraph) {
        return Rewrite::Fine;
    }
    let Some(address) = context::take_building() else { return Rewrite::Fine };
    let Some(context) = state.context(address) else { return Rewrite::Fine };
    let rewritten = steer(r, pass, state, &context);
    if !matches!(rewritten, Rewrite::Refused)
        && context::is_evaluating(address)
        && let Some(capture) = state.captures.of(address)
    {
        let host = library::of_caller(r.caller());
        // SAFETY: the host hands this graph over for allocation, on this thread.
        unsafe { lock(&capture).built(&host, r.argument(0), r.argument(1) as *mut ggml_cgraph) };
    }
    rewritten
}

fn steer(r: &Registers, pass: Pass, state: &State, context: &Arc<Context>) -> Rewrite {
    match &context.standing {
        Standing::Ours(live) | Standing::Second(live) => {
            // Now, not when it was made: a context whose constructor fails is none.
            state.any_ours.store(true, Ordering::Relaxed);
            let Ok(host) = library::of_caller(r.caller()) else {
                return pass_through(state, context, "unusable library");
            };
            let graph = r.argument(1) as *mut ggml_cgraph;
            rewrite_ours(&host, (r.argument(0), graph), pass, state, context, live)
        }
        Standing::Failed(_) => Rewrite::Failed,
        // A host that found llama_init_from_model by name passed by the hook that would have refused it.
        Standing::Other(_) if library::required() && !state.any_ours.load(Ordering::Relaxed) => Rewrite::Failed,
        Standing::Idle | Standing::Left(_) | Standing::Other(_) => Rewrite::Fine,
    }
}

/// Drops what is kept of an earlier graph at this address. False if the graph is the rewritten one itself: the
/// scheduler hands it from one of its functions to the next.
fn forget_unless_current(state: &State, graph: *mut ggml_cgraph) -> bool {
    let mut graphs = lock(&state.graphs);
    // SAFETY: the host hands this graph over on this thread.
    let current = graphs.get(&(graph as usize)).is_some_and(|known| unsafe { lock(known).is_current(graph) });
    let stale = if current { None } else { graphs.remove(&(graph as usize)) };
    drop(graphs);
    // Here and not under the lock: it frees the host's memory.
    drop(stale);
    !current
}

/// The same for a graph that llama.cpp shows while it builds it, before any scheduler has it. False if it was rewritten
/// already.
pub fn steer_built(host: &Arc<Host>, graph: *mut ggml_cgraph, context: &Arc<Context>, live: &Arc<Live>) -> bool {
    let start = Instant::now();
    let state = state::get();
    if !forget_unless_current(state, graph) {
        return false;
    }
    state.any_ours.store(true, Ordering::Relaxed);
    rewrite_ours(host, (0, graph), Pass::Allocate, state, context, live);
    // The evaluation that it is for counts it.
    clock::spent(start).into_iter().for_each(|ns| state.time.add(ns));
    true
}

/// Drops what is kept of an earlier graph at this address, if a new one is handed over.
fn forget_attention(r: &Registers, state: &State) {
    if !context::is_building() {
        return;
    }
    let Some(stale) = lock(&state.attention).remove(&r.argument(1)) else { return };
    if lock(&stale).reads_memory()
        && let Ok(host) = library::of_caller(r.caller())
    {
        // Its last evaluation may still run on a device and read that memory.
        // SAFETY: the scheduler is the one that the host is about to use on this thread.
        unsafe { (host.lib.sched.ggml_backend_sched_synchronize)(r.argument(0) as _) };
    }
}

/// Attention that does not depend on the order of segments.
fn rewrite_attention(
    host: &Arc<Host>,
    (sched, graph): (usize, *mut ggml_cgraph),
    state: &State,
    context: &Arc<Context>,
    live: &Arc<Live>,
) -> Rewrite {
    let wanted = live.structure().plans.iter().any(|instance| instance.plan.invariance.is_some());
    let batch = context::is_evaluating(live.address).then(|| live.batch()).flatten();
    if !wanted || batch.is_none() && live.is_fit() {
        return Rewrite::Fine;
    }
    if sched == 0 {
        return unfit(context, live, "the program contains llama.cpp, and its graphs are seen while they are built");
    }
    // SAFETY: as in `rewrite_ours`.
    let mut viewed = unsafe { view::read(&host.lib, host.facts.compute_flag, graph) };
    capacity::bound(&mut viewed.view, sched);
    let sites = match attention(&viewed.view) {
        Ok(sites) if sites.is_empty() => return Rewrite::Fine,
        Ok(sites) if host.lib.attention.is_some() => sites,
        Ok(_) => return unfit(context, live, "this ggml lacks operations that it is built of"),
        Err(why) => return unfit(context, live, &why.to_string()),
    };
    live.fits(Ok(()));
    let Some(batch) = batch else { return Rewrite::Fine };
    // SAFETY: the view was read just now, and the host still waits on this thread.
    match unsafe { attention::rewrite(host, graph, &viewed, &sites, (context, &batch)) } {
        Ok(mut fed) => {
            fed.sched = sched;
            lock(&state.attention).insert(graph as usize, Arc::new(Mutex::new(fed)));
            Rewrite::Fine
        }
        Err(why) => {
            state.trouble.passed_through.fetch_add(1, Ordering::Relaxed);
            log::error!(
                "context {} ({}): segments cannot be taken into account, decode fails: {why}",
                context.id,
                context.model
            );
            Rewrite::Refused
        }
    }
}

/// Says once that a context's attention cannot be made independent of the order of segments.
fn unfit(context: &Context, live: &Live, why: &str) -> Rewrite {
    if live.fits(Err(why.to_owned())) {
        log::error!(
            "context {} ({}): [invariance] cannot be used, and segments are refused: {why}",
            context.id,
            context.model
        );
    }
    Rewrite::Failed
}

fn rewrite_ours(
    host: &Arc<Host>,
    (sched, graph): (usize, *mut ggml_cgraph),
    pass: Pass,
    state: &State,
    context: &Arc<Context>,
    live: &Arc<Live>,
) -> Rewrite {
    if context::is_evaluating(live.address) {
        live.built();
        live.sched.store(sched, Ordering::Relaxed);
    }
    // A model whose attention is of another form is still steered.
    let unfit = match rewrite_attention(host, (sched, graph), state, context, live) {
        Rewrite::Refused => return Rewrite::Refused,
        outcome => matches!(outcome, Rewrite::Failed),
    };
    let structure = live.structure();
    let Some(merged) = &structure.merged else { return if unfit { Rewrite::Failed } else { Rewrite::Fine } };
    // SAFETY: the host hands this graph over for allocation, on this thread; the library passed the self-test.
    let mut viewed = unsafe { view::read(&host.lib, host.facts.compute_flag, graph) };
    capacity::bound(&mut viewed.view, sched);
    let evaluating = context::is_evaluating(live.address);
    let contrasted = evaluating.then(|| live.contrast_nodes()).flatten();
    let attention = evaluating.then(|| lock(&live.contrast).attention.clone()).flatten();
    let beyond = Beyond { contrast: contrasted, attention: attention.as_ref() };
    let must = contrasted.is_some() || attention.is_some();
    let (patch, missed) = match lower_with(&merged.plan, &viewed.view, beyond) {
        Ok(Lowered::Patch(patch, missed)) => (patch, missed),
        Ok(Lowered::NotOurs) => return Rewrite::Fine,
        Err(why) => return plain(state, context, must, &why.to_string()),
    };
    let silent = report(context, &structure, &patch, &missed);
    let mut joined = None;
    // SAFETY: the view was read just now, and the host still waits on this thread.
    match unsafe { commit(host, graph, &viewed, &patch, (context, live, &structure), pass) } {
        Ok(Some(mut rewritten)) => {
            rewritten.sched = sched;
            if contrasted.is_some_and(|nodes| nodes.beside) {
                // SAFETY: as above.
                match unsafe { rewritten.join(graph, live) } {
                    Ok(graph) => joined = Some(graph),
                    Err(why) => return apart(state, context, live, &why.to_string()),
                }
            }
            lock(&state.graphs).insert(graph as usize, Arc::new(Mutex::new(rewritten)));
        }
        Ok(None) => {}
        Err(why) => return plain(state, context, must, &why.to_string()),
    }
    if pass == Pass::Allocate {
        retire(state, context, &structure);
    }
    // Without a scheduler, it is still to be waited for.
    if pass == Pass::Allocate && sched != 0 {
        free_unused(host, live, sched);
    }
    match joined {
        Some(graph) => Rewrite::Joined(graph),
        None if silent || unfit => Rewrite::Failed,
        None => Rewrite::Fine,
    }
}

/// Both contexts' graphs cannot be evaluated as one, which was not expected: this evaluation fails, later ones are apart.
fn apart(state: &State, context: &Context, live: &Live, why: &str) -> Rewrite {
    lock(&live.contrast).apart = true;
    state.trouble.passed_through.fetch_add(1, Ordering::Relaxed);
    log::error!(
        "context {} ({}): logits cannot be set off, decode fails: {why}; from now on both contexts are evaluated one after the other",
        context.id,
        context.model
    );
    Rewrite::Refused
}

/// Lets go of the plans that only earlier graphs of a context had.
fn retire(state: &State, context: &Arc<Context>, structure: &Arc<Structure>) {
    for graph in lock(&state.graphs).values() {
        let mut graph = lock(graph);
        if Arc::ptr_eq(&graph.context, context) {
            graph.retire(structure);
        }
    }
}

/// Frees the vectors of plans that are gone.
fn free_unused(host: &Host, live: &Live, sched: usize) {
    let unused = lock(&live.constants).take_unused();
    if !unused.is_empty() {
        // Graphs of an earlier structure are not evaluated again, but the last may still run on a device.
        // SAFETY: the scheduler is the one that the host is about to use on this thread.
        unsafe { (host.lib.sched.ggml_backend_sched_synchronize)(sched as _) };
    }
}

/// Counts the sites of each rule at the first graph of its plan and says which were not found. True if a rule found none
/// at all.
fn report(context: &Context, structure: &Structure, patch: &Patch, missed: &[Missed]) -> bool {
    let mut new: Vec<&Arc<Instance>> = structure.plans.iter().filter(|i| i.patch.get().is_none()).collect();
    if !new.is_empty() {
        let text = patch.to_string();
        new.retain(|i| i.patch.set(text.clone()).is_ok());
        for (instance, rule) in patch.substitutions.iter().flat_map(|s| &s.rules).filter_map(|r| structure.origin(*r)) {
            if new.iter().any(|n| Arc::ptr_eq(n, instance)) {
                instance.counters[rule].sites.fetch_add(1, Ordering::Relaxed);
            }
        }
        for name in new.iter().flat_map(|instance| instance.silent_rules()) {
            log::error!(
                "rule `{name}` found no place to act in the graph of context {} ({})",
                context.id,
                context.model
            );
        }
        for m in missed {
            log::warning!("{}: {}; rules that act there: {}", m.name, m.why, names(structure, m));
        }
        log::debug!("context {}, first graph: {text}", context.id);
    }
    structure.plans.iter().any(|instance| !instance.silent_rules().is_empty())
}

fn names(structure: &Structure, missed: &Missed) -> String {
    let origins = missed.rules.iter().filter_map(|r| structure.origin(*r));
    origins.map(|(instance, rule)| instance.plan.rules[rule].name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Leaves a graph of ours as it is, or has its evaluation fail if its rows are to be set off: nobody is given other logits.
fn plain(state: &State, context: &Context, contrasted: bool, why: &str) -> Rewrite {
    if !contrasted {
        return pass_through(state, context, why);
    }
    state.trouble.passed_through.fetch_add(1, Ordering::Relaxed);
    log::error!("context {} ({}): logits cannot be set off, decode fails: {why}", context.id, context.model);
    Rewrite::Refused
}

/// Leaves a graph of ours as it is: counted, and said once per context.
fn pass_through(state: &State, context: &Context, why: &str) -> Rewrite {
    state.trouble.passed_through.fetch_add(1, Ordering::Relaxed);
    if !context.said.swap(true, Ordering::Relaxed) {
        log::error!("context {} ({}) runs as the host built it: {why}", context.id, context.model);
    }
    Rewrite::Failed
}

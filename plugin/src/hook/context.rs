//! The hooks on llama.cpp's contexts: each is bound to a plan, or to the reason why not, when it is made.

use std::{
    cell::Cell,
    ffi::{CStr, CString, c_char},
    sync::{Arc, atomic::Ordering},
};

use evenkeel_core::model::ModelFacts;
use evenkeel_ffi::{
    generated::types::{llama_context_params, llama_model},
    library::Library,
    params::{self, ContextKind, Copied},
};

use super::{
    AttentionGraph, RewrittenGraph, contrast,
    dispatch::Verdict,
    entry::Registers,
    library::{self, Host},
    real, rows, split,
    vocab::Vocab,
};
use crate::{
    log,
    state::{self, Book, Context, Live, Origin, Shelf, Standing, Unbound, lock, snapshot},
};

thread_local! {
    /// The context that builds a graph on this thread, until the graph is handed to the scheduler.
    static BUILDING: Cell<Option<usize>> = const { Cell::new(None) };
    /// The context that evaluates a graph on this thread, until the scheduler is told to.
    static EVALUATING: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Whether the graph that is handed over is to be evaluated by this context, and not only reserved.
pub fn is_evaluating(address: usize) -> bool {
    EVALUATING.get() == Some(address)
}

/// The context that evaluates a graph on this thread.
pub fn evaluating() -> Option<usize> {
    EVALUATING.get()
}

/// The context whose graph is handed over, once: the scheduler calls itself with the same graph again.
pub fn take_building() -> Option<usize> {
    BUILDING.take()
}

/// Whether the graph that is handed over is one that a context has just built.
pub fn is_building() -> bool {
    BUILDING.get().is_some()
}

/// The context whose graph is evaluated, once. Of a graph that is evaluated again, none was built.
pub fn take_evaluating() -> Option<usize> {
    BUILDING.set(None);
    EVALUATING.take()
}

/// `llama_context::graph_reserve(…)` of this context.
pub fn before_graph_reserve(r: &Registers) -> Verdict {
    BUILDING.set(Some(r.argument(0)));
    EVALUATING.set(None);
    Verdict::Continue
}

/// `llama_context::process_ubatch(…)` of this context: builds a graph or reuses one, and evaluates it.
pub fn before_ubatch(r: &Registers) -> Verdict {
    if split::gives_up() {
        // SAFETY: the host's status, by reference: GGML_STATUS_ABORTED.
        unsafe { *(r.argument(4) as *mut i32) = 1 };
        return Verdict::Answer(0);
    }
    BUILDING.set(Some(r.argument(0)));
    EVALUATING.set(Some(r.argument(0)));
    let state = state::get();
    if let Some(capture) = state.captures.of(r.argument(0)) {
        // SAFETY: as below.
        let rows =
            library::of_caller(r.caller()).ok().and_then(|host| unsafe { rows::read(&host.layout, r.argument(1)) });
        lock(&capture).before_ubatch(rows);
    }
    if let Some(live) = state.live(r.argument(0)) {
        // SAFETY: the host passes a micro-batch by reference.
        match unsafe { rows::read(&live.host.layout, r.argument(1)) } {
            Some(rows) => {
                let verdict = contrast::before_ubatch(&live, rows);
                // A profile has a contrast or regions: what waits for a contrast has no tokens of other rows.
                if let (Verdict::Continue, Some(batch)) = (&verdict, live.batch()) {
                    // SAFETY: the same micro-batch, whose tokens are llama.cpp's own copy.
                    unsafe { rows::replace(r.argument(1), &batch.tokens) };
                }
                return verdict;
            }
            None => {
                state.trouble.unread.fetch_add(1, Ordering::Relaxed);
                live.wants_contrast(&[]);
                live.feed(&[]);
            }
        }
    }
    Verdict::Continue
}

/// The micro-batch's rows are fed after a second context has said what they are set off against. That evaluates graphs of its own
/// on this thread.
pub fn feed_contrasted(r: &Registers) {
    contrast::feed(r.argument(0));
    BUILDING.set(Some(r.argument(0)));
    EVALUATING.set(Some(r.argument(0)));
}

/// `bool llm_graph_result::can_reuse(params)`: a graph that was built for other plans, or without the
/// copies that are wanted, must be built anew. llama.cpp asks
/// only of the one that the context evaluated last, because its scheduler holds no other.
pub fn before_can_reuse(_r: &Registers) -> Verdict {
    let Some(address) = EVALUATING.get() else { return Verdict::Continue };
    let may_reuse = |live: Arc<Live>| live.may_reuse() && contrast::may_reuse(&live);
    let steered = state::get().live(address).is_none_or(may_reuse);
    let captured = state::get().captures.of(address).is_none_or(|capture| lock(&capture).may_reuse());
    if steered && captured { Verdict::Continue } else { Verdict::Refuse }
}

/// `llama_init_from_model(model, params)`: the first place where a host can be refused, and the only clean one.
pub fn before_init(r: &Registers) -> Verdict {
    // The caller may be the program itself, and a look-up in its scope ends at our own entries.
    if contrast::is_made() {
        return Verdict::Continue;
    }
    let home = real::named("llama_init_from_model", r.caller()).map_or(r.caller(), |f| f.as_ptr() as usize);
    if !library::required() {
        // A llama.cpp that cannot be used may never come to another hook: it is named here.
        if !matches!(lock(&state::get().profile).get(), Ok(None)) {
            let _ = library::of_caller(home);
        }
        return Verdict::Continue;
    }
    // SAFETY: the arguments are those of llama_init_from_model.
    match unsafe { stand(home, (0, 0), r.argument(0) as *const llama_model, r.by_value(1)) } {
        (Standing::Failed(why), model) => refuse(&why, &model),
        (Standing::Other(why), model) if !state::get().any_ours.load(Ordering::Relaxed) => refuse(&why, &model),
        _ => Verdict::Continue,
    }
}

fn refuse(why: &str, model: &str) -> Verdict {
    log::error!("EVENKEEL_REQUIRE=1: the context of {model} is refused: {why}");
    Verdict::Refuse
}

/// `llama_context::llama_context(model, params)`.
pub fn before_new(r: &Registers) -> Verdict {
    let this = (next_id(), r.argument(0));
    if contrast::admit(r.caller(), this) {
        return Verdict::Continue;
    }
    // SAFETY: the arguments are those of the constructor: this, the model by reference, the parameters by value.
    let (standing, model) = unsafe { stand(r.caller(), this, r.argument(1) as *const llama_model, r.by_value(2)) };
    admit(this, standing, model);
    Verdict::Continue
}

/// The number of the next context.
pub fn next_id() -> u32 {
    state::get().next_context.fetch_add(1, Ordering::Relaxed)
}

/// Takes note of the context with this number and address, and says where it stands.
pub fn admit((id, address): (u32, usize), standing: Standing, model: String) -> Arc<Context> {
    match &standing {
        Standing::Ours(live) => log::info!("context {id} ({model}) runs under {}", words(&live.book())),
        Standing::Second(_) => log::debug!("context {id} is {model}"),
        Standing::Left(why) => log::info!("context {id} ({model}) is left alone: {why}"),
        Standing::Other(why) => log::info!("context {id} ({model}) is left alone:\n{why}"),
        Standing::Failed(why) => log::error!("context {id} ({model}) runs as the host built it:\n{why}"),
        // Who asks for that wants to be safe from exactly this.
        Standing::Idle if library::required() => log::warning!(
            "EVENKEEL_REQUIRE=1, but no profile is named (EVENKEEL_PROFILE is not set): context {id} runs without one"
        ),
        Standing::Idle => {}
    }
    let (said, fallbacks, fallbacks_of_attention) = Default::default();
    let context = Arc::new(Context { id, model, standing, said, fallbacks, fallbacks_of_attention });
    lock(&state::get().contexts).insert(address, context.clone());
    snapshot::now(state::get());
    context
}

/// `llama_context::~llama_context()`.
pub fn before_drop(r: &Registers) -> Verdict {
    let state = state::get();
    state.captures.forget(r.argument(0));
    let Some(context) = lock(&state.contexts).remove(&r.argument(0)) else { return Verdict::Continue };
    let ours = |graph: &Arc<_>| Arc::ptr_eq(&lock::<RewrittenGraph>(graph).context, &context);
    let graphs: Vec<_> = lock(&state.graphs).extract_if(|_, graph| ours(graph)).map(|(_, graph)| graph).collect();
    let of_context = |graph: &Arc<_>| Arc::ptr_eq(&lock::<AttentionGraph>(graph).context, &context);
    let fed: Vec<_> = lock(&state.attention).extract_if(|_, graph| of_context(graph)).map(|(_, graph)| graph).collect();
    if let Ok(host) = library::of_caller(r.caller()) {
        let mut scheds: Vec<usize> = graphs.iter().map(|graph| lock(graph).sched).collect();
        scheds.extend(fed.iter().map(|graph| lock(graph).sched));
        scheds.sort_unstable();
        scheds.dedup();
        for sched in scheds.into_iter().filter(|s| *s != 0) {
            // The last evaluation may still run on a device and read our vectors.
            // SAFETY: the scheduler lives until the destructor, which has not begun, frees it.
            unsafe { (host.lib.sched.ggml_backend_sched_synchronize)(sched as _) };
        }
    }
    drop((graphs, fed));
    state.priors.save();
    snapshot::now(state);
    match context.live() {
        Some(live) if contrast::leave(live) => Verdict::First(free_second),
        _ => Verdict::Continue,
    }
}

/// Frees the second context of the one that is about to be freed.
fn free_second(r: &Registers) {
    if let Ok(host) = library::of_caller(r.caller()) {
        contrast::free(&host);
    }
}

/// Where a context of this model stands, and the model in a few words.
///
/// # Safety
/// `model` is a loaded model, `params` the parameters that the host passes by value.
unsafe fn stand(
    caller: usize,
    this: (u32, usize),
    model: *const llama_model,
    params: *const llama_context_params,
) -> (Standing, String) {
    if matches!(lock(&state::get().profile).get(), Ok(None)) {
        return (Standing::Idle, String::new());
    }
    match library::of_caller(caller) {
        // SAFETY: the caller's promise.
        Ok(host) => unsafe { stand_at(&host, this, model, params) },
        Err(why) => (Standing::Failed(why), "unknown model".to_owned()),
    }
}

/// The same, where the llama.cpp is known.
///
/// # Safety
/// As [`stand`]; `params` may be null where they are not known.
pub unsafe fn stand_at(
    host: &Arc<Host>,
    this: (u32, usize),
    model: *const llama_model,
    params: *const llama_context_params,
) -> (Standing, String) {
    let failed = |why: String| (Standing::Failed(why), "unknown model".to_owned());
    let shelf = match lock(&state::get().profile).get() {
        Ok(None) => return (Standing::Idle, String::new()),
        Ok(Some(shelf)) => shelf,
        Err(why) => return failed(why),
    };
    if model.is_null() {
        return failed("the host passed no model".into());
    }
    // SAFETY: the caller's promise; the library passed the self-test.
    unsafe {
        let Some(facts) = facts(&host.lib, model) else { return failed("llama.cpp without a model's metadata".into()) };
        let words = describe(&facts);
        (bind(host, &shelf, this, (facts, model), params), words)
    }
}

unsafe fn bind(
    host: &Arc<Host>,
    shelf: &Shelf,
    this: (u32, usize),
    (facts, model): (ModelFacts, *const llama_model),
    params: *const llama_context_params,
) -> Standing {
    let embeddings = shelf.profiles.iter().any(|loaded| loaded.profile.model.embeddings);
    let readable = host.embeddings_offset.filter(|_| !params.is_null());
    // SAFETY: the caller's promise, and the layout was compared with the host's own defaults.
    let kind = readable.map_or(ContextKind::Default, |offset| unsafe { params::kind(params, offset) });
    match kind {
        ContextKind::Mtp => return Standing::Left("it drafts tokens for another context"),
        ContextKind::Embedding if !embeddings => {
            return Standing::Left("it computes embeddings, and the profile does not say [model] embeddings = true");
        }
        ContextKind::Embedding | ContextKind::Default => {}
    }
    // SAFETY: the caller's promise: the model is loaded, and outlives its context.
    let (vocab, whole) = unsafe { (Vocab::of(host, model), whole(host, model)) };
    match Book::bind(shelf, (&facts, &|| vocab.all(host)), None, &state::get().identities) {
        Ok(book) => {
            let live = Live::new(this, facts, host.clone(), Arc::new(book), vocab, whole);
            if let (Some(offset), Some(llama)) = (readable, &host.lib.llama) {
                // SAFETY: the caller's promise, and the layout was compared with the host's own defaults.
                let params = unsafe { Copied::of(llama, params, offset) };
                live.made_as(Origin { model: model as usize, params });
            }
            match live.check_markers(&live.book()) {
                Ok(()) => Standing::Ours(Arc::new(live)),
                Err(why) => Standing::Failed(why),
            }
        }
        // A draft model beside the one that the profile is for is no error.
        Err(Unbound::OtherModel(why)) => Standing::Other(why),
        Err(Unbound::Failed(why)) if state::get().any_ours.load(Ordering::Relaxed) => Standing::Other(why),
        Err(Unbound::Failed(why)) => Standing::Failed(why),
    }
}

/// Whether a model's memory cannot give up the end of a sequence without losing more.
unsafe fn whole(host: &Host, model: *const llama_model) -> bool {
    // SAFETY: the caller's promise.
    host.lib.llama.as_ref().is_some_and(|llama| unsafe {
        (llama.llama_model_n_swa)(model) > 0
            || (llama.llama_model_is_recurrent)(model)
            || (llama.llama_model_is_hybrid)(model)
    })
}

/// What the log says of the profiles that a context runs under.
fn words(book: &Book) -> String {
    let one = |name: &str, plan: &evenkeel_core::plan::Plan| {
        let active = plan.rules.iter().filter(|r| r.dropped.is_none()).count();
        let contrast = if plan.contrast.as_ref().is_some_and(|c| c.alpha != 0.0) { ", and a contrast" } else { "" };
        format!("`{name}`: {active} of {} rules act{contrast}", plan.rules.len())
    };
    match &book.named[..] {
        [(name, instance)] if book.default.is_some() => one(name, &instance.plan),
        all => {
            let list: Vec<String> = all.iter().map(|(name, instance)| one(name, &instance.plan)).collect();
            format!("{} profiles, by default {}; {}", all.len(), book.name_of(&book.default), list.join("; "))
        }
    }
}

fn describe(facts: &ModelFacts) -> String {
    let name = facts.name.as_deref().unwrap_or("unnamed");
    format!("{name}: {}, {} blocks, width {}", facts.arch, facts.n_layer, facts.n_embd)
}

unsafe fn facts(lib: &Library, model: *const llama_model) -> Option<ModelFacts> {
    let llama = lib.llama.as_ref()?;
    // SAFETY: the model is loaded; the metadata function writes at most the length of the buffer, and a zero.
    unsafe {
        let meta = |key: &CStr| {
            let mut buffer = [0u8; 256];
            let into = buffer.as_mut_ptr().cast::<c_char>();
            let n = (llama.llama_model_meta_val_str)(model, key.as_ptr(), into, buffer.len());
            (n >= 0).then(|| CStr::from_bytes_until_nul(&buffer).unwrap_or_default().to_string_lossy().into_owned())
        };
        let arch = meta(c"general.architecture").unwrap_or_default();
        let heads = CString::new(format!("{arch}.attention.head_count")).unwrap_or_default();
        Some(ModelFacts {
            // A list of numbers, one per layer, is no number.
            n_head: meta(&heads).and_then(|n| n.parse().ok()),
            n_embd: u32::try_from((llama.llama_model_n_embd)(model)).ok()?,
            n_layer: u32::try_from((llama.llama_model_n_layer)(model)).ok()?,
            name: meta(c"general.name"),
            arch,
        })
    }
}

//! The door of a program that contains llama.cpp, where no call passes a slot and no symbol can be interposed.
//!
//! llama.cpp calls the samplers that `llama_set_sampler` gave a context while it builds a graph, with the graph, after
//! the model's nodes. Ours ([`super::sampler`]) samples nothing: it hands the graph to the same lowering and the same
//! commit as the scheduler's hooks do. It stands at a sequence id that no row ever has, so that every row keeps its raw
//! logits and the program its own samplers, and so that it needs no room in the key-value cache.
//!
//! Rows are what the program says it is about to decode ([`tell`]); the gate table is computed in the graph, out of those
//! and of the host's own inputs ([`super::computed`]), because nothing is called between two micro-batches.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use evenkeel_ffi::generated::types::*;
use rustc_hash::FxHashMap;

use super::{context, decode, graph, library::Host, rows, sampler};
use crate::{
    log,
    state::{self, Context, Live, RawRow, Row, Standing, clock, lock},
};

/// The sequence of our samplers: no row can have it.
const NO_SEQUENCE: llama_seq_id = -1;

/// Graphs of one context that may be alive at once, and room to spare: llama.cpp keeps one with and one without
/// outputs and one to reserve memory with, and makes all of them anew when it reserves again.
const MAX_GRAPHS: usize = 16;

/// Why a context cannot be attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// No llama.cpp is known.
    #[error("no llama.cpp was handed over: call ek_install_api first")]
    NoApi,
    /// This llama.cpp has no samplers that take part in the graph.
    #[error("this llama.cpp has no llama_set_sampler: it cannot be steered from inside a program that contains it")]
    NoSamplers,
    /// It has, and took none.
    #[error("llama_set_sampler refused: a context that splits tensors between devices takes no samplers")]
    Refused,
    /// The plan does not fit, or the profile is bad.
    #[error("{0}")]
    Plan(String),
}

/// A context that its program attached.
pub struct Attached {
    host: Arc<Host>,
    address: usize,
    context: Arc<Context>,
    /// llama.cpp's chain that holds our sampler; 0 while there is nothing to do.
    chain: AtomicUsize,
    /// The structure that the chain was made for.
    version: AtomicU64,
    /// Addresses of the rewritten graphs, the one built last at the end.
    graphs: Mutex<Vec<usize>>,
    /// Rows of the decode that was announced last.
    told: Mutex<Told>,
    /// Graphs that llama.cpp handed over.
    seen: AtomicU64,
    /// Decodes that were announced while there was something to do.
    announced: AtomicU64,
    /// It was said that no graph was.
    said: AtomicBool,
}

/// What is known of the rows that are evaluated.
#[derive(Default)]
pub struct Told {
    /// `None`: the program did not say.
    pub rows: Option<Arc<[Row]>>,
    /// How many of them have been evaluated.
    pub next: usize,
    /// They were not counted yet, as no graph was there.
    uncounted: bool,
}

static ATTACHED: Mutex<Option<FxHashMap<usize, Arc<Attached>>>> = Mutex::new(None);

/// The attached context at `address`.
pub fn attached(address: usize) -> Option<Arc<Attached>> {
    lock(&ATTACHED).as_ref()?.get(&address).cloned()
}

/// Binds `ctx` to the profiles in force and, if that makes it ours, puts a sampler of ours into it. A context that is
/// attached already, or was bound by a hook, stays as it is.
///
/// # Errors
/// [`AttachError`]
///
/// # Safety
/// `ctx` is a context of the llama.cpp that was handed over, used by no other thread.
pub unsafe fn attach(host: Option<Arc<Host>>, ctx: *mut llama_context) -> Result<(), AttachError> {
    let address = ctx as usize;
    let state = state::get();
    if state.context(address).is_some() {
        return Ok(());
    }
    let host = host.ok_or(AttachError::NoApi)?;
    let (Some(llama), true) = (&host.lib.llama, host.lib.sampler.is_some()) else {
        return Err(AttachError::NoSamplers);
    };
    let this = (context::next_id(), address);
    // SAFETY: the caller's promise; a context's model lives as long as it.
    let (standing, model) = unsafe { context::stand_at(&host, this, (llama.llama_get_model)(ctx), std::ptr::null()) };
    if let Standing::Failed(why) = standing {
        return Err(AttachError::Plan(why));
    }
    let attached = Arc::new(Attached {
        host,
        address,
        context: context::admit(this, standing, model),
        chain: AtomicUsize::new(0),
        version: AtomicU64::new(0),
        graphs: Mutex::default(),
        told: Mutex::default(),
        seen: AtomicU64::new(0),
        announced: AtomicU64::new(0),
        said: AtomicBool::new(false),
    });
    lock(&ATTACHED).get_or_insert_default().insert(address, attached.clone());
    // SAFETY: the caller's promise.
    let taken = unsafe { attached.renew() };
    if !taken {
        // SAFETY: as above.
        unsafe { detach(ctx) };
        return Err(AttachError::Refused);
    }
    Ok(())
}

/// Takes our sampler out of `ctx` again and forgets the context: graphs built from now on are the host's own.
///
/// # Safety
/// `ctx` is a live context of the llama.cpp that was handed over, used by no other thread.
pub unsafe fn detach(ctx: *mut llama_context) {
    let Some(attached) = lock(&ATTACHED).as_mut().and_then(|all| all.remove(&(ctx as usize))) else { return };
    let chain = attached.chain.swap(0, Ordering::Relaxed);
    if let (Some(sampler), true) = (&attached.host.lib.sampler, chain != 0) {
        // SAFETY: the caller's promise. An evaluation that still runs reads our vectors; llama.cpp builds its graphs anew
        // before the next one, because its samplers changed.
        unsafe {
            (sampler.llama_synchronize)(ctx);
            (sampler.llama_set_sampler)(ctx, NO_SEQUENCE, std::ptr::null_mut());
            (sampler.llama_sampler_free)(chain as *mut llama_sampler);
        }
    }
    let state = state::get();
    lock(&state.contexts).remove(&(ctx as usize));
    let addresses = std::mem::take(&mut *lock(&attached.graphs));
    let graphs: Vec<_> = {
        let mut all = lock(&state.graphs);
        addresses.iter().filter_map(|a| all.remove(a)).collect()
    };
    // Here and not under the lock: it frees the host's memory.
    drop(graphs);
}

/// What has to be done before a decode of the context at `address`, apart from [`decode::repair_all`] if this is true.
pub fn boundary(address: usize) -> bool {
    let start = std::time::Instant::now();
    let Some(live) = attached(address).and_then(|a| a.context.live().cloned()) else { return false };
    let again = decode::boundary(&live);
    clock::spent(start).into_iter().for_each(|ns| state::get().time.add(ns));
    again
}

/// The rows of a batch that the context at `address` is given.
///
/// # Safety
/// The batch is one that `llama_decode` takes.
pub unsafe fn rows(address: usize, batch: &llama_batch) -> Vec<RawRow> {
    let live = attached(address).and_then(|a| a.context.live().cloned());
    let end = |seq| live.as_ref().and_then(|live| decode::end_of(live, seq)).unwrap_or(0);
    // SAFETY: the caller's promise.
    unsafe { rows::of_batch(batch, end) }
}

/// The program is about to decode these rows; `None`: it does not say which. False if llama.cpp has not shown its graphs
/// so far, although it has evaluated some.
///
/// # Safety
/// The context at `address` is used by no other thread.
pub unsafe fn tell(address: usize, rows: Option<&[RawRow]>) -> bool {
    let Some(attached) = attached(address) else { return true };
    let Some(live) = attached.context.live() else { return true };
    let start = std::time::Instant::now();
    live.feed(rows.unwrap_or_default());
    {
        let mut told = lock(&attached.told);
        *told = Told { rows: rows.map(|_| live.rows()), next: 0, uncounted: true };
    }
    // SAFETY: the caller's promise.
    unsafe { attached.renew() };
    attached.count();
    clock::last();
    clock::spent(start).into_iter().for_each(|ns| state::get().time.add(ns));
    attached.looks_on(live)
}

impl Attached {
    /// Makes llama.cpp build its graphs anew if they are to have other things in them: with another sampler, it does. False
    /// if it takes none.
    ///
    /// # Safety
    /// As [`tell`].
    unsafe fn renew(self: &Arc<Self>) -> bool {
        let (Some(live), Some(sampler)) = (self.context.live(), &self.host.lib.sampler) else { return true };
        let structure = live.structure();
        let old = self.chain.load(Ordering::Relaxed);
        if self.version.swap(structure.version, Ordering::Relaxed) == structure.version && old != 0 {
            return true;
        }
        if structure.merged.is_none() && old == 0 {
            return true;
        }
        let ctx = self.address as *mut llama_context;
        // SAFETY: the functions are this llama.cpp's, and the caller's promise. The old chain is no more used once the new
        // one has its place, and an evaluation that still runs calls no sampler.
        unsafe {
            let new = if structure.merged.is_some() {
                sampler::new_chain(sampler, self.clone())
            } else {
                std::ptr::null_mut()
            };
            let taken = (sampler.llama_set_sampler)(ctx, NO_SEQUENCE, new);
            if !taken {
                (sampler.llama_sampler_free)(new);
                return false;
            }
            self.chain.store(new as usize, Ordering::Relaxed);
            if old != 0 {
                (sampler.llama_sampler_free)(old as *mut llama_sampler);
                // Plans that are gone may leave vectors behind, which the last evaluation may still read.
                (sampler.llama_synchronize)(ctx);
                drop(lock(&live.constants).take_unused());
            }
        }
        true
    }

    /// False, and said once, if llama.cpp has evaluated graphs without showing one.
    fn looks_on(&self, live: &Live) -> bool {
        if live.structure().merged.is_none() {
            return true;
        }
        let decodes = self.announced.fetch_add(1, Ordering::Relaxed);
        let blind = decodes > 0 && self.seen.load(Ordering::Relaxed) == 0;
        if blind && !self.said.swap(true, Ordering::Relaxed) {
            let (id, model) = (self.context.id, &self.context.model);
            log::error!(
                "context {id} ({model}) runs WITHOUT the profile: llama.cpp does not call samplers while it builds graphs"
            );
        }
        !blind
    }

    /// Counts the rows of the announced decode, once, and as soon as there is a graph that says where rules act. How
    /// llama.cpp cuts it into micro-batches does not matter to the rows.
    fn count(&self) {
        let graph = lock(&self.graphs).last().copied();
        let known = graph.and_then(|g| lock(&state::get().graphs).get(&g).cloned());
        let Some(known) = known else { return };
        let rows = {
            let mut told = lock(&self.told);
            if !std::mem::replace(&mut told.uncounted, false) {
                return;
            }
            told.rows.clone()
        };
        if let Some(rows) = rows {
            lock(&known).count(&rows);
        }
    }

    /// The rows that the program announced.
    pub fn told(&self) -> &Mutex<Told> {
        &self.told
    }

    /// llama.cpp builds a graph, and this is what it holds so far.
    pub fn built(self: &Arc<Self>, gf: *mut ggml_cgraph) {
        let Some(live) = self.context.live() else { return };
        // SAFETY: llama.cpp hands this graph over on this thread.
        let empty = unsafe { (self.host.lib.graph.ggml_graph_n_nodes)(gf) } == 0;
        // llama.cpp tries a sampler on an empty graph first, and asks for each output row of a sequence.
        if empty || !graph::steer_built(&self.host, gf, &self.context, live) {
            return;
        }
        self.seen.fetch_add(1, Ordering::Relaxed);
        let address = gf as usize;
        let gone = {
            let mut graphs = lock(&self.graphs);
            graphs.retain(|g| *g != address);
            graphs.push(address);
            (graphs.len() > MAX_GRAPHS).then(|| graphs.remove(0))
        };
        let gone = gone.and_then(|g| lock(&state::get().graphs).remove(&g));
        drop(gone);
        self.count();
    }
}

//! What the plug-in knows: one state per process, made at the first need.

mod acted;
mod book;
pub mod clock;
mod config;
mod context;
mod contrast;
mod held;
mod identity;
mod instance;
mod live;
mod prior;
mod profile;
mod regions;
pub mod reload;
mod sequence;
mod shelf;
pub mod snapshot;
mod stats;
mod structure;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::ThreadId,
};

use rustc_hash::FxHashMap;

pub use acted::Acted;
pub use book::{Book, Choice, Unbound};
pub use clock::Clock;
pub use config::Config;
pub use context::{Context, Standing};
pub use contrast::{
    Adapters, Against, Contrasted, Contrasts, Counterpart, Fed, Logits, Origin, Run, Second, Under, Wanted,
};
pub use held::RowSlots;
pub use identity::Identities;
pub use instance::{Instance, PLAIN, RequestPriors, SiteCounter};
pub use live::{Again, Kept, Live, MOST_ROWS, Prepared, RawRow, Repair, Room, Row, Said};
pub use prior::{Online, Priors, RulePrior, Use};
pub use profile::ProfileSlot;
pub use regions::{Asked, Batch, BatchPart, Evaluated, Regions};
pub use sequence::{Pinned, Sequence, Wish};
pub use shelf::Shelf;
pub use stats::{plan_text, stats_json};
pub use structure::Structure;

use crate::hook::{AttentionGraph, Captures, RewrittenGraph};

/// Everything that outlives a call.
pub struct State {
    pid: u32,
    /// The state of a process that was forked from this one: in the child, this one is what it inherited.
    child: OnceLock<Box<State>>,
    /// The environment variables.
    pub config: Config,
    /// What contexts made from now on get.
    pub profile: Mutex<ProfileSlot>,
    /// Contexts by address.
    pub contexts: Mutex<FxHashMap<usize, Arc<Context>>>,
    /// Rewritten graphs by address.
    pub graphs: Mutex<FxHashMap<usize, Arc<Mutex<RewrittenGraph>>>>,
    /// Graphs whose attention is rewritten, or fed, by address.
    pub attention: Mutex<FxHashMap<usize, Arc<Mutex<AttentionGraph>>>>,
    /// Contexts whose residual streams are read.
    pub captures: Captures,
    /// Schedulers by address: the nodes that each has room for.
    pub schedulers: Mutex<FxHashMap<usize, usize>>,
    /// Numbers for what cells were computed under.
    pub identities: Identities,
    /// Priors that are learned from the stream.
    pub priors: Priors,
    /// When the profiles' files were looked at.
    pub watch: reload::Watch,
    /// When the counters were written.
    pub snapshots: snapshot::Writer,
    /// Cells to be evaluated again before the call to decode that is about to run, by thread.
    repairs: Mutex<Vec<(ThreadId, Arc<Live>, Repair)>>,
    /// Contexts in which priors are to be measured before that call, by thread.
    measures: Mutex<Vec<(ThreadId, Arc<Live>)>>,
    /// Numbers the contexts for messages.
    pub next_context: AtomicU32,
    /// A context was made that generates with our plan.
    pub any_ours: AtomicBool,
    /// What passed through, and why.
    pub trouble: Trouble,
    /// The hooks' own time.
    pub time: Clock,
}

/// Counters of what did not go as the profile wants.
#[derive(Default)]
pub struct Trouble {
    /// Graphs of a context of ours that had to run as the host built them.
    pub passed_through: AtomicU64,
    /// Micro-batches whose rows could not be read, or are not what their graph says.
    pub unread: AtomicU64,
    /// Evaluations of a context that is not ours while no context was.
    pub unsteered: AtomicU64,
}

static FIRST: OnceLock<State> = OnceLock::new();
static POISONED: AtomicBool = AtomicBool::new(false);

/// After an internal error: nothing is rewritten any more.
pub fn poison() {
    POISONED.store(true, Ordering::Relaxed);
}

/// True after an internal error.
pub fn poisoned() -> bool {
    POISONED.load(Ordering::Relaxed)
}

/// The state of this process. A forked child gets a fresh one, because its parent's locks may be held for ever.
pub fn get() -> &'static State {
    let pid = std::process::id();
    let mut state = FIRST.get_or_init(|| State::new(pid));
    while state.pid != pid {
        state = state.child.get_or_init(|| Box::new(State::new(pid)));
    }
    state
}

impl State {
    fn new(pid: u32) -> State {
        let config = Config::from_env();
        State {
            pid,
            child: OnceLock::new(),
            profile: Mutex::new(ProfileSlot::new(&config)),
            config,
            contexts: Mutex::default(),
            graphs: Mutex::default(),
            attention: Mutex::default(),
            captures: Captures::default(),
            schedulers: Mutex::default(),
            identities: Identities::default(),
            priors: Priors::default(),
            watch: reload::Watch::new(),
            snapshots: snapshot::Writer::default(),
            repairs: Mutex::default(),
            measures: Mutex::default(),
            next_context: AtomicU32::new(1),
            any_ours: AtomicBool::new(false),
            trouble: Trouble::default(),
            time: Clock::default(),
        }
    }

    /// What the context at `address` runs under, if it is ours.
    pub fn live(&self, address: usize) -> Option<Arc<Live>> {
        self.context(address)?.live().cloned()
    }

    /// All contexts that are ours.
    pub fn lives(&self) -> Vec<Arc<Live>> {
        lock(&self.contexts).values().filter_map(|c| c.live().cloned()).collect()
    }

    /// Notes cells that are to be evaluated again before this thread's call to decode runs.
    pub fn queue_repair(&self, live: &Arc<Live>, repair: Repair) {
        lock(&self.repairs).push((std::thread::current().id(), live.clone(), repair));
    }

    /// Notes a context whose priors are to be measured before this thread's call to decode runs.
    pub fn queue_measure(&self, live: &Arc<Live>) {
        lock(&self.measures).push((std::thread::current().id(), live.clone()));
    }

    /// Takes the next of this thread's.
    pub fn next_measure(&self) -> Option<Arc<Live>> {
        let own = std::thread::current().id();
        let mut measures = lock(&self.measures);
        let at = measures.iter().position(|(thread, _)| *thread == own)?;
        Some(measures.remove(at).1)
    }

    /// Whether this thread has some.
    pub fn has_repairs(&self) -> bool {
        let own = std::thread::current().id();
        lock(&self.repairs).iter().any(|(thread, ..)| *thread == own)
    }

    /// Takes the next of this thread's.
    pub fn next_repair(&self) -> Option<(Arc<Live>, Repair)> {
        let own = std::thread::current().id();
        let mut repairs = lock(&self.repairs);
        let at = repairs.iter().position(|(thread, ..)| *thread == own)?;
        let (_, live, repair) = repairs.remove(at);
        Some((live, repair))
    }

    /// The context at `address`.
    pub fn context(&self, address: usize) -> Option<Arc<Context>> {
        lock(&self.contexts).get(&address).cloned()
    }
}

/// Locks, also after a panic of ours in another thread: what the lock protects is then still whole, because every
/// change under a lock is a single insertion or removal.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

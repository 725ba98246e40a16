//! A context that runs under profiles: its sequences, what each runs under, and what its graphs have in them.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicUsize},
};

use evenkeel_core::{
    contrast::Counterfactual,
    invariance::{MarkerTexts, Markers},
    lower::Contrasted as Nodes,
    model::ModelFacts,
    profile::Tokens,
    sequence::Phase,
};
use rustc_hash::FxHashMap;

use super::{
    Book, Choice, Contrasted, Contrasts, Instance, Origin, Regions, RowSlots, Sequence, Structure, Under, held::Pool,
    lock,
};
use crate::hook::{Constants, Host, Pieces, Vocab};

mod contrast;
mod cut;
mod feed;
mod kept;
mod memory;
mod plans;
mod region;
mod request;

pub use contrast::{MOST_ROWS, Said};
pub use cut::{Again, Prepared, Room};

/// A row of a micro-batch as the host describes it.
#[derive(Debug, Clone)]
pub struct RawRow {
    /// Its sequence.
    pub seq: i32,
    /// Further sequences that share its cell.
    pub others: Box<[i32]>,
    /// Its position.
    pub pos: i32,
    /// Its token, or what stands for one (see [`Cell::token`](evenkeel_core::sequence::Cell::token)).
    pub token: i32,
    /// Whether it gives output.
    pub output: bool,
}

/// A row of the micro-batch that is evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its sequence; of a row that nothing tells from the others, none.
    pub seq: i32,
    /// Its plan, by place in the structure; `None` for none.
    pub plan: Option<usize>,
    /// Its phase.
    pub phase: Phase,
    /// Its position.
    pub pos: i32,
    /// Its token.
    pub token: i32,
    /// Whether it gives output.
    pub output: bool,
    /// Whether it may only end.
    pub refused: bool,
    /// Which of its plan's texts its token completes, by bit.
    pub after: u64,
    /// Where what is held on it is kept.
    pub held: RowSlots,
}

impl Row {
    /// Whether a rule for `tokens` acts on it, `held` or not.
    pub fn takes(&self, tokens: Tokens, held: bool) -> bool {
        let within = match tokens {
            Tokens::After(text) => self.after.checked_shr(u32::from(text)).is_some_and(|bits| bits & 1 == 1),
            tokens => self.phase.within(tokens, self.pos),
        };
        within && (!held || self.held.read.is_some())
    }
}

/// A context of ours.
pub struct Live {
    /// Number for messages.
    pub id: u32,
    /// Its address.
    pub address: usize,
    /// Its model.
    pub facts: ModelFacts,
    /// Its llama.cpp.
    pub host: Arc<Host>,
    /// Its memory (`llama_memory_t`), once it is known; 0 before.
    pub memory: AtomicUsize,
    /// The scheduler that its last graph was handed to; 0 if none is known.
    pub sched: AtomicUsize,
    /// Whether partial removal leaves gaps in what it remembers: sliding windows, recurrent states.
    pub whole: bool,
    /// Its vectors on the host's devices.
    pub constants: Mutex<Constants>,
    /// The text of tokens, where there are routes.
    pub pieces: Pieces,
    /// What is added to the logits of a row that may only end; `None` where no token ends a generation.
    pub refusal: Option<Arc<[f32]>>,
    /// Whether a book waits to be taken up.
    pub has_next: AtomicBool,
    /// Whether its attention can be made independent of the order of segments, once that is known; why not.
    fit: OnceLock<Result<(), String>>,
    /// Segments whose order shall not count. Locked after `inner` where both are.
    regions: Mutex<Regions>,
    /// Whether a plan finds segments by markers.
    markers: AtomicBool,
    /// Whether a plan sets logits off.
    contrasting: AtomicBool,
    /// How it was made, where that could be read.
    origin: OnceLock<Origin>,
    /// The number of the context whose sequences it evaluates without their contexts or images, if that is what it is for.
    pub second_of: Option<u32>,
    /// What its rows are set off against. Locked after `inner` where both are.
    pub contrast: Mutex<Contrasts>,
    /// What came of that.
    pub contrasted: Contrasted,
    /// What markers of every kind are in the model's vocabulary.
    known_markers: Mutex<FxHashMap<MarkerTexts, Arc<Markers>>>,
    /// The tokens of what stands in the place of contexts.
    known_texts: Mutex<FxHashMap<String, Arc<[i32]>>>,
    inner: Mutex<Inner>,
}

/// What changes.
struct Inner {
    book: Arc<Book>,
    next: Option<Arc<Book>>,
    said_waits: bool,
    structure: Arc<Structure>,
    sequences: FxHashMap<i32, Sequence>,
    /// Calls to decode.
    call: u64,
    /// Rows of the micro-batch that is evaluated, for the structure of that version.
    rows: Arc<[Row]>,
    /// What held probes keep is found there.
    pool: Pool,
    /// Sequences whose rows decide something in the micro-batch that is evaluated, until that is sure.
    deciding: Vec<i32>,
    /// Graphs have plans of before a reload in them, until the last sequence that began with one has ended.
    outdated: bool,
    /// A sequence was given a plan of its own, so that not every row has the default.
    mixed: bool,
    /// What acts on logits is left out.
    second: bool,
    /// Of a second context: what the cells of its sequences are computed under.
    forced: FxHashMap<i32, Under>,
    /// Of the graph evaluated last.
    built: Option<Built>,
    refusal: Option<Arc<[f32]>>,
    totals: Totals,
}

/// What a graph was built for.
#[derive(PartialEq, Eq)]
struct Built {
    /// The structure.
    structure: u64,
    /// The signature of its regions.
    regions: u64,
    /// What it has to set logits off.
    contrast: Option<Nodes>,
    /// The second context's graph that is evaluated with it.
    beside: u64,
    /// The attention that it has, if not the model's own.
    attention: Option<Counterfactual>,
}

/// Sums over all sequences.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Requests that fed at least one row.
    pub requests: u64,
    /// Requests that could not be served as asked.
    pub refused: u64,
    /// Books that were taken up after the first.
    pub reloads: u64,
    /// Cells that were evaluated again.
    pub again: u64,
    /// Cells of another plan that had to stay.
    pub stale: u64,
}

/// A sequence whose cells are to be evaluated again.
pub struct Repair {
    /// The sequence.
    pub seq: i32,
    /// From this position on.
    pub from: i32,
    /// The tokens from there.
    pub tokens: Vec<i32>,
}

/// What a host's question about cells is answered with.
pub enum Kept {
    /// Nothing to say: ask the host.
    Fine,
    /// None of them can be kept.
    Nothing,
}

/// One sequence, for the counters.
pub struct Shown {
    /// Its number.
    pub seq: i32,
    /// The plan that its next row has.
    pub plan: Option<String>,
    /// Cells that it has.
    pub cells: i32,
    /// Requests that it had and that have ended.
    pub requests: u64,
}

impl Live {
    /// A context that begins with `book`.
    pub fn new(
        (id, address): (u32, usize),
        facts: ModelFacts,
        host: Arc<Host>,
        book: Arc<Book>,
        vocab: Vocab,
        whole: bool,
    ) -> Live {
        let mut inner = Inner {
            book,
            next: None,
            said_waits: false,
            structure: Arc::new(Structure::empty()),
            sequences: FxHashMap::default(),
            call: 0,
            rows: Arc::new([]),
            pool: Pool::default(),
            deciding: vec![],
            outdated: false,
            mixed: false,
            second: false,
            forced: FxHashMap::default(),
            built: None,
            refusal: None,
            totals: Totals::default(),
        };
        inner.restructure(&facts);
        let (memory, has_next) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (refusal, pieces) = (vocab.refusal(&host), Pieces::new(vocab));
        Live {
            id,
            address,
            facts,
            host,
            memory,
            sched: AtomicUsize::new(0),
            whole,
            constants: Mutex::default(),
            pieces,
            refusal,
            has_next,
            fit: OnceLock::new(),
            regions: Mutex::default(),
            markers: AtomicBool::new(false),
            contrasting: AtomicBool::new(false),
            origin: OnceLock::new(),
            second_of: None,
            contrast: Mutex::default(),
            contrasted: Contrasted::default(),
            known_markers: Mutex::default(),
            known_texts: Mutex::default(),
            inner: Mutex::new(inner),
        }
    }

    /// What graphs have in them from now on.
    pub fn structure(&self) -> Arc<Structure> {
        lock(&self.inner).structure.clone()
    }

    /// What sequences can run under.
    pub fn book(&self) -> Arc<Book> {
        lock(&self.inner).book.clone()
    }

    /// Every plan that is in force somewhere.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        let inner = lock(&self.inner);
        let mut list: Vec<Arc<Instance>> = inner.book.named.iter().map(|(_, i)| i.clone()).collect();
        for instance in &inner.structure.plans {
            if !list.iter().any(|i| Arc::ptr_eq(i, instance)) {
                list.push(instance.clone());
            }
        }
        list
    }

    /// The rows of the micro-batch that is evaluated, and what its graph should have in it.
    pub fn rows(&self) -> Arc<[Row]> {
        lock(&self.inner).rows.clone()
    }
}

fn add(list: &mut Vec<Arc<Instance>>, instance: &Arc<Instance>) {
    if !list.iter().any(|i| Arc::ptr_eq(i, instance)) {
        list.push(instance.clone());
    }
}

fn same(a: &Choice, b: &Choice) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

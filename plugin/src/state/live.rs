//! A context that runs under profiles: its sequences, what each runs under, and what its graphs have in them.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use evenkeel_core::{
    invariance::{MarkerTexts, Markers, Mode, Region},
    model::ModelFacts,
    profile::{OnError, Tokens},
    sequence::{Cell, Cells, MAX_POSITION, Phase, PlanId, UNKNOWN_TOKEN},
};
use rustc_hash::FxHashMap;

mod cut;

pub use cut::{Again, Prepared, Room};

use super::{
    Batch, Book, Choice, Instance, Pinned, Regions, RowSlots, Sequence, Structure, Wish,
    held::{self, Pool},
    instance::PLAIN,
    lock,
};
use crate::{
    guard::mutant,
    hook::{Constants, Host, Pieces, Vocab},
    log,
};

/// A row of a micro-batch as the host describes it.
#[derive(Debug, Clone)]
pub struct RawRow {
    /// Its sequence.
    pub seq: i32,
    /// Further sequences that share its cell.
    pub others: Box<[i32]>,
    /// Its position.
    pub pos: i32,
    /// Its token, or [`UNKNOWN_TOKEN`].
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
    /// What they are in the model's vocabulary.
    known_markers: Mutex<FxHashMap<MarkerTexts, Arc<Markers>>>,
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
    /// Of the graph evaluated last: the structure it was built with, and the signature of its regions.
    built: Option<(u64, u64)>,
    refusal: Option<Arc<[f32]>>,
    totals: Totals,
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
            whole,
            constants: Mutex::default(),
            pieces,
            refusal,
            has_next,
            fit: OnceLock::new(),
            regions: Mutex::default(),
            markers: AtomicBool::new(false),
            known_markers: Mutex::default(),
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

    /// Another set of profiles: taken up at the next call to decode, if there is room for it then.
    pub fn offer(&self, book: Arc<Book>) {
        let mut inner = lock(&self.inner);
        inner.next = Some(book);
        inner.said_waits = false;
        self.has_next.store(true, Ordering::Relaxed);
    }

    /// A call to decode begins. Returns the sequences to be looked at before, by [`Live::verify`].
    pub fn decode_begins(&self) -> Vec<i32> {
        let mut inner = lock(&self.inner);
        inner.call += 1;
        if self.has_next.load(Ordering::Relaxed) {
            self.take_up(&mut inner);
        }
        if inner.outdated {
            inner.restructure(&self.facts);
            let likely = inner.book.likely();
            inner.outdated = inner.structure.plans.iter().any(|p| !likely.iter().any(|l| Arc::ptr_eq(l, p)));
        }
        // Also those that need no look: the host may have removed cells of theirs where nobody saw it.
        let asked = |s: &Sequence| !s.deciding && !s.cells.is_empty();
        inner.sequences.iter().filter(|(_, s)| asked(s)).map(|(seq, _)| *seq).collect()
    }

    fn take_up(&self, inner: &mut Inner) {
        let Some(next) = inner.next.clone() else { return };
        let before = std::mem::replace(&mut inner.book, next);
        if inner.needed().len() > inner.book.max_plans {
            inner.book = before;
            if !std::mem::replace(&mut inner.said_waits, true) {
                log::warning!(
                    "context {}: the reloaded profiles wait until sequences under earlier ones have ended: a graph holds {} \
                     profiles at most (runtime.max-plans)",
                    self.id,
                    inner.book.max_plans
                );
            }
            return;
        }
        inner.next = None;
        self.has_next.store(false, Ordering::Relaxed);
        inner.totals.reloads += 1;
        inner.outdated = true;
        // A sequence that has a name for its wish means what is loaded under that name now.
        log::info!("context {} runs under the reloaded profiles; what was begun before goes on as it was", self.id);
    }

    /// Looks at the cells of a sequence, which ends at `end` by the host's word. What has to be evaluated again, if it can.
    pub fn verify(&self, seq: i32, end: i32) -> Option<Repair> {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        let id = self.id;
        let sequence = inner.sequences.get_mut(&seq)?;
        if sequence.cells.end() > end {
            // Removed where nobody saw it.
            let begins = sequence.removal_begins(end);
            sequence.cells.remove(end, -1);
            lock(&self.regions).remove(seq, end, -1);
            sequence.cut(end);
            if begins {
                ended(id, seq, sequence, &inner.book, &mut inner.totals);
                sequence.begin(None);
            }
        }
        if sequence.cells.end() < end.min(MAX_POSITION) {
            sequence.unverified = true;
            for pos in sequence.cells.end()..end.min(MAX_POSITION) {
                sequence.cells.put(pos, Cell::UNKNOWN);
            }
        }
        if sequence.cells.is_empty() || !sequence.unverified {
            sequence.unverified = false;
            return None;
        }
        inner.settle(seq, self);
        let sequence = inner.sequences.get_mut(&seq)?;
        sequence.unverified = false;
        sequence.mark(lock(&self.regions).evaluated(seq));
        let (stale, all) = (sequence.first_stale(), sequence.cells.end());
        if stale >= all || mutant("identity") {
            return None;
        }
        let from = if self.whole { 0 } else { stale };
        match sequence.cells.tokens_from(from) {
            Some(tokens) => Some(Repair { seq, from, tokens }),
            None => {
                let count = (all - stale) as u64;
                sequence.tally.stale += count;
                inner.totals.stale += count;
                log::warning!(
                    "context {id}, sequence {seq}: {count} cells were computed under another profile and stay, because their \
                     tokens are not known; feed the sequence from position 0 to change them"
                );
                None
            }
        }
    }

    /// Cells of a sequence were evaluated again.
    pub fn repaired(&self, repair: &Repair) {
        let mut inner = lock(&self.inner);
        let count = repair.tokens.len() as u64;
        inner.totals.again += count;
        if let Some(sequence) = inner.sequences.get_mut(&repair.seq) {
            sequence.tally.again += count;
            sequence.await_last();
        }
    }

    /// Cells of a sequence were not evaluated again: they are looked at once more.
    pub fn put_off(&self, repair: &Repair) {
        if let Some(sequence) = lock(&self.inner).sequences.get_mut(&repair.seq) {
            sequence.unverified = true;
        }
    }

    /// Cells from a position on are about to be evaluated again. Returns the region of segments among them that is to be fed
    /// as a whole.
    pub fn repairing(&self, repair: &Repair) -> Option<Region> {
        if let Some(sequence) = lock(&self.inner).sequences.get_mut(&repair.seq) {
            lock(&self.regions).again(repair.seq, repair.from);
            sequence.cells.remove(repair.from, -1);
            sequence.cut(repair.from);
            sequence.await_last();
        }
        let found = self.has_markers().then(|| self.region_of(repair.seq, repair.from, &repair.tokens)).flatten();
        found.or_else(|| lock(&self.regions).announced(repair.seq))
    }

    /// A micro-batch is about to be evaluated: its rows are the sequences' next cells. True if its graph needs another
    /// structure than the one before.
    pub fn feed(&self, raw: &[RawRow]) {
        let book = self.book();
        let pieces = |token: i32| self.pieces.get(&self.host, token, !book.routes.is_empty());
        let texts: Vec<Option<Arc<[u8]>>> =
            raw.iter().map(|r| (!book.routes.is_empty()).then(|| pieces(r.token))).collect();
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        inner.undecide();
        for r in raw {
            inner.settle(r.seq, self);
        }
        inner.feed_regions(raw, self);
        let call = inner.call;
        let last: FxHashMap<i32, usize> = raw.iter().enumerate().map(|(i, r)| (r.seq, i)).collect();
        let mut fed: Vec<(Choice, Row)> = Vec::with_capacity(raw.len());
        for (i, (r, text)) in raw.iter().zip(&texts).enumerate() {
            let Some(sequence) = inner.sequences.get_mut(&r.seq) else { continue };
            let Some(pinned) = sequence.pinned.clone() else { continue };
            sequence.deciding = false;
            if sequence.cells.is_empty() {
                // None was another plan's: what this request computes needs no second look.
                sequence.unverified = false;
            }
            if sequence.cells.end() > r.pos {
                sequence.cells.remove(r.pos, -1);
                sequence.cut(r.pos);
            }
            let plan = pinned.plan(&sequence.router, r.pos).filter(|p| !p.plan.is_empty());
            let refused = pinned.refused;
            let phase = sequence.phase(call, r.output && last.get(&r.seq) == Some(&i));
            let identity = sequence.marked(r.pos, plan.as_ref().map_or(PLAIN, |p| p.identity(phase)));
            let slots = held::slots(&mut sequence.held, &inner.pool, &plan, phase, r.pos);
            if slots.write.is_some() {
                inner.deciding.push(r.seq);
            }
            sequence.cells.put(r.pos, Cell { token: r.token, identity });
            let after = plan.as_ref().map_or(0, |p| self.after(&p.plan.after, &sequence.cells, r.pos));
            if let (Some(book), Some(text)) = (&pinned.routes, text) {
                sequence.router.feed(&book.routes, r.pos, text);
            }
            if let Some(plan) = plan.as_ref().filter(|_| log::enabled(log::Level::Debug)) {
                sequence.acted.add(plan, phase, r.pos);
            }
            match phase {
                Phase::Generated => {
                    sequence.tally.generated += 1;
                    sequence.generated_from.get_or_insert(r.pos);
                }
                Phase::Prompt | Phase::Last => sequence.tally.prompt += 1,
            }
            if r.output && sequence.output_call.is_none() {
                sequence.output_call = Some(call);
            }
            // What one row decides holds in all its sequences.
            let decided = (phase == Phase::Last).then(|| sequence.held.clone()).flatten();
            for other in &r.others {
                let other = inner.sequences.entry(*other).or_default();
                other.cells.put(r.pos, Cell { token: r.token, identity });
                if let Some(decided) = &decided {
                    (other.output_call, other.held) = (Some(call), Some(decided.clone()));
                }
            }
            let (seq, pos, token, output) = (r.seq, r.pos, r.token, r.output);
            fed.push((plan, Row { seq, plan: None, phase, pos, token, output, refused, after, held: slots }));
        }
        let missing = |(plan, row): &(Choice, Row)| {
            plan.as_ref().is_some_and(|p| inner.structure.position(p).is_none())
                || row.refused && !inner.structure.refusal
        };
        let single = inner.structure.alone && fed.iter().any(|(plan, _)| plan.is_none());
        let refusing = inner.structure.refusal;
        if single || fed.iter().any(missing) || refusing && !inner.refuses() {
            inner.mixed |= single;
            inner.restructure(&self.facts);
        }
        let place = |(plan, row): (Choice, Row)| {
            let plan = plan.and_then(|p| inner.structure.position(&p));
            Row { plan, ..row }
        };
        inner.rows = fed.into_iter().map(place).collect();
    }

    /// Which of these texts the token at `pos` completes, by bit.
    fn after(&self, texts: &[String], cells: &Cells, pos: i32) -> u64 {
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        let (mut tail, mut at): (Vec<u8>, i32) = (Vec::new(), pos);
        while tail.len() < longest && at >= 0 {
            let Some(cell) = cells.get(at) else { break };
            let piece = self.pieces.get(&self.host, cell.token, true);
            if piece.is_empty() && cell.token == UNKNOWN_TOKEN {
                break;
            }
            tail.splice(0..0, piece.iter().copied());
            at -= 1;
        }
        let ends = |(i, text): (usize, &String)| u64::from(tail.ends_with(text.as_bytes())) << i;
        texts.iter().enumerate().map(ends).fold(0, |all, bit| all | bit)
    }

    /// Whether the graph that was evaluated last may be evaluated again.
    pub fn may_reuse(&self) -> bool {
        let inner = lock(&self.inner);
        let signature = lock(&self.regions).signature();
        inner.built == Some((inner.structure.version, signature))
    }

    /// A graph of the current structure is built, to be evaluated.
    pub fn built(&self) {
        let mut inner = lock(&self.inner);
        let signature = lock(&self.regions).signature();
        inner.built = Some((inner.structure.version, signature));
    }

    /// What rows of the micro-batch decide is written where they say: it is certain to be evaluated.
    pub fn decided(&self) {
        lock(&self.inner).deciding.clear();
    }

    /// A request begins on a sequence; `wish` is what it asks for itself.
    pub fn begin(&self, seq: i32, wish: Option<Wish>, announced: bool) {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        let sequence = inner.sequences.entry(seq).or_default();
        ended(self.id, seq, sequence, &inner.book, &mut inner.totals);
        sequence.begin(wish);
        sequence.announced |= announced;
        sequence.deciding = announced;
    }

    /// The beginning of a sequence's requests is announced from now on; the host does not ask which cells it may keep.
    pub fn announce(&self, seq: i32) {
        if let Some(sequence) = lock(&self.inner).sequences.get_mut(&seq) {
            (sequence.announced, sequence.deciding) = (true, false);
        }
    }

    /// Code chooses for a sequence, from its next row on; `None`: the default.
    pub fn choose(&self, seq: i32, name: Option<&str>) -> Result<(), String> {
        let mut inner = lock(&self.inner);
        let wish = match name {
            None => Wish::Default,
            Some(name) if inner.book.find(name).is_some() => Wish::Named(name.to_owned()),
            Some(name) => {
                let names: Vec<&str> = inner.book.named.iter().map(|(n, _)| n.as_str()).collect();
                return Err(format!("no such profile is loaded, got \"{name}\", allowed: {}, off", names.join(", ")));
            }
        };
        let inner = &mut *inner;
        let sequence = inner.sequences.entry(seq).or_default();
        ended(self.id, seq, sequence, &inner.book, &mut inner.totals);
        sequence.chosen = wish;
        sequence.begin(None);
        Ok(())
    }

    /// What a request of a client's that names `name` gets.
    pub fn wish(&self, name: &str) -> Wish {
        let inner = lock(&self.inner);
        if !inner.book.choose.iter().any(|n| n == name) {
            let allowed = if inner.book.choose.is_empty() { "nothing".into() } else { inner.book.choose.join(", ") };
            return Wish::Refused(format!("a request chose \"{name}\", allowed: {allowed} ([requests] choose)"));
        }
        Wish::Named(name.to_owned())
    }

    /// Whether the host may keep the cells of a sequence whose request has just begun.
    pub fn may_keep(&self, seq: i32) -> Kept {
        let mut inner = lock(&self.inner);
        let deciding = |s: &Sequence| s.deciding && !s.cells.is_empty();
        if !inner.sequences.get(&seq).is_some_and(deciding) || mutant("identity") {
            return Kept::Fine;
        }
        inner.settle(seq, self);
        let Some(sequence) = inner.sequences.get_mut(&seq) else { return Kept::Fine };
        sequence.mark(lock(&self.regions).evaluated(seq));
        let stale = sequence.first_stale();
        let lost = stale < sequence.cells.end() && sequence.cells.tokens_from(stale).is_none();
        if stale == 0 || lost { Kept::Nothing } else { Kept::Fine }
    }

    /// Applies what the host does to the cells of one sequence.
    pub fn cells(&self, seq: i32, act: impl Fn(&mut Cells)) {
        let book = self.book();
        let mut pieces = |token| self.pieces.get(&self.host, token, !book.routes.is_empty());
        self.prefetch(seq, &book);
        let mut inner = lock(&self.inner);
        let Some(sequence) = inner.sequences.get_mut(&seq) else { return };
        let end = sequence.cells.end();
        act(&mut sequence.cells);
        let by = sequence.cells.end() - end;
        if let Some(held) = &mut sequence.held {
            held.moved(by);
        }
        sequence.route_again(&book.routes, &mut pieces);
    }

    /// Cells `p0..p1` of a sequence (all sequences if it is negative) are removed.
    pub fn remove(&self, seq: i32, p0: i32, p1: i32) {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        for (found, sequence) in inner.sequences.iter_mut().filter(|(s, _)| seq < 0 || **s == seq) {
            let end = sequence.cells.end();
            let tail = p1 < 0 || p1 >= end;
            let begins = tail && sequence.removal_begins(p0.max(0));
            sequence.cells.remove(p0, p1);
            lock(&self.regions).remove(*found, p0, p1);
            if tail {
                sequence.cut(p0.max(0));
            }
            sequence.deciding = false;
            if begins {
                ended(self.id, *found, sequence, &inner.book, &mut inner.totals);
                sequence.begin(None);
            }
        }
    }

    /// All cells but those of one sequence are gone.
    pub fn keep(&self, seq: i32) {
        let others: Vec<i32> = lock(&self.inner).sequences.keys().copied().filter(|s| *s != seq).collect();
        others.into_iter().for_each(|other| self.remove(other, -1, -1));
    }

    /// Cells of one sequence are also another's.
    pub fn copy(&self, from: i32, to: i32, p0: i32, p1: i32) {
        if from == to {
            return;
        }
        let book = self.book();
        self.prefetch(from, &book);
        let mut pieces = |token| self.pieces.get(&self.host, token, !book.routes.is_empty());
        let mut inner = lock(&self.inner);
        inner.settle(from, self);
        inner.settle(to, self);
        let Some(source) = inner.sequences.get(&from) else { return };
        let (cells, begun, pinned) = (source.cells.clone(), source.output_call, source.pinned.clone());
        let held = source.held.clone();
        let Some(sequence) = inner.sequences.get_mut(&to) else { return };
        sequence.cells.copy(&cells, p0, p1);
        lock(&self.regions).copy(from, to, p0, p1);
        // One request that goes on in several sequences (a server's parallel completions) began once.
        let together =
            sequence.announced && pinned.zip(sequence.pinned.clone()).is_some_and(|(a, b)| same(&a.base, &b.base));
        sequence.unverified = !together;
        if together {
            (sequence.output_call, sequence.held) = (begun, held);
        }
        sequence.route_again(&book.routes, &mut pieces);
    }

    /// A sequence has these cells now, restored from elsewhere. `partial`: only what cannot be rolled back came, so that a
    /// cell is known only where both agree.
    pub fn restore(&self, seq: i32, cells: Cells, partial: bool) {
        let book = self.book();
        let mut inner = lock(&self.inner);
        let sequence = inner.sequences.entry(seq).or_default();
        if partial {
            let both: Vec<_> = sequence.cells.iter().map(|(pos, now)| (pos, now, cells.get(pos))).collect();
            for (pos, now, restored) in both {
                if let (Some(mut now), Some(restored)) = (now, restored)
                    && now.identity != restored.identity
                {
                    now.identity.plan = PlanId::UNKNOWN;
                    sequence.cells.put(pos, now);
                }
            }
        } else {
            sequence.cells = cells;
            sequence.await_last();
        }
        lock(&self.regions).disturb(seq, "its cells were restored from elsewhere");
        sequence.unverified = true;
        drop(inner);
        if !book.routes.is_empty() {
            self.cells(seq, |_| {});
        }
    }

    /// Nothing is known of any sequence's cells any more.
    pub fn forget(&self) {
        let mut inner = lock(&self.inner);
        let mut regions = lock(&self.regions);
        regions.sequences().into_iter().for_each(|seq| regions.disturb(seq, "its cells were restored from elsewhere"));
        drop(regions);
        for sequence in inner.sequences.values_mut() {
            for pos in 0..sequence.cells.end() {
                sequence.cells.put(pos, Cell::UNKNOWN);
            }
            sequence.await_last();
            sequence.unverified = true;
        }
    }

    /// Says which tokens of a sequence, not fed yet, are segments; `None` takes it back.
    ///
    /// # Errors
    /// If the sequence's plan does not speak of segments, or cells of the region are there already.
    pub fn set_region(&self, seq: i32, region: Option<Region>) -> Result<(), String> {
        if region.is_some()
            && let Some(Err(why)) = self.fit.get()
        {
            return Err(format!("this context's attention cannot be made independent of their order: {why}"));
        }
        let mut inner = lock(&self.inner);
        inner.settle(seq, self);
        if region.is_some() && inner.mode(seq).is_none() {
            return Err(format!("sequence {seq} runs under a profile without [invariance], or under none"));
        }
        let cells = inner.sequences.get(&seq).map_or(0, |s| s.cells.end());
        lock(&self.regions).announce(seq, region, cells)
    }

    /// Takes note of whether its attention fits. True if that was not known.
    pub fn fits(&self, found: Result<(), String>) -> bool {
        self.fit.set(found).is_ok()
    }

    /// Whether its attention is known to fit.
    pub fn is_fit(&self) -> bool {
        matches!(self.fit.get(), Some(Ok(())))
    }

    /// What the micro-batch that is evaluated has to do with regions of segments.
    pub fn batch(&self) -> Option<Arc<Batch>> {
        lock(&self.regions).batch()
    }

    /// The positions of a sequence's cells change: what was kept of its region does not fit them any more.
    pub fn disturb(&self, seq: i32) {
        lock(&self.regions).disturb(seq, "the positions of its cells were changed");
    }

    /// The cells of a sequence.
    pub fn cells_of(&self, seq: i32) -> Cells {
        lock(&self.inner).sequences.get(&seq).map(|s| s.cells.clone()).unwrap_or_default()
    }

    /// The sequences, for the counters, and the sums over them.
    pub fn shown(&self) -> (Vec<Shown>, Totals) {
        let inner = lock(&self.inner);
        let show = |(seq, s): (&i32, &Sequence)| Shown {
            seq: *seq,
            plan: s.pinned.as_ref().map(|p| inner.book.name_of(&p.plan(&s.router, s.cells.end())).to_owned()),
            cells: s.cells.end(),
            requests: s.requests,
        };
        let mut list: Vec<Shown> = inner.sequences.iter().map(show).collect();
        list.sort_by_key(|s| s.seq);
        (list, inner.totals)
    }

    /// The texts of a sequence's tokens, asked of the host before the lock is taken.
    fn prefetch(&self, seq: i32, book: &Book) {
        if book.routes.is_empty() {
            return;
        }
        for (_, cell) in self.cells_of(seq).iter() {
            self.pieces.get(&self.host, cell.map_or(UNKNOWN_TOKEN, |c| c.token), true);
        }
    }
}

impl Inner {
    /// What rows of the last micro-batch should have decided and nobody evaluated is not decided.
    fn undecide(&mut self) {
        for seq in std::mem::take(&mut self.deciding) {
            if let Some(sequence) = self.sequences.get_mut(&seq) {
                sequence.held = None;
            }
        }
    }

    /// Decides what a sequence's request runs under, if that is not decided yet.
    fn settle(&mut self, seq: i32, live: &Live) {
        let sequence = self.sequences.entry(seq).or_insert_with(|| {
            let mut new = Sequence::default();
            new.begin(None);
            new.unverified = false;
            new
        });
        if sequence.pinned.is_some() {
            return;
        }
        let wish = sequence.wish().clone();
        let routes = (!self.book.routes.is_empty()).then(|| self.book.clone());
        let pinned = match wish {
            Wish::Default => Pinned { base: self.book.default.clone(), routes, refused: false },
            Wish::Named(name) => match self.book.find(&name) {
                Some(choice) => {
                    self.mixed |= !same(&choice, &self.book.default);
                    Pinned { base: choice, routes: None, refused: false }
                }
                None => self.refuse(seq, live, &format!("\"{name}\" is not loaded any more")),
            },
            Wish::Refused(why) => self.refuse(seq, live, &why),
        };
        let room = {
            let mut needed = self.pinned_plans(Some(seq));
            pinned.plans().for_each(|p| add(&mut needed, p));
            needed.len() <= self.book.max_plans
        };
        let pinned = if room || pinned.refused {
            pinned
        } else {
            let why = format!("a graph holds {} profiles at most (runtime.max-plans)", self.book.max_plans);
            self.refuse(seq, live, &why)
        };
        let sequence = self.sequences.entry(seq).or_default();
        sequence.pinned = Some(pinned);
    }

    /// What a sequence's plan makes of segments.
    fn mode(&self, seq: i32) -> Option<Mode> {
        let sequence = self.sequences.get(&seq)?;
        let pinned = sequence.pinned.as_ref().filter(|p| !p.refused)?;
        pinned.plan(&sequence.router, sequence.cells.end())?.plan.invariance.as_ref().map(|i| i.mode)
    }

    /// Takes note of what a micro-batch has to do with regions, and refuses the sequences whose regions cannot be served.
    fn feed_regions(&mut self, raw: &[RawRow], live: &Live) {
        let mut regions = lock(&live.regions);
        for (seq, why) in regions.feed(raw, |seq| self.mode(seq)) {
            let pinned = self.refuse(seq, live, &why);
            if let Some(sequence) = self.sequences.get_mut(&seq) {
                sequence.pinned = Some(pinned);
            }
        }
        for r in raw {
            if let Some(sequence) = self.sequences.get_mut(&r.seq) {
                sequence.mark(regions.evaluated(r.seq));
            }
        }
    }

    /// What a sequence gets that cannot be served as asked.
    fn refuse(&mut self, seq: i32, live: &Live, why: &str) -> Pinned {
        self.totals.refused += 1;
        self.mixed = true;
        let refusal = match self.book.on_error {
            OnError::Bypass => None,
            OnError::Refuse => live.refusal.clone(),
        };
        let what = match (&refusal, self.book.on_error) {
            (Some(_), _) => "it can only end (on-error = \"refuse\")",
            (None, OnError::Bypass) => "it runs without a profile (on-error = \"bypass\")",
            (None, OnError::Refuse) => {
                "it runs without a profile, because this model has no token that ends a generation"
            }
        };
        log::error!("context {}, sequence {seq}: {why}: {what}", live.id);
        let refused = refusal.is_some();
        self.refusal = refusal.or_else(|| self.refusal.take());
        Pinned { base: None, routes: None, refused }
    }

    /// Whether a sequence may only end.
    fn refuses(&self) -> bool {
        self.sequences.values().any(|s| s.pinned.as_ref().is_some_and(|p| p.refused))
    }

    /// The plans that sequences with an open request or with cells hold on to, but for one of them.
    fn pinned_plans(&self, but: Option<i32>) -> Vec<Arc<Instance>> {
        let mut plans = Vec::new();
        for (_, sequence) in self.sequences.iter().filter(|(seq, _)| Some(**seq) != but) {
            sequence.pinned.iter().flat_map(Pinned::plans).for_each(|p| add(&mut plans, p));
        }
        plans
    }

    /// The plans that graphs must have: those of sequences, and the default.
    fn needed(&self) -> Vec<Arc<Instance>> {
        let mut plans = self.pinned_plans(None);
        self.book.default.iter().filter(|p| !p.plan.is_empty()).for_each(|p| add(&mut plans, p));
        plans
    }

    /// Decides anew what graphs have in them: what is needed, and as much of what may come as there is room for.
    fn restructure(&mut self, facts: &ModelFacts) {
        let needed = self.needed();
        let mut plans: Vec<Arc<Instance>> = Vec::new();
        // In the order they have, so that an unchanged set is the same structure.
        let likely = self.book.likely();
        let wanted = |p: &Arc<Instance>| needed.iter().chain(&likely).any(|w| Arc::ptr_eq(w, p));
        self.structure.plans.iter().filter(|p| wanted(p)).for_each(|p| add(&mut plans, p));
        needed.iter().for_each(|p| add(&mut plans, p));
        likely.iter().for_each(|p| add(&mut plans, p));
        while plans.len() > self.book.max_plans {
            let spare = plans.iter().rposition(|p| !needed.iter().any(|n| Arc::ptr_eq(n, p)));
            let Some(spare) = spare else { break };
            plans.remove(spare);
        }
        let alone = plans.len() == 1
            && !self.mixed
            && self.book.is_uniform()
            && self.book.default.as_ref().is_some_and(|d| Arc::ptr_eq(d, &plans[0]));
        let refusal = self.refusal.as_ref().filter(|_| self.refuses());
        let unchanged = plans.len() == self.structure.plans.len()
            && plans.iter().zip(&self.structure.plans).all(|(a, b)| Arc::ptr_eq(a, b))
            && alone == self.structure.alone
            && refusal.is_some() == self.structure.refusal;
        if !unchanged {
            let version = self.structure.version + 1;
            self.structure = Arc::new(Structure::new(version, facts, plans, alone, refusal));
        }
    }
}

/// Says what a request came to, and adds it to the sums.
fn ended(context: u32, seq: i32, sequence: &Sequence, book: &Book, totals: &mut Totals) {
    let t = sequence.tally;
    if t.rows() == 0 {
        return;
    }
    totals.requests += 1;
    let plan = sequence.pinned.as_ref().map(|p| p.plan(&sequence.router, sequence.cells.end()));
    log::debug!(
        "context {context}, sequence {seq}: request {} ran under `{}`: {} prompt rows, {} generated, {} cells evaluated again, \
         {} left as another profile made them{}",
        sequence.requests + 1,
        plan.as_ref().map_or("off", |p| book.name_of(p)),
        t.prompt,
        t.generated,
        t.again,
        t.stale,
        sequence.acted
    );
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

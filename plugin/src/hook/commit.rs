//! A patch, committed: its memory, its nodes, and what is kept of it.

use std::{
    mem::ManuallyDrop,
    sync::{Arc, atomic::Ordering},
};

use evenkeel_core::{
    lower::{Leaf, Patch, SlotTable, Substitution},
    plan::{GateSource, HELD_SLOTS, RuleIndex},
    sequence::is_token,
};
use evenkeel_ffi::generated::types::*;

use super::{
    attach, capacity,
    computed::{Computed, Found},
    constant::Wanted,
    contrast,
    counted::Counted,
    edit::Editor,
    fallback,
    gate::Gates,
    index::Indices,
    library::Host,
    observe::Observer,
    slots,
    view::{Viewed, holds},
};
use crate::{
    log,
    state::{self, Against, Context, Live, Row, Structure, lock},
};

/// What is kept of a rewritten graph until the host builds the next one at the same address, or frees its scheduler.
pub struct RewrittenGraph {
    host: Arc<Host>,
    /// The metadata of all tensors that were added.
    ctx: *mut ggml_context,
    /// The scheduler it was last handed to.
    pub sched: usize,
    /// Whose graph it is.
    pub context: Arc<Context>,
    /// What it has in it.
    structure: Arc<Structure>,
    /// What its rules are counted by.
    counted: Counted,
    /// The host's inputs of token numbers and positions, with their lengths.
    tokens: Option<(*mut ggml_tensor, usize)>,
    positions: Option<(*mut ggml_tensor, usize)>,
    /// A node that was added, and its place: tells this graph from another one at the same address.
    anchor: (i32, *mut ggml_tensor),
    gates: Option<Gates>,
    /// Where held probes are kept.
    slots: Vec<slots::Inputs>,
    /// The gate table of a graph that nobody feeds between two evaluations.
    computed: Option<Computed>,
    /// What its rows are set off against.
    against: Option<contrast::Inputs>,
    /// What its attention weights are drawn from.
    cells: Option<contrast::Cells>,
    /// What is evaluated in its place.
    joined: Option<contrast::Joined>,
    /// What rules with a learned prior are shown their rows by; held for as long as the graph.
    observers: Vec<(RuleIndex, Arc<Observer>)>,
    /// Held for as long as the graph.
    _indices: Option<Indices>,
}

// SAFETY: the metadata has no thread affinity, and a graph is only touched under the state's lock.
unsafe impl Send for RewrittenGraph {}

impl Drop for RewrittenGraph {
    fn drop(&mut self) {
        // SAFETY: made in `commit`, freed once; the host has reset or freed the graph whose nodes lie here.
        unsafe { (self.host.lib.ggml.ggml_free)(self.ctx) }
    }
}

/// What can go wrong after the lowering succeeded. The graph is then still as the host built it.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// No memory for constants.
    #[error(transparent)]
    Constants(#[from] super::constant::NoMemory),
    /// No memory for the gate table.
    #[error("a gate table of {0} rows and {1} rules could not be allocated")]
    Gates(u32, u16),
    /// No memory for row numbers.
    #[error("{0} bytes for row numbers could not be allocated")]
    Indices(usize),
    /// No memory for what attention weights are drawn from.
    #[error("{0} bytes for attention weights could not be allocated")]
    Cells(usize),
    /// The distance to a cell is a part of its score.
    #[error(
        "attention weights of this model depend on distances by themselves (ALiBi), so there are no others in their place"
    )]
    Biased,
    /// Nothing to set rows off against.
    #[error("the second context's graph is not there")]
    Beside,
    /// No memory for what rows are set off against.
    #[error("{0} bytes for what logits are set off against could not be allocated")]
    Against(usize),
    /// No memory for the slots of held probes.
    #[error("slots of {0} rows could not be allocated")]
    Slots(u32),
    /// No operation of our own.
    #[error("method = \"online\" needs ggml_custom_4d, which this ggml does not have")]
    Observers,
    /// No memory for metadata.
    #[error("{0} bytes for graph metadata could not be allocated")]
    Metadata(usize),
}

/// Whether the plan's constants get memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The graph is only measured: nothing is allocated that is not there yet.
    Measure,
    /// The graph will be evaluated, or memory is reserved for one that will.
    Allocate,
}

/// Applies `patch` to `graph`; `None` if it has no edits.
///
/// # Errors
/// [`CommitError`], before the graph was touched.
///
/// # Safety
/// `viewed` is a current view of `graph`, `patch` was lowered from it, and no other thread uses the graph.
pub unsafe fn commit(
    host: &Arc<Host>,
    graph: *mut ggml_cgraph,
    viewed: &Viewed,
    patch: &Patch,
    (context, live, structure): (&Arc<Context>, &Live, &Arc<Structure>),
    pass: Pass,
) -> Result<Option<RewrittenGraph>, CommitError> {
    if patch.substitutions.is_empty() {
        return Ok(None);
    }
    // SAFETY: the caller's promise; the context made here has room for every tensor that the patch adds.
    unsafe {
        let lib = &host.lib;
        let scratch = patch.substitutions.len();
        let n_tensors = patch.new_nodes() + patch.new_leafs() + scratch + 8;
        let mem_size = n_tensors * (lib.ggml.ggml_tensor_overhead)();
        let params = ggml_init_params { mem_size, mem_buffer: std::ptr::null_mut(), no_alloc: true };
        let attached = attach::attached(live.address);
        let mut leafs = constants(host, viewed, patch, live, pass)?;
        let indices = Indices::new(host, patch).map_err(CommitError::Indices)?;
        for (at, tensor) in indices.iter().flat_map(|indices| &indices.tensors) {
            leafs[*at] = *tensor;
        }
        let against = contrast::Inputs::new(host, patch).map_err(CommitError::Against)?;
        for (at, tensor) in against.iter().flat_map(contrast::Inputs::tensors) {
            leafs[at] = tensor;
        }
        let cells = contrast::Cells::new(host, viewed, patch).map_err(CommitError::Cells)?;
        for (at, tensor) in cells.iter().flat_map(contrast::Cells::tensors) {
            leafs[at] = tensor;
        }
        if patch.substitutions.iter().any(|s| replaces_weights(s) && is_biased(viewed.tensor(s.target))) {
            return Err(CommitError::Biased);
        }
        for (slot, _) in leafs.iter_mut().zip(&patch.leafs).filter(|(_, leaf)| matches!(leaf, Leaf::Beside { .. })) {
            let beside = live.beside().ok_or(CommitError::Beside)?;
            *slot = lock(&beside).logits;
        }
        let gates = match patch.gates {
            Some(_) if attached.is_some() => None,
            Some(g) => Some(Gates::new(host, g.n_tokens, g.n_gates).ok_or(CommitError::Gates(g.n_tokens, g.n_gates))?),
            None => None,
        };
        let input = |t: &SlotTable| slots::Inputs::new(host, *t).ok_or(CommitError::Slots(t.n_rows));
        let slots = match (&attached, patch.gates) {
            (Some(_), Some(_)) => vec![],
            _ => patch.slots.iter().map(input).collect::<Result<_, _>>()?,
        };
        if patch.observes().next().is_some() && host.lib.sampler.is_none() {
            return Err(CommitError::Observers);
        }
        let counted = Counted::new(patch, structure);
        let input = |id| (viewed.tensor(id), viewed.view.tensor(id).ne[0] as usize);
        let [tokens, positions] = ["inp_tokens", "inp_pos"].map(|name| viewed.view.leaf(name).map(input));
        let ctx = (lib.ggml.ggml_init)(params);
        if ctx.is_null() {
            return Err(CommitError::Metadata(mem_size));
        }
        // A panic from here on leaves tensors of this context in the host's graph: it must then never be freed.
        let mut rewritten = ManuallyDrop::new(RewrittenGraph {
            host: host.clone(),
            ctx,
            sched: 0,
            context: context.clone(),
            structure: structure.clone(),
            counted,
            tokens,
            positions,
            anchor: (0, std::ptr::null_mut()),
            gates,
            slots,
            computed: None,
            against,
            cells,
            joined: None,
            observers: vec![],
            _indices: indices,
        });
        if let (Some(g), Some(attached)) = (patch.gates, attached) {
            let whose = (attached, context, structure);
            let computed = Computed::new(host, ctx, viewed, (g.n_tokens, g.n_gates, &patch.slots), whose);
            rewritten.computed = Some(computed.ok_or(CommitError::Gates(g.n_tokens, g.n_gates))?);
        }
        let found = rewritten.computed.as_ref().map(Computed::found);
        rewritten.observers = observers(patch, structure, context, found.as_ref());
        let observers = rewritten.observers.clone();
        let mut editor = Editor::new(host, graph, ctx, viewed, leafs, &observers);
        editor.add_leafs(patch);
        if let Some(gates) = &rewritten.gates {
            editor.add_leaf(gates.tensor());
        }
        if let Some(computed) = &rewritten.computed {
            editor.add_table(computed.tensor, patch.substitutions[0].target);
            for tables in &computed.slots {
                editor.add_slots(*tables, Some(patch.substitutions[0].target));
            }
        }
        for inputs in &rewritten.slots {
            editor.add_slots(inputs.tables(), None);
        }
        for (place, substitution) in patch.substitutions.iter().enumerate() {
            editor.substitute(place, substitution);
        }
        if pass == Pass::Allocate {
            context.fallbacks.get_or_init(|| fallback::found(host, viewed, patch, editor.made(), context));
        }
        rewritten.anchor = editor.finish();
        Ok(Some(ManuallyDrop::into_inner(rewritten)))
    }
}

/// Whether a substitution puts other attention weights in the place of the model's.
fn replaces_weights(s: &Substitution) -> bool {
    s.name.starts_with("kq_soft_max-")
}

/// Whether a softmax has a bias on distances: its second number is the largest.
unsafe fn is_biased(softmax: *const ggml_tensor) -> bool {
    // SAFETY: the caller's promise: a node of the graph.
    f32::from_bits(unsafe { (*softmax).op_params[1] } as u32) != 0.0
}

/// One for each rule that is shown rows.
fn observers(
    patch: &Patch,
    structure: &Structure,
    context: &Arc<Context>,
    found: Option<&Found>,
) -> Vec<(RuleIndex, Arc<Observer>)> {
    let observer = |rule| {
        let (plan, own) = structure.merged.as_ref()?.origin(rule);
        let instance = structure.plans.get(plan)?;
        Some((rule, Arc::new(Observer::new(context.clone(), (instance, plan), own, found.cloned())?)))
    };
    patch.observes().filter_map(observer).collect()
}

/// The tensors of the patch's constants; null where a measured graph needs one that is not allocated.
unsafe fn constants(
    host: &Arc<Host>,
    viewed: &Viewed,
    patch: &Patch,
    live: &Live,
    pass: Pass,
) -> Result<Vec<*mut ggml_tensor>, CommitError> {
    let mut store = lock(&live.constants);
    let near = |id: &Option<_>| id.map_or(std::ptr::null_mut(), |id| viewed.tensor(id));
    let wanted: Vec<Wanted> = patch
        .leafs
        .iter()
        .filter_map(|leaf| match leaf {
            Leaf::Constant { name, data, rows, near: id } => {
                Some(Wanted { name, data, rows: *rows, held: false, near: near(id) })
            }
            Leaf::Held { name, state, near: id } => {
                Some(Wanted { name, data: state, rows: HELD_SLOTS, held: true, near: near(id) })
            }
            _ => None,
        })
        .collect();
    if pass == Pass::Allocate {
        for (place, bytes) in store.ensure(host, &wanted)? {
            log::debug!("{:.2} MiB of vectors in {place}", bytes as f64 / f64::from(1 << 20));
        }
    }
    let tensor = |leaf: &Leaf| match leaf {
        Leaf::Constant { data, .. } | Leaf::Held { state: data, .. } => store.get(data).unwrap_or(std::ptr::null_mut()),
        _ => std::ptr::null_mut(),
    };
    Ok(patch.leafs.iter().map(tensor).collect())
}

impl RewrittenGraph {
    /// Lets go of the plans of a graph that is not evaluated again, because a later structure's was handed to the scheduler.
    pub fn retire(&mut self, now: &Arc<Structure>) {
        if self.structure.version < now.version {
            self.structure = Arc::new(Structure::empty());
            self.counted = Counted::default();
        }
    }

    /// True if `graph` is this graph, and not another one that the host built at its address.
    ///
    /// # Safety
    /// `graph` is a valid graph of the same library, used by the calling thread only.
    pub unsafe fn is_current(&self, graph: *mut ggml_cgraph) -> bool {
        // SAFETY: the caller's promise.
        unsafe { holds(&self.host.lib, graph, self.anchor) }
    }

    /// Writes the gate table for the evaluation that follows and counts what the rules do in it. False if `graph` is
    /// another graph by now.
    ///
    /// # Safety
    /// As [`Self::is_current`], and the calling thread is about to evaluate the graph.
    pub unsafe fn before_compute(&mut self, graph: *mut ggml_cgraph) -> bool {
        // SAFETY: the caller's promise.
        if !unsafe { self.is_current(graph) } {
            return false;
        }
        let Some(live) = self.context.live() else { return false };
        let rows = live.rows();
        // SAFETY: the caller's promise: the host has set its inputs.
        let known = unsafe { self.are_these(&rows) };
        if !known {
            state::get().trouble.unread.fetch_add(1, Ordering::Relaxed);
            if !self.context.said.swap(true, Ordering::Relaxed) {
                log::error!(
                    "context {}: the rows of a micro-batch are not those that its graph was given: rules with a gate leave \
                     them alone",
                    self.context.id
                );
            }
        }
        let rows = if known { &rows[..] } else { &[] };
        if known && !self.slots.is_empty() {
            live.decided();
        }
        self.slots.iter_mut().for_each(|inputs| inputs.write(rows));
        let of = live.against();
        let of: &[Option<Against>] = if known { &of } else { &[] };
        if let Some(against) = &mut self.against {
            against.write(of);
        }
        if let Some(cells) = &mut self.cells {
            // SAFETY: the caller's promise: the host has set the graph's inputs.
            unsafe { cells.write(rows, lock(&live.contrast).positions()) };
        }
        // Which output row each row is.
        let outputs = rows.iter().scan(0, |n, row| {
            *n += usize::from(row.output);
            Some(row.output.then(|| *n - 1))
        });
        let said: Vec<Option<&Against>> =
            if of.is_empty() { vec![] } else { outputs.map(|at| of.get(at?)?.as_ref()).collect() };
        if live.second_of.is_none() {
            self.counted.count(&self.structure, rows, &said);
        }
        if let (Some(gates), Some(merged)) = (&mut self.gates, &self.structure.merged) {
            let structure = &self.structure;
            gates.write(|gate, i| match (rows.get(i), merged.gates.get(gate)) {
                (Some(row), Some(source)) => value(structure, row, *source, said.get(i).copied().flatten()),
                _ => 0.0,
            });
        }
        true
    }

    /// Joins the graph, which is about to be allocated, with that of the second context: returns what is allocated and evaluated in
    /// its place.
    ///
    /// # Errors
    /// [`contrast::JoinError`]
    ///
    /// # Safety
    /// As [`Self::before_compute`], of the graph that this was made of just now.
    pub unsafe fn join(
        &mut self,
        graph: *mut ggml_cgraph,
        live: &Live,
    ) -> Result<*mut ggml_cgraph, contrast::JoinError> {
        let beside = live.beside().ok_or(contrast::JoinError::Gone)?;
        let room = capacity::of(self.sched).unwrap_or(0);
        // SAFETY: the caller's promise; the second context waits for this one.
        let joined = unsafe { contrast::Joined::new(&self.host, graph, &mut lock(&beside), room)? };
        Ok(self.joined.insert(joined).graph)
    }

    /// What is evaluated in its place, if there is something, for the evaluation that follows.
    ///
    /// # Errors
    /// If the other graph in it is gone.
    pub fn joined(&self) -> Option<Result<*mut ggml_cgraph, contrast::JoinError>> {
        let joined = self.joined.as_ref()?;
        let live = self.context.live()?;
        let current = live.beside().is_some_and(|beside| lock(&beside).number == joined.number);
        let mut contrasts = lock(&live.contrast);
        if !current || !std::mem::take(&mut contrasts.waits) {
            return Some(Err(contrast::JoinError::Gone));
        }
        contrasts.runs = true;
        Some(Ok(joined.graph))
    }

    /// Counts one evaluation of these rows.
    pub fn count(&self, rows: &[Row]) {
        self.counted.count(&self.structure, rows, &[]);
    }

    /// Whether the host's own input has the tokens of these rows.
    ///
    /// # Safety
    /// As [`Self::before_compute`].
    unsafe fn are_these(&self, rows: &[Row]) -> bool {
        if self.gates.as_ref().is_some_and(|gates| gates.n_tokens() != rows.len()) {
            return false;
        }
        // With several positions per row, those along the sequence come first.
        let positions = || rows.iter().map(|row| row.pos);
        let tokens = || rows.iter().map(|row| row.token);
        // SAFETY: the caller's promise.
        let same = unsafe { self.holds(self.positions, rows.len(), positions) };
        // SAFETY: as above.
        same && (tokens().any(|t| !is_token(t)) || unsafe { self.holds(self.tokens, rows.len(), tokens) })
    }

    /// Whether an input of the host's begins with these numbers; true if the graph does not use it.
    ///
    /// # Safety
    /// As [`Self::before_compute`].
    unsafe fn holds<I: Iterator<Item = i32>>(
        &self,
        input: Option<(*mut ggml_tensor, usize)>,
        n: usize,
        numbers: impl Fn() -> I,
    ) -> bool {
        let Some((tensor, length)) = input else { return true };
        if length < n {
            return false;
        }
        let mut found = vec![0i32; n];
        // SAFETY: the tensor is I32 with at least n elements; unused inputs have no buffer.
        unsafe {
            if (*tensor).buffer.is_null() || (*tensor).data.is_null() {
                return true;
            }
            let bytes = size_of_val(&*found);
            (self.host.lib.backend.ggml_backend_tensor_get)(tensor, found.as_mut_ptr().cast(), 0, bytes);
        }
        found.into_iter().eq(numbers())
    }
}

/// The value of a gate on a row; `said`: what the row is set off against.
pub fn value(structure: &Structure, row: &Row, source: GateSource, said: Option<&Against>) -> f32 {
    match source {
        GateSource::Plan(plan) => f32::from(row.plan == Some(plan)),
        GateSource::Rule(plan, rule) if row.plan == Some(plan) => {
            let instance = &structure.plans[plan];
            let typed = &instance.plan.rules[usize::from(rule.0)];
            if instance.prior(rule).is_some_and(|(prior, how)| !prior.is_used(how)) {
                return 0.0;
            }
            if instance.of_request().contains(&rule) && said.is_none_or(|said| said.prior(rule).is_none()) {
                return 0.0;
            }
            let strength = typed.gate.map_or(0.0, |gate| instance.strength(usize::from(gate.0)));
            if row.takes(typed.tokens, typed.held) { strength } else { 0.0 }
        }
        GateSource::Prior(plan, rule, label) if row.plan == Some(plan) => {
            if let Some(gates) = said.and_then(|said| said.prior(rule)) {
                return gates[usize::from(label)];
            }
            structure.plans[plan].prior(rule).map_or(0.0, |(prior, how)| prior.gate(usize::from(label), how))
        }
        GateSource::Rule(..) | GateSource::Prior(..) => 0.0,
        GateSource::Refused => f32::from(row.refused),
    }
}

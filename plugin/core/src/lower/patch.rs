//! The edits of one graph, as data.

use std::{fmt, sync::Arc};

use super::graph::TensorId;
use crate::plan::{GateIndex, HELD_SLOTS, ProbeIndex, RuleIndex, Site};

/// A tensor that brings data into the graph.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Leaf {
    /// F32 `[n / rows, rows]`, the same in every graph of the context: kept on the device of `near`.
    Constant {
        /// Unique within the plan; the same constant has the same name in every graph.
        name: String,
        /// The values.
        data: Arc<[f32]>,
        /// 1 for a vector.
        rows: u32,
        /// A weight that lives where this constant should.
        near: Option<TensorId>,
    },
    /// I32 `[n, rows]`: the same numbers in every row, in memory of the graph's own.
    Index {
        /// Unique within the plan.
        name: String,
        /// The numbers.
        data: Arc<[i32]>,
        /// Rows of the graph.
        rows: u32,
    },
    /// F32 `[width, rows]`, or I32: written before every evaluation, in memory of the graph's own.
    PerRow {
        /// What it holds.
        what: PerRow,
        /// Values of a row.
        width: u32,
        /// Rows of the logits.
        rows: u32,
    },
    /// `[n_cells, n_rows]`, written before every evaluation, in memory of the graph's own: F32 logarithms of random shares of
    /// the cells that each row may attend to, or I32 the cells whose weights they get.
    Cells {
        /// The mask that says which cells those are: F32 or F16 `[n_cells, at least n_rows]`.
        mask: TensorId,
        /// The cells that the rows' own keys are written to.
        written: TensorId,
        /// Shares or cells.
        order: bool,
        /// Cells of the cache.
        n_cells: u32,
        /// Rows of the micro-batch.
        n_rows: u32,
    },
    /// F32 `[width, n]`: the logits of another graph, which is evaluated with this one, before what reads them.
    Beside {
        /// Values of a row.
        width: u32,
    },
    /// F32 `[1, HELD_SLOTS]`: what a probe's decisions are kept in between two evaluations, in every graph of the context
    /// the same. On the device of `near`, or where it can be written.
    Held {
        /// Unique within the plan.
        name: String,
        /// What it begins with; zeros follow.
        state: Arc<[f32]>,
        /// A weight that lives where this tensor should.
        near: Option<TensorId>,
    },
}

/// What a contrast needs of each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PerRow {
    /// The negated logits of the request without its contexts or images.
    MinusWithout,
    /// The row of [`Leaf::Beside`] that has those logits: an I32.
    Place,
    /// How far the row is moved from those.
    Coefficient,
    /// How far below its best logit others may lie.
    Reach,
}

impl PerRow {
    /// A name for tensors.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinusWithout => "ek.minus-without",
            Self::Place => "ek.place",
            Self::Coefficient => "ek.coefficient",
            Self::Reach => "ek.reach",
        }
    }
}

/// Which slots of held probes the rows of a micro-batch write and read, written before every evaluation: I64 `[n_rows]`
/// where, and I32 `[n_rows, 3 + n_scans]` the others, in the order of [`Slots`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotTable {
    /// Whether these are the output rows only.
    pub output_only: bool,
    /// Rows.
    pub n_rows: u32,
    /// Steps from a row to its predecessors.
    pub n_scans: u32,
}

/// Numbers of slots, or of rows, one per row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// The slot that it writes.
    Write,
    /// The slot that it reads after all have written.
    Read,
    /// The slot with what holds before it, if no row of the micro-batch decides that.
    Before,
    /// A slot with 1 if a row of the micro-batch does, else one with 0.
    Follows,
    /// The row, of this micro-batch, that decides `2^n` steps before it, or itself if there is none.
    Back(u8),
}

impl SlotTable {
    /// Steps that `n_rows` rows can need.
    pub fn scans(n_rows: u32) -> u32 {
        u32::BITS - n_rows.saturating_sub(1).leading_zeros()
    }
}

/// The per-row gate table: F32 `[1, n_tokens, n_gates]`, written before every evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateTable {
    /// Rows of the micro-batch.
    pub n_tokens: u32,
    /// Rules that have a gate.
    pub n_gates: u16,
}

/// What a new node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ref {
    /// The clone of the substituted node: its value before this patch.
    Original,
    /// What the substituted node reads as its second source.
    Input,
    /// [`Patch::leafs`]
    Leaf(u32),
    /// [`Substitution::nodes`] of the same substitution.
    Node(u32),
    /// [`Patch::gates`], by gate: F32 `[1, n_rows]`, for all rows.
    Gate(GateIndex),
    /// As `Gate`, for the output rows only.
    OutputGate(GateIndex),
    /// Several gates, from one on, F32 `[number, n_rows]`, for all rows.
    Gates(GateIndex, u16),
    /// As `Gates`, for the output rows only.
    OutputGates(GateIndex, u16),
    /// What a probe said, F32 `[1, n_rows]`: [`Substitution::taps`] of this or an earlier substitution.
    Tap(ProbeIndex),
    /// As `Tap`, of the output rows, where the probe read all rows.
    OutputTap(ProbeIndex),
    /// [`Patch::slots`], of all rows.
    Slots(Slots),
    /// As `Slots`, of the output rows only.
    OutputSlots(Slots),
}

/// One new node: one of ggml's own operations.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum NewNode {
    /// `ggml_add(a, b)`; `b` is repeated over the rows of `a`.
    Add(Ref, Ref),
    /// `ggml_mul(a, b)`; `b` is repeated over the rows, or over the columns, of `a`.
    Mul(Ref, Ref),
    /// `ggml_mul_mat(a, b)`: `[k, n]` and `[k, rows]` become `[n, rows]`.
    MulMat(Ref, Ref),
    /// `ggml_repeat(a, b)`: `a` in the shape of `b`.
    Repeat(Ref, Ref),
    /// `ggml_repeat_4d(a, …)`: `a` in this shape.
    RepeatTo(Ref, [i64; 4]),
    /// `ggml_reshape_4d(a, …)`: the same values in this shape. Never the last node.
    Reshape(Ref, [i64; 4]),
    /// `ggml_get_rows(a, index)`: `[n, all, rows]` and `[k, rows]` become `[n, k, rows]`.
    GetRows(Ref, Ref),
    /// `ggml_set_rows(a, b, index)`, in place: `a` is a new node or what is held, and all else that reads it as it was comes
    /// before. Never the last.
    SetRows(Ref, Ref, Ref),
    /// `ggml_soft_max(a)`, of each row.
    SoftMax(Ref),
    /// `ggml_soft_max_ext(a, mask, 1, 0)`: of what the mask lets pass.
    SoftMaxOf(Ref, Ref),
    /// `ggml_permute(a, …)`: where each dimension goes. Never the last node.
    Permute(Ref, [u8; 4]),
    /// `ggml_log(a)`
    Log(Ref),
    /// `ggml_argmax(a)`: `[n, rows]` becomes I32 `[rows]`, the place of the largest value of each row.
    Argmax(Ref),
    /// `ggml_sum_rows(a)`: `[n, rows]` becomes `[1, rows]`.
    SumRows(Ref),
    /// `ggml_scale_bias(a, scale, bias)`: `scale · a + bias`.
    Scale(Ref, f32, f32),
    /// `ggml_relu(a)`
    Relu(Ref),
    /// `ggml_sqrt(a)`
    Sqrt(Ref),
    /// `ggml_step(a)`: 1 above 0, else 0; also for what is no number.
    Step(Ref),
    /// `ggml_sigmoid(a)`
    Sigmoid(Ref),
    /// `ggml_cont(a)`: a copy.
    Copy(Ref),
    /// `ggml_clamp(a, min, max)`, in place: `a` has no other reader.
    Clamp(Ref, f32, f32),
    /// `ggml_custom_4d`, on the CPU: shows a rule whose prior is learned the labels' shares, `[labels, rows]`, of the rows
    /// where the second, `[1, rows]`, is not 0. Nothing reads it, and it is never the last node.
    Observe(Ref, Ref, RuleIndex),
}

impl NewNode {
    /// What it reads.
    pub fn reads(&self) -> impl Iterator<Item = Ref> {
        let (a, b) = match *self {
            NewNode::Add(a, b) | NewNode::Mul(a, b) | NewNode::MulMat(a, b) => (a, Some(b)),
            NewNode::Repeat(a, b) | NewNode::GetRows(a, b) | NewNode::Observe(a, b, _) => (a, Some(b)),
            NewNode::SoftMaxOf(a, b) => (a, Some(b)),
            NewNode::Permute(a, _) => (a, None),
            // The index is a leaf, or slots.
            NewNode::SetRows(a, b, _) => (a, Some(b)),
            NewNode::RepeatTo(a, _) | NewNode::Reshape(a, _) | NewNode::SoftMax(a) | NewNode::Log(a) => (a, None),
            NewNode::SumRows(a) | NewNode::Argmax(a) | NewNode::Scale(a, ..) | NewNode::Clamp(a, ..) => (a, None),
            NewNode::Relu(a) | NewNode::Sqrt(a) | NewNode::Step(a) | NewNode::Sigmoid(a) | NewNode::Copy(a) => {
                (a, None)
            }
        };
        let c = if let NewNode::SetRows(.., c) = *self { Some(c) } else { None };
        std::iter::once(a).chain(b).chain(c)
    }
}

/// `target` becomes the last of `nodes`, which read its clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Substitution {
    /// The node whose value changes.
    pub target: TensorId,
    /// Its name, for messages and names of new nodes.
    pub name: String,
    /// Where the plan has it.
    pub site: Site,
    /// Block, from 0.
    pub layer: u32,
    /// Rows of the target.
    pub n_rows: u32,
    /// Whether these are the output rows only.
    pub output_only: bool,
    /// In order; never empty. The last has the target's shape.
    pub nodes: Vec<NewNode>,
    /// Which of `nodes` hold what a probe said.
    pub taps: Vec<(ProbeIndex, u32)>,
    /// The rules that act here.
    pub rules: Vec<RuleIndex>,
}

/// The edits of one graph.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Patch {
    /// New leafs.
    pub leafs: Vec<Leaf>,
    /// The gate table, if any rule needs it.
    pub gates: Option<GateTable>,
    /// For held probes: at most one for all rows, and one for the output rows.
    pub slots: Vec<SlotTable>,
    /// In order of execution.
    pub substitutions: Vec<Substitution>,
}

impl Patch {
    /// Nodes that the graph gains. A substitution of `n` nodes adds `n`: the clone, and all but the last.
    pub fn new_nodes(&self) -> usize {
        let per_row = |r: &Ref| match r {
            Ref::Gate(_) | Ref::OutputTap(_) | Ref::Slots(_) | Ref::OutputSlots(_) => 1,
            Ref::OutputGate(_) => 2,
            // A view, a copy of it, and that in another shape.
            Ref::Gates(..) => 3,
            Ref::OutputGates(..) => 4,
            _ => 0,
        };
        let substituted = self.substitutions.iter().map(|s| s.nodes.len()).sum::<usize>();
        let shared = self.shared_reads().iter().map(per_row).sum::<usize>();
        substituted + shared
    }

    /// Leafs that the graph gains.
    pub fn new_leafs(&self) -> usize {
        self.leafs.len() + usize::from(self.gates.is_some()) + 2 * self.slots.len()
    }

    /// What substitutions read that is not their own, gates and taps, each once, in order of first use.
    pub fn shared_reads(&self) -> Vec<Ref> {
        let mut shared: Vec<Ref> = Vec::new();
        for r in self.substitutions.iter().flat_map(|s| &s.nodes).flat_map(NewNode::reads) {
            let own = matches!(r, Ref::Original | Ref::Input | Ref::Leaf(_) | Ref::Node(_));
            if !own && !shared.contains(&r) {
                shared.push(r);
            }
        }
        shared
    }

    /// The rules that are shown rows.
    pub fn observes(&self) -> impl Iterator<Item = RuleIndex> {
        let rule = |node: &NewNode| if let NewNode::Observe(.., rule) = node { Some(*rule) } else { None };
        self.substitutions.iter().flat_map(|s| &s.nodes).filter_map(rule)
    }

    /// True if the gate table is read.
    pub fn reads_gates(&self) -> bool {
        self.shared_reads()
            .iter()
            .any(|r| matches!(r, Ref::Gate(_) | Ref::OutputGate(_) | Ref::Gates(..) | Ref::OutputGates(..)))
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write => f.write_str("slots to write"),
            Self::Read => f.write_str("slots to read"),
            Self::Before => f.write_str("slots of before"),
            Self::Follows => f.write_str("slots that say whether it follows"),
            Self::Back(n) => write!(f, "rows {} before", 1u32 << n),
        }
    }
}

impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} new nodes, {} new leafs", self.new_nodes(), self.new_leafs())?;
        if let Some(g) = self.gates {
            writeln!(f, "gates: f32 [1, {}, {}], written before every evaluation", g.n_tokens, g.n_gates)?;
        }
        for SlotTable { output_only, n_rows, n_scans } in &self.slots {
            let of = if *output_only { " of the output rows" } else { "" };
            writeln!(
                f,
                "slots{of}: i64 [{n_rows}] and i32 [{n_rows}, {}], written before every evaluation",
                3 + n_scans
            )?;
        }
        for s in &self.substitutions {
            writeln!(f, "{} ({} rows):", s.name, s.n_rows)?;
            writeln!(f, "  x = clone of {}", s.name)?;
            for (i, node) in s.nodes.iter().enumerate() {
                let name = if i + 1 == s.nodes.len() { s.name.clone() } else { format!("n{i}") };
                let probe = s.taps.iter().find(|(_, node)| *node as usize == i);
                let tap = probe.map_or(String::new(), |(p, _)| format!("  (probe {})", p.0));
                writeln!(f, "  {name} = {}{tap}", self.operation(node))?;
            }
        }
        Ok(())
    }
}

impl Patch {
    fn operation(&self, node: &NewNode) -> String {
        let of = |r: &Ref| self.operand(*r);
        match node {
            NewNode::Add(a, b) => format!("ADD({}, {})", of(a), of(b)),
            NewNode::Mul(a, b) => format!("MUL({}, {})", of(a), of(b)),
            NewNode::MulMat(a, b) => format!("MUL_MAT({}, {})", of(a), of(b)),
            NewNode::Repeat(a, b) => format!("REPEAT({}, {})", of(a), of(b)),
            NewNode::RepeatTo(a, ne) => format!("REPEAT({}, {ne:?})", of(a)),
            NewNode::Reshape(a, ne) => format!("RESHAPE({}, {ne:?})", of(a)),
            NewNode::GetRows(a, i) => format!("GET_ROWS({}, {})", of(a), of(i)),
            NewNode::SetRows(a, b, i) => format!("SET_ROWS({}, {}, {})", of(a), of(b), of(i)),
            NewNode::SoftMax(a) => format!("SOFT_MAX({})", of(a)),
            NewNode::SoftMaxOf(a, mask) => format!("SOFT_MAX({}, {})", of(a), of(mask)),
            NewNode::Permute(a, to) => format!("PERMUTE({}, {to:?})", of(a)),
            NewNode::Log(a) => format!("LOG({})", of(a)),
            NewNode::Argmax(a) => format!("ARGMAX({})", of(a)),
            NewNode::SumRows(a) => format!("SUM_ROWS({})", of(a)),
            NewNode::Scale(a, scale, bias) => format!("SCALE({}, {scale}, {bias})", of(a)),
            NewNode::Relu(a) => format!("RELU({})", of(a)),
            NewNode::Sqrt(a) => format!("SQRT({})", of(a)),
            NewNode::Step(a) => format!("STEP({})", of(a)),
            NewNode::Sigmoid(a) => format!("SIGMOID({})", of(a)),
            NewNode::Copy(a) => format!("CONT({})", of(a)),
            NewNode::Clamp(a, min, max) => format!("CLAMP({}, {min}, {max})", of(a)),
            NewNode::Observe(a, b, rule) => format!("CUSTOM({}, {}): seen by rule {}", of(a), of(b), rule.0),
        }
    }

    fn operand(&self, r: Ref) -> String {
        match r {
            Ref::Original => "x".into(),
            Ref::Input => "what it reads".into(),
            Ref::Leaf(i) => match &self.leafs[i as usize] {
                Leaf::Constant { name, data, rows: 1, .. } => format!("{name} [{}]", data.len()),
                Leaf::Constant { name, data, rows, .. } => format!("{name} [{}, {rows}]", data.len() / *rows as usize),
                Leaf::Index { name, data, rows } => format!("{name} [{}, {rows}]", data.len()),
                Leaf::PerRow { what, width, rows } => format!("{} [{width}, {rows}]", what.name()),
                Leaf::Cells { order, n_cells, n_rows, .. } => {
                    format!("{} [{n_cells}, {n_rows}]", if *order { "ek.cells" } else { "ek.shares" })
                }
                Leaf::Beside { width } => format!("logits beside [{width}, ..]"),
                Leaf::Held { name, .. } => format!("{name} [1, {HELD_SLOTS}]"),
            },
            Ref::Node(i) => format!("n{i}"),
            Ref::Gate(g) => format!("gate {}", g.0),
            Ref::OutputGate(g) => format!("gate {} of the output rows", g.0),
            Ref::Gates(g, n) => format!("gates {} to {}", g.0, g.0 + n - 1),
            Ref::OutputGates(g, n) => format!("gates {} to {} of the output rows", g.0, g.0 + n - 1),
            Ref::Tap(p) => format!("probe {}", p.0),
            Ref::OutputTap(p) => format!("probe {} of the output rows", p.0),
            Ref::Slots(slots) => slots.to_string(),
            Ref::OutputSlots(slots) => format!("{slots} of the output rows"),
        }
    }
}

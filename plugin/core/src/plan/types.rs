//! The plan's types: immutable, printable, hashable.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::calibrate::{Calibration, Correction};
use super::hold::Hold;
use crate::{
    asset::Weight,
    contrast::Contrast,
    invariance::Invariance,
    model::ModelFacts,
    profile::{Operator, Tokens},
};

/// Index into [`Plan::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleIndex(pub u16);

/// Row of the gate table: one per rule whose effect can differ between rows or change between evaluations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GateIndex(pub u16);

/// Index into [`Plan::probes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeIndex(pub u16);

/// A place in a block where a rule can act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Site {
    /// The product of one of the model's matrices with what it reads: `[outputs, n_rows]`.
    Product(Weight),
    /// What attention computes, head by head, before the output projection mixes it: `head size · heads` values a row.
    Heads,
    /// What a block's attention adds to the residual stream, `[n_embd, n_rows]`: after a norm that follows the output
    /// projection, where the architecture has one (gemma).
    AttnOut,
    /// What a block's feed-forward network adds to the residual stream, all experts together; after a norm that follows.
    FfnOut,
    /// The residual stream after a block: llama.cpp's `l_out-<layer>`, shape `[n_embd, n_rows]`.
    Residual,
    /// The normed residual stream that the output matrix reads: llama.cpp's `result_norm`. It counts as part of the last
    /// block.
    FinalNorm,
    /// What the host samples from: `result_output`, shape `[n_vocab, n_rows]`. The layer is the model's number of layers.
    Logits,
}

/// One rule of the profile as it will act, in file order.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The rule's name: logs, counters and messages use it.
    pub name: String,
    /// What it does, as the profile says it.
    pub operator: Operator,
    /// Its dose: for add a factor on the direction in the direction's own units, for project a fraction, else 1.
    pub strength: f32,
    /// The row of the gate table that scales this rule, if its dose can change while the model runs or differs between
    /// tokens.
    pub gate: Option<GateIndex>,
    /// Whether the strength can change while the model runs.
    pub adjustable: bool,
    /// Which tokens it acts on.
    pub tokens: Tokens,
    /// Whether its condition is decided at the last prompt row, so that it leaves the rows before it alone.
    pub held: bool,
    /// Where it acts.
    pub site: Site,
    /// Layers it acts on, ascending, without duplicates. Empty if the rule was dropped (see `dropped`).
    pub layers: Vec<u32>,
    /// Why the planner dropped this rule, for example `strength 0`.
    pub dropped: Option<String>,
}

/// One step at a site.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Term {
    /// `x += vector` on every row: the constant adds of `rules`, summed in file order in F32. Never all zero.
    AddConst {
        /// The rules that were summed.
        rules: Vec<RuleIndex>,
        /// `n_embd` finite values, strength included.
        vector: Arc<[f32]>,
    },
    /// `x += dose(row) · vector`: a dose of 0 leaves the row as it is.
    AddGated {
        /// The rules: more than one only where a constant sum got a gate.
        rules: Vec<RuleIndex>,
        /// What scales it.
        dose: Dose,
        /// `n_embd` finite values; the strength is included if no gate holds it.
        vector: Arc<[f32]>,
    },
    /// A low-rank update that reads the row it changes.
    Update {
        /// The rules: more than one where several are algebraically one update.
        rules: Vec<RuleIndex>,
        /// What scales it.
        dose: Dose,
        /// What is read and written.
        update: Update,
    },
    /// The output of attention heads times a scale each: `x_h *= 1 + dose(row) · (scale_h − 1)`.
    ScaleHeads {
        /// The rules: more than one where several always hold.
        rules: Vec<RuleIndex>,
        /// What scales the change.
        dose: Dose,
        /// By head; never empty, and no scale is 1.
        heads: BTreeMap<u32, f32>,
    },
    /// `y += dose(row) · b·(a·x)`, for a product `y = Wx`.
    Edit {
        /// The rules: more than one only where several plans are one.
        rules: Vec<RuleIndex>,
        /// What scales it.
        dose: Dose,
        /// Rows of `a`, columns of `b`.
        rank: u32,
        /// `rank` rows of inputs; finite.
        a: Arc<[f32]>,
        /// A row of `rank` values per output; finite, the strength included if no gate holds it.
        b: Arc<[f32]>,
    },
    /// A calibration of labels; only at [`Site::Logits`].
    Calibrate {
        /// The rule.
        rules: Vec<RuleIndex>,
        /// What scales it: rows with 0 keep every bit.
        dose: Dose,
        /// The first of the gates that hold what is added to the logarithms of the labels' shares, one per label.
        prior: Option<GateIndex>,
        /// The calibration.
        calibration: Arc<Calibration>,
    },
    /// Reads the row as it is at this point for a probe, and changes nothing.
    Tap {
        /// The probe.
        probe: ProbeIndex,
    },
}

/// What scales a term, row by row: the product of its parts, 1 if it has none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dose {
    /// The row of the gate table that holds the rule's strength.
    pub gate: Option<GateIndex>,
    /// What the row's own activations say.
    pub when: Option<When>,
}

impl Dose {
    /// True if every row gets the whole term.
    pub fn is_whole(&self) -> bool {
        self.gate.is_none() && self.when.is_none()
    }
}

/// A condition on a row: a value from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum When {
    /// What a probe says.
    Probe(ProbeIndex),
    /// The product of several.
    All(Vec<When>),
    /// `1 − Π (1 − w)`.
    Any(Vec<When>),
    /// `1 − w`.
    Not(Box<When>),
}

/// What a probe computes from a row `x`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Probe {
    /// `step(w · x + bias)`, or `σ(w · x + bias)` if it is soft.
    Linear {
        /// `n_embd` finite values.
        weights: Arc<[f32]>,
        /// The probe's bias less the threshold.
        bias: f32,
        /// σ instead of the step.
        soft: bool,
        /// If it is asked at the last prompt row.
        hold: Option<Hold>,
    },
    /// `step(cos(x, direction) − above)`, after CAST (Lee et al. 2024): 0 for a row of zeros.
    Similarity {
        /// `n_embd` finite values of norm 1.
        direction: Arc<[f32]>,
        /// The threshold, above −1 and below 1.
        above: f32,
        /// If it is asked at the last prompt row.
        hold: Option<Hold>,
    },
}

impl Probe {
    /// If it is asked at the last prompt row.
    pub fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Linear { hold, .. } | Self::Similarity { hold, .. } => hold.as_ref(),
        }
    }
}

impl When {
    /// Calls `f` with every probe in it.
    pub(super) fn probes(&self, f: &mut impl FnMut(ProbeIndex)) {
        match self {
            Self::Probe(probe) => f(*probe),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.probes(f)),
            Self::Not(part) => part.probes(f),
        }
    }

    /// The same, to change them.
    pub(super) fn probes_mut(&mut self, f: &mut impl FnMut(&mut ProbeIndex)) {
        match self {
            Self::Probe(probe) => f(probe),
            Self::All(parts) | Self::Any(parts) => parts.iter_mut().for_each(|part| part.probes_mut(f)),
            Self::Not(part) => part.probes_mut(f),
        }
    }
}

impl Term {
    /// What scales it, if anything can.
    pub fn dose(&self) -> Option<&Dose> {
        match self {
            Term::AddGated { dose, .. }
            | Term::Update { dose, .. }
            | Term::ScaleHeads { dose, .. }
            | Term::Edit { dose, .. }
            | Term::Calibrate { dose, .. } => Some(dose),
            Term::AddConst { .. } | Term::Tap { .. } => None,
        }
    }

    /// The rules that act in it.
    pub fn rules(&self) -> &[RuleIndex] {
        match self {
            Term::AddConst { rules, .. }
            | Term::AddGated { rules, .. }
            | Term::Update { rules, .. }
            | Term::ScaleHeads { rules, .. }
            | Term::Edit { rules, .. }
            | Term::Calibrate { rules, .. } => rules,
            Term::Tap { .. } => &[],
        }
    }
}

/// A low-rank update of every row `x`: with `u_i = reads_i · x` and `z = map(u)`, `x += gate · Σ_j z_j · writes_j`.
///
/// All coefficients are read from the same `x`, before any of them is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Vectors of `n_embd` finite values, one per coefficient that is read.
    pub reads: Vec<Arc<[f32]>>,
    /// Vectors of `n_embd` finite values, one per coefficient that is written.
    pub writes: Vec<Arc<[f32]>>,
    /// From what is read to what is written.
    pub map: Map,
}

/// How an [`Update`] comes from the coefficients it reads to those it writes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Map {
    /// `z = M·u + c`: projection, affine eraser, rotation in a plane.
    Linear {
        /// `M`, row after row: as many rows as `writes`, as many columns as `reads`.
        matrix: Vec<f32>,
        /// `c`, as many as `writes`.
        offset: Vec<f32>,
    },
    /// `z_i = clip(u_i, min, max) − u_i`.
    Clamp {
        /// Lower bound, if there is one.
        min: Option<f32>,
        /// Upper bound, if there is one.
        max: Option<f32>,
    },
    /// `z = factor · |x|` for every vector that is written; nothing is read but the row's length.
    Norm {
        /// The share of the length.
        factor: f32,
    },
    /// `z_i = target − relu(u_i + bias)`: a sparse autoencoder's feature, held at a value.
    Feature {
        /// The encoder's bias.
        bias: f32,
        /// The value that the feature shall have.
        target: f32,
    },
}

/// Everything that happens at one site of one layer, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct SitePlan {
    /// Where.
    pub site: Site,
    /// Block index, from 0.
    pub layer: u32,
    /// What, in order; never empty.
    pub terms: Vec<Term>,
}

/// A profile, validated against one model.
///
/// Immutable and shared between threads by [`Arc`].
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The profile's name.
    pub profile: String,
    /// The model it was validated against.
    pub model: ModelFacts,
    /// All rules of the profile, in file order, dropped ones included.
    pub rules: Vec<Rule>,
    /// What rules are gated by. Each stands as a [`Term::Tap`] at a layer before, or at, the rule's first.
    pub probes: Vec<Probe>,
    /// Number of rows of the gate table.
    pub n_gates: u16,
    /// Texts after which rules act.
    pub after: Vec<String>,
    /// What happens where, ascending by (layer, site).
    pub sites: Vec<SitePlan>,
    /// What attention makes of segments; `None` for what the model does.
    pub invariance: Option<Invariance>,
    /// What logits are set off against; `None` for nothing.
    pub contrast: Option<Contrast>,
}

impl Plan {
    /// Whether something is held from a sequence's last prompt row on; and whether it can change after that.
    pub fn holds(&self) -> (bool, bool) {
        let holds = || self.probes.iter().filter_map(Probe::hold);
        (holds().next().is_some(), holds().any(|hold| hold.below.is_some()))
    }

    /// The calibration of a rule.
    pub fn calibration(&self, rule: RuleIndex) -> Option<&Arc<Calibration>> {
        self.sites.iter().flat_map(|site| &site.terms).find_map(|term| match term {
            Term::Calibrate { rules, calibration, .. } if rules.contains(&rule) => Some(calibration),
            _ => None,
        })
    }

    /// Labels of a rule whose prior is known only while the model runs; 0 of every other.
    pub(super) fn labels_of_prior(&self, rule: RuleIndex) -> u16 {
        let moves = |c: &Calibration| {
            matches!(
                c.correction,
                Correction::Online(_) | Correction::ContentFree { .. } | Correction::OfRequest { .. }
            )
        };
        self.calibration(rule).filter(|c| moves(c)).map_or(0, |c| c.labels.len() as u16)
    }

    /// True if this plan changes nothing that any sequence computes.
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty() && self.invariance.is_none() && self.contrast.is_none()
    }

    /// The same without what acts on logits: what the request without its contexts or images is evaluated under.
    #[must_use]
    pub fn before_logits(&self) -> Plan {
        let sites = self.sites.iter().filter(|site| site.site != Site::Logits).cloned().collect();
        Plan { sites, contrast: None, ..self.clone() }
    }

    /// True if this plan changes no key and no value: at most what is sampled from.
    pub fn keeps_cells(&self) -> bool {
        self.invariance.is_none() && self.sites.iter().all(|site| site.site == Site::Logits)
    }
}

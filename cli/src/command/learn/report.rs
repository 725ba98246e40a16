//! What `learn` found, as it is written beside the files.

use serde::{Deserialize, Serialize};

use super::{fit::LayerScores, sae::Ranked};
use crate::{command::audit::Example, estimate::Interval, examples::Problems};

/// The whole result.
#[derive(Serialize, Deserialize)]
pub struct Report {
    pub model: String,
    pub model_sha256: String,
    pub data_sha256: String,
    pub evenkeel: String,
    pub llama: String,
    /// The classes, and how many texts each has.
    pub classes: [Class; 2],
    /// What was left out of the data.
    pub left_out: Problems,
    /// Texts per part: fitted, chosen on, reported.
    pub parts: [usize; 3],
    pub method: String,
    pub operator: String,
    pub position: String,
    /// Probe and direction by layer, on held-out folds of the texts that were fitted.
    pub layers: Vec<LayerScores>,
    /// For rules that remove: what a new probe reads under the rule.
    pub layers_after: Vec<LayerAfter>,
    /// For --method sae: the features that were tried, and how well their activation tells the classes apart.
    pub features: Vec<Ranked>,
    /// AUROC of the direction at the rule's first layer on the texts that are reported.
    pub reported_auroc: Interval,
    pub outcome: String,
    pub chosen: Choice,
    pub effect: Effect,
    pub controls: Controls,
    /// The rule at other doses, on the texts that are reported; none where it has only one.
    #[serde(default)]
    pub sweep: Vec<Swept>,
    /// Some of these texts, and how the model goes on plain and with the profile.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// What was written.
    pub files: Vec<String>,
    pub notes: Vec<String>,
    pub cost: Cost,
}

/// One dose.
#[derive(Clone, Serialize, Deserialize)]
pub struct Swept {
    pub dose: f64,
    pub gap: Interval,
    pub kl: Interval,
    pub perplexity: f64,
}

/// What a probe that is fitted under the rule reads.
#[derive(Serialize, Deserialize)]
pub struct LayerAfter {
    pub layer: usize,
    pub auroc: Interval,
}

/// What learning took.
#[derive(Serialize, Deserialize)]
pub struct Cost {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_memory_mib: Option<f64>,
}

/// A class.
#[derive(Serialize, Deserialize)]
pub struct Class {
    pub name: String,
    pub texts: usize,
}

/// What was chosen on texts that are not reported.
#[derive(Serialize, Deserialize)]
pub struct Choice {
    pub layers: [usize; 2],
    pub dose: f64,
    pub candidates: usize,
    pub max_kl: f64,
}

/// Measured on texts that had no part in anything before.
#[derive(Serialize, Deserialize)]
pub struct Effect {
    /// Mean outcome of the positive texts less that of the negative ones, plain.
    pub gap_before: Interval,
    /// The same with the profile.
    pub gap_after: Interval,
    /// Gap before less gap after, paired.
    pub gap_change: Interval,
    /// Mean outcome of all texts, with the profile less plain.
    pub shift: Interval,
    /// Share of the gap that was closed, or the shift in gaps.
    pub effect: Interval,
    /// For rules that remove: what is left of the gap is within this of zero, or not, or undecided.
    pub margin: f64,
    pub verdict: Verdict,
    /// Divergence of the next token's distribution where nothing should change, nats per token.
    pub kl: Interval,
    /// Perplexity of the tokens that stand there, plain and with the profile.
    pub perplexity_before: f64,
    pub perplexity_after: f64,
    pub clusters: usize,
}

/// Whether what is left is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval lies inside the margin.
    Absent,
    /// The interval lies outside it.
    Present,
    /// Neither.
    Undecided,
}

/// Random directions of equal length through the same selection.
#[derive(Serialize, Deserialize)]
pub struct Controls {
    pub effects: Vec<f64>,
    /// 1: larger than every control's.
    pub rank: usize,
    /// Of this many.
    pub of: usize,
}

impl Controls {
    pub fn beaten(&self) -> bool {
        self.of > 1 && self.rank == 1
    }
}

impl Verdict {
    pub fn of(left: &Interval, margin: f64) -> Verdict {
        if left.within(margin) {
            Verdict::Absent
        } else if left.low >= margin || left.high <= -margin {
            Verdict::Present
        } else {
            Verdict::Undecided
        }
    }
}

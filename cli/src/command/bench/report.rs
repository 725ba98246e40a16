//! From blocks to the answers that targets ask for.

use serde::Serialize;

use super::{
    contender::Case,
    rounds::{Block, Measured, Phase},
    segments::SegmentsReport,
    statistics::{Answer, Estimate, at_least, at_most, estimate, median},
};

/// The result of `bench`.
#[derive(Serialize)]
pub struct Report {
    pub model: String,
    pub parameters: u64,
    pub library: String,
    pub threads: i32,
    pub pairs: usize,
    pub phases: Vec<PhaseReport>,
    pub identical: Vec<Identical>,
    pub reloads: Option<ReloadReport>,
    pub segments: Vec<SegmentsReport>,
    pub targets: Vec<Target>,
}

/// Whether logits that have to be the same are so: bit for bit, unless it says otherwise.
#[derive(Serialize, Clone, Copy)]
pub struct Identical {
    pub what: &'static str,
    pub same: bool,
}

/// Reloads while an answer is generated.
#[derive(Serialize)]
pub struct ReloadReport {
    pub reloads: usize,
    /// The longest step after the reload began, beyond the generation's median step, in milliseconds.
    pub pause_ms: Estimate,
    /// The same of generations without a reload.
    pub without_ms: Estimate,
    /// The longest pause of all.
    pub longest_ms: f64,
    /// A generation's median step, in milliseconds.
    pub step_ms: f64,
    /// Answers that a reload came into, and that are what they are without one.
    pub answers_kept: usize,
    /// Requests after a reload that are answered as under the new profile.
    pub next_new: usize,
    /// Calls that failed.
    pub failed: usize,
    /// Why the first one did.
    pub why: Option<String>,
}

impl ReloadReport {
    /// Whether nothing but time was lost.
    pub fn is_right(&self) -> bool {
        self.failed == 0 && self.answers_kept == self.reloads && self.next_new == self.reloads
    }
}

/// One phase.
#[derive(Serialize)]
pub struct PhaseReport {
    pub phase: &'static str,
    pub rows: Vec<Row>,
}

/// One comparison.
#[derive(Serialize)]
pub struct Row {
    pub case: &'static str,
    pub base: &'static str,
    /// Tokens per second of the case, median.
    pub speed: f64,
    /// Speed as a fraction of the base's, by wall time.
    pub wall: Estimate,
    /// The same by CPU time.
    pub cpu: Estimate,
    /// The plug-in's own time per decode call in microseconds.
    pub hook_us: Option<Estimate>,
}

/// One line of the list of targets.
#[derive(Serialize)]
pub struct Target {
    pub name: String,
    pub target: &'static str,
    pub measured: String,
    pub answer: Answer,
}

/// What is compared with what.
fn pairs(phase: Phase) -> &'static [(Case, Case)] {
    match phase {
        Phase::Decode | Phase::Prefill => &[
            (Case::PlainAgain, Case::Plain),
            (Case::Empty, Case::Plain),
            (Case::Gated, Case::Plain),
            (Case::Native, Case::Plain),
            (Case::Add, Case::Native),
        ],
        Phase::Contrast => {
            &[(Case::TwoPasses, Case::Pair), (Case::Contrast, Case::Pair), (Case::Contrast, Case::TwoPasses)]
        }
        Phase::Batch => &[(Case::OneAgain, Case::One), (Case::Several, Case::One)],
    }
}

pub fn phase(measured: &Measured) -> PhaseReport {
    let row = |&(case, base): &(Case, Case)| {
        let hooks = measured.hooks(case);
        let steered = case.is_steered() && !hooks.is_empty();
        Row {
            case: case.name(),
            base: base.name(),
            speed: measured.tokens as f64 / median(&mut measured.times(case, |b| b.wall)),
            wall: estimate(&measured.ratios(case, base, |b| b.wall)),
            cpu: estimate(&measured.ratios(case, base, |b| b.cpu)),
            hook_us: steered.then(|| estimate(&hooks)),
        }
    };
    PhaseReport { phase: measured.phase.name(), rows: pairs(measured.phase).iter().map(row).collect() }
}

fn find(phases: &[PhaseReport], phase: Phase, case: Case) -> Option<&Row> {
    let rows = phases.iter().filter(|p| p.phase == phase.name()).flat_map(|p| &p.rows);
    rows.into_iter().find(|r| r.case == case.name())
}

/// The answers of one sequence. P1 and P8 are decided by the clock inside the plug-in, P2 and P3 by wall time. `empty`, `add`:
/// whether logits are what they have to be.
pub fn single(decode: &Measured, phases: &[PhaseReport], empty: bool, add: bool) -> Vec<Target> {
    let row = |case: Case| find(phases, Phase::Decode, case);
    let mut targets = Vec::new();
    if let Some(row) = row(Case::Empty) {
        // What is left of the speed if nothing but the plug-in's own time is taken off.
        let calls = (decode.tokens) as f64;
        let share = |b: &Block| 1.0 - b.hook.unwrap_or(0.0) * 1e-6 * calls / b.wall;
        let own = estimate(&decode.times(Case::Empty, share));
        let answer = if empty { at_least(&own, 0.995) } else { Answer::Missed };
        targets.push(Target {
            name: "P1 empty profile".into(),
            target: "≥ 0.995 of plain",
            measured: format!("{:.5} by its own clock, {} by wall time", own.median, interval(&row.wall)),
            answer,
        });
    }
    if let Some(row) = row(Case::Add) {
        targets.push(Target {
            name: "P2 add on all layers".into(),
            target: "≥ 0.99 of native",
            measured: format!("{} by wall, {} by CPU time", interval(&row.wall), interval(&row.cpu)),
            answer: if add { at_least(&row.wall, 0.99) } else { Answer::Missed },
        });
    }
    for (phase, name) in
        [(Phase::Decode, "P3 project and probe, decode"), (Phase::Prefill, "P3 project and probe, prefill")]
    {
        if let Some(row) = find(phases, phase, Case::Gated) {
            targets.push(Target {
                name: name.into(),
                target: "≥ 0.97 of plain",
                measured: format!("{} by wall, {} by CPU time", interval(&row.wall), interval(&row.cpu)),
                answer: at_least(&row.wall, 0.97),
            });
        }
    }
    let hooks = estimate(&decode.hooks(Case::Add));
    targets.push(Target {
        name: "P8 own work per decode call".into(),
        target: "≤ 50 µs",
        measured: format!(
            "{:.2} µs [{:.2}, {:.2}], at most {:.0} µs (a graph was built)",
            hooks.median, hooks.low, hooks.high, decode.worst_call
        ),
        answer: at_most(&hooks, 50.0),
    });
    targets
}

/// The answer of many sequences: P4, by wall time. `apart`: whether each sequence has the logits of its own plan.
pub fn batch(phases: &[PhaseReport], apart: bool) -> Option<Target> {
    let row = find(phases, Phase::Batch, Case::Several)?;
    Some(Target {
        name: "P4 4 plans, 32 gates, batch of 32".into(),
        target: "≥ 0.95 of one plan",
        measured: format!("{} by wall, {} by CPU time", interval(&row.wall), interval(&row.cpu)),
        answer: if apart { at_least(&row.wall, 0.95) } else { Answer::Missed },
    })
}

/// The answer of a contrast: P7, by wall time. `right`: whether its logits are what they have to be.
pub fn contrast(measured: &Measured, right: bool) -> Target {
    let times = |base| estimate(&measured.ratios(base, Case::Contrast, |b| b.wall));
    let (pair, passes) = (times(Case::Pair), times(Case::TwoPasses));
    Target {
        name: "P7 contrast, decode".into(),
        target: "≤ 1.10 × a batch of two",
        measured: format!("{} × a batch of two, {} × two passes", interval(&pair), interval(&passes)),
        answer: if right { at_most(&pair, 1.10) } else { Answer::Missed },
    }
}

/// The answer of reloads: P9. Each pause counts: where the longest is too long and the interval is not, it is not resolved.
pub fn reload(r: &ReloadReport) -> Target {
    let limit = 100.0;
    let answer = match at_most(&r.pause_ms, limit) {
        _ if !r.is_right() => Answer::Missed,
        Answer::Met if r.longest_ms > limit => Answer::NotResolved,
        answer => answer,
    };
    Target {
        name: "P9 pause of a hot reload".into(),
        target: "≤ 100 ms, no answer changed",
        measured: format!(
            "{} ms, longest {:.1}; without a reload {} ms",
            milliseconds(&r.pause_ms),
            r.longest_ms,
            milliseconds(&r.without_ms)
        ),
        answer,
    }
}

fn milliseconds(e: &Estimate) -> String {
    format!("{:.1} [{:.1}, {:.1}]", e.median, e.low, e.high)
}

/// As `0.998 [0.990, 1.005]`.
pub fn interval(e: &Estimate) -> String {
    format!("{:.3} [{:.3}, {:.3}]", e.median, e.low, e.high)
}

//! From blocks to the answers that targets ask for.

use serde::Serialize;

use super::{
    contender::Case,
    rounds::{Block, Measured, Phase},
    statistics::{Answer, Estimate, at_least, estimate, median},
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
    /// The same logits, bit for bit: the empty profile and none; the add and the native control vector.
    pub identical: Identical,
    pub targets: Vec<Target>,
}

/// Bit-identity of the last logits.
#[derive(Serialize, Clone, Copy)]
pub struct Identical {
    pub empty: bool,
    pub add: bool,
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
    pub name: &'static str,
    pub target: &'static str,
    pub measured: String,
    pub answer: Answer,
}

/// What is compared with what.
const PAIRS: [(Case, Case); 5] = [
    (Case::PlainAgain, Case::Plain),
    (Case::Empty, Case::Plain),
    (Case::Gated, Case::Plain),
    (Case::Native, Case::Plain),
    (Case::Add, Case::Native),
];

pub fn phase(measured: &Measured) -> PhaseReport {
    let row = |&(case, base): &(Case, Case)| {
        let hooks = measured.hooks(case);
        let steered = matches!(case, Case::Empty | Case::Add | Case::Gated) && !hooks.is_empty();
        Row {
            case: case.name(),
            base: base.name(),
            speed: measured.tokens as f64 / median(&mut measured.times(case, |b| b.wall)),
            wall: estimate(&measured.ratios(case, base, |b| b.wall)),
            cpu: estimate(&measured.ratios(case, base, |b| b.cpu)),
            hook_us: steered.then(|| estimate(&hooks)),
        }
    };
    let name = match measured.phase {
        Phase::Decode => "decode",
        Phase::Prefill => "prefill",
    };
    PhaseReport { phase: name, rows: PAIRS.iter().map(row).collect() }
}

/// The answers. P1 and P8 are decided by the clock inside the plug-in, P2 by wall time.
pub fn targets(decode: &Measured, phases: &[PhaseReport], identical: Identical) -> Vec<Target> {
    let find = |phase: &str, case: Case| {
        let rows = phases.iter().filter(|p| p.phase == phase).flat_map(|p| &p.rows);
        rows.into_iter().find(|r| r.case == case.name())
    };
    let row = |case: Case| find("decode", case);
    let mut targets = Vec::new();
    if let Some(row) = row(Case::Empty) {
        // What is left of the speed if nothing but the plug-in's own time is taken off.
        let calls = (decode.tokens) as f64;
        let share = |b: &Block| 1.0 - b.hook.unwrap_or(0.0) * 1e-6 * calls / b.wall;
        let own = estimate(&decode.times(Case::Empty, share));
        let answer = if identical.empty { at_least(&own, 0.995) } else { Answer::Missed };
        targets.push(Target {
            name: "P1 empty profile",
            target: "≥ 0.995 of plain",
            measured: format!("{:.5} by its own clock, {} by wall time", own.median, interval(&row.wall)),
            answer,
        });
    }
    if let Some(row) = row(Case::Add) {
        targets.push(Target {
            name: "P2 add on all layers",
            target: "≥ 0.99 of native",
            measured: format!("{} by wall, {} by CPU time", interval(&row.wall), interval(&row.cpu)),
            answer: if identical.add { at_least(&row.wall, 0.99) } else { Answer::Missed },
        });
    }
    for (phase, name) in [("decode", "P3 project and probe, decode"), ("prefill", "P3 project and probe, prefill")] {
        if let Some(row) = find(phase, Case::Gated) {
            targets.push(Target {
                name,
                target: "≥ 0.97 of plain",
                measured: format!("{} by wall, {} by CPU time", interval(&row.wall), interval(&row.cpu)),
                answer: at_least(&row.wall, 0.97),
            });
        }
    }
    let hooks = estimate(&decode.hooks(Case::Add));
    targets.push(Target {
        name: "P8 own work per decode call",
        target: "≤ 50 µs",
        measured: format!(
            "{:.2} µs [{:.2}, {:.2}], longest single call {:.0} µs",
            hooks.median, hooks.low, hooks.high, decode.worst_call
        ),
        answer: match () {
            () if hooks.high <= 50.0 => Answer::Met,
            () if hooks.low > 50.0 => Answer::Missed,
            () => Answer::NotResolved,
        },
    });
    targets
}

/// As `0.998 [0.990, 1.005]`.
pub fn interval(e: &Estimate) -> String {
    format!("{:.3} [{:.3}, {:.3}]", e.median, e.low, e.high)
}

//! From blocks to ratios, the counts beside them, and the answers that targets ask for.

use serde::Serialize;

use super::{
    super::{
        contender::Case,
        report::{Target, interval},
        rounds::{Measured, Phase},
        statistics::{Answer, Estimate, at_most, estimate, median},
    },
    cost::Shape,
    prompt::{DOCUMENT, PREFIX, Prompt, QUESTION},
};

/// What a context may take beside what it keeps, in bytes.
const ALLOWANCE: f64 = 10e6;
/// How much less than plain ones logits move with the order, at least, as a fraction.
const STILL: f64 = 0.1;

/// Prompts of one number of documents.
#[derive(Serialize)]
pub struct SegmentsReport {
    pub documents: usize,
    /// Tokens of each document, before the first, after the last.
    pub tokens: [usize; 3],
    /// Prompts of each case.
    pub prompts: usize,
    /// Blocks of answer of each case.
    pub blocks: usize,
    pub rows: Vec<SegmentRow>,
    pub order: Vec<OrderRow>,
    pub memory: Vec<MemoryRow>,
    /// Bytes that the process has more of its own after all prompts but the first.
    pub grown: Option<f64>,
}

/// One comparison of times.
#[derive(Serialize)]
pub struct SegmentRow {
    pub phase: &'static str,
    pub case: &'static str,
    pub base: &'static str,
    /// Tokens per second, median.
    pub speed: f64,
    /// Time as a multiple of the base's, on the wall.
    pub wall: Estimate,
    /// The same of all cores.
    pub cpu: Estimate,
    /// As a multiple, what counting operations (prefill) or bytes (decode) gives.
    pub counted: Option<f64>,
    /// The plug-in's own time per decode call in microseconds.
    pub hook_us: Option<f64>,
}

/// How much the logits after the prompt move when the documents change places.
#[derive(Serialize)]
pub struct OrderRow {
    pub case: &'static str,
    /// Mean squared difference, relative to the mean square.
    pub nmse: f64,
}

/// What a context and its first request take.
#[derive(Serialize)]
pub struct MemoryRow {
    pub case: &'static str,
    /// Bytes of its own afterwards.
    pub bytes: f64,
    /// Bytes at the most, with files that are mapped; where the system tells.
    pub peak: Option<f64>,
    /// Of these, bytes that are kept of the documents, by the shape of the model.
    pub kept: Option<f64>,
    /// Beyond a plain context and what is kept, the larger of what is there afterwards and at the most.
    pub beyond: Option<f64>,
}

impl OrderRow {
    pub fn new(case: Case, one: &[f32], other: &[f32]) -> OrderRow {
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let moved = square(&mut one.iter().zip(other).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        OrderRow { case: case.name(), nmse: moved / square(&mut one.iter().map(|a| f64::from(*a))) }
    }
}

impl MemoryRow {
    pub fn new(case: Case, bytes: f64, peak: Option<f64>) -> MemoryRow {
        MemoryRow { case: case.name(), bytes, peak, kept: None, beyond: None }
    }
}

impl SegmentsReport {
    pub fn new(
        prompt: &Prompt,
        (prompts, blocks): (usize, usize),
        phases: &[Measured],
        shape: Option<Shape>,
        order: Vec<OrderRow>,
        (mut memory, grown): (Vec<MemoryRow>, Option<f64>),
    ) -> SegmentsReport {
        let counted = |phase, case| match (phase, case) {
            (_, Case::PlainAgain | Case::Set) => Some(1.0),
            (Phase::Prefill, _) => shape.map(|shape| shape.prefill(prompt)),
            // In the middle of what is decoded.
            _ => shape.map(|s| s.decode((prompt.len() + blocks * 16 / 2) as f64, prompt.region() as f64)),
        };
        let row = |measured: &Measured, case: Case| {
            let inverse = |ratios: Vec<f64>| -> Vec<f64> { ratios.into_iter().map(|r| 1.0 / r).collect() };
            let mut hooks = measured.hooks(case);
            SegmentRow {
                phase: measured.phase.name(),
                case: case.name(),
                base: Case::Plain.name(),
                speed: measured.tokens as f64 / median(&mut measured.times(case, |b| b.wall)),
                wall: estimate(&inverse(measured.ratios(case, Case::Plain, |b| b.wall))),
                cpu: estimate(&inverse(measured.ratios(case, Case::Plain, |b| b.cpu))),
                counted: counted(measured.phase, case),
                hook_us: case.is_steered().then(|| median(&mut hooks)),
            }
        };
        let cases = [Case::PlainAgain, Case::Set, Case::Pine];
        let rows = phases.iter().flat_map(|measured| cases.map(|case| row(measured, case))).collect();
        // The second plain context: the first one's also is what a process takes once.
        let base = memory.iter().find(|r| r.case == Case::PlainAgain.name()).map(|r| (r.bytes, r.peak));
        for row in memory.iter_mut().filter(|row| !row.case.starts_with(Case::Plain.name())) {
            row.kept = if row.case == Case::Pine.name() { shape.map(|s| s.kept(prompt.region())) } else { Some(0.0) };
            row.beyond = base.zip(row.kept).map(|((bytes, peak), kept)| {
                let peak = row.peak.zip(peak).map_or(f64::MIN, |(row, base)| row - base);
                (row.bytes - bytes).max(peak) - kept
            });
        }
        SegmentsReport {
            documents: prompt.documents,
            tokens: [DOCUMENT, PREFIX, QUESTION],
            prompts,
            blocks: prompts * blocks,
            rows,
            order,
            memory,
            grown,
        }
    }

    /// Whether the order moves logits of plain contexts, and by far less those of the others.
    pub fn is_still(&self) -> bool {
        let moved = |case: Case| self.order.iter().find(|r| r.case == case.name()).map_or(f64::NAN, |r| r.nmse);
        let plain = moved(Case::Plain);
        plain > 0.0 && [Case::Set, Case::Pine].iter().all(|case| moved(*case) < STILL * plain)
    }
}

/// P5, P6 and P10. Where the order still counts, time says nothing.
pub fn targets(report: &SegmentsReport) -> Vec<Target> {
    let n = report.documents;
    let mut targets = Vec::new();
    for (name, phase, limit, target) in [
        ("P5 pine, prefill", Phase::Prefill, 1.25, "≤ 1.25 × plain"),
        ("P6 pine, decode", Phase::Decode, 1.10, "≤ 1.10 × plain"),
    ] {
        let row = report.rows.iter().find(|r| r.phase == phase.name() && r.case == Case::Pine.name());
        let Some(row) = row else { continue };
        let counted = row.counted.map(|c| format!("; {c:.3} by counting")).unwrap_or_default();
        targets.push(Target {
            name: format!("{name}, {n} documents"),
            target,
            measured: format!("{} by wall, {} by CPU time{counted}", interval(&row.wall), interval(&row.cpu)),
            answer: if report.is_still() { at_most(&row.wall, limit) } else { Answer::Missed },
        });
    }
    for row in report.memory.iter().filter(|row| !row.case.starts_with(Case::Plain.name())) {
        let (measured, answer) = match row.beyond {
            Some(beyond) if beyond <= ALLOWANCE => (beyond, Answer::Met),
            Some(beyond) => (beyond, Answer::Missed),
            None => (f64::NAN, Answer::NotResolved),
        };
        targets.push(Target {
            name: format!("P10 memory, {}, {n} documents", row.case),
            target: "≤ what is kept + 10 MB",
            measured: format!("what is kept {:+.1} MB", measured / 1e6),
            answer,
        });
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_that_move_are_told_from_those_that_do_not() {
        let row = |case, by: f32| OrderRow::new(case, &[1.0, -2.0, 2.0], &[1.0 + by, -2.0, 2.0]);
        assert!((row(Case::Plain, 3.0).nmse - 1.0).abs() < 1e-9);
        let report = |plain, set, pine| SegmentsReport {
            documents: 2,
            tokens: [DOCUMENT, PREFIX, QUESTION],
            prompts: 2,
            blocks: 2,
            rows: vec![],
            order: vec![row(Case::Plain, plain), row(Case::Set, set), row(Case::Pine, pine)],
            memory: vec![],
            grown: None,
        };
        assert!(report(1.0, 0.0, 0.01).is_still());
        assert!(!report(1.0, 0.0, 0.9).is_still());
        assert!(!report(0.0, 0.0, 0.0).is_still(), "then the prompts were the same");
    }
}

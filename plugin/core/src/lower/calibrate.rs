//! A calibration of labels as operations of ggml: what the labels' tokens have is gathered, everything is computed on as
//! many values as there are labels, and what they get is put back where it came from.

use std::sync::Arc;

use super::patch::{Leaf, NewNode, Ref};
use super::term::Terms;
use crate::plan::{Bend, Calibration, Correction, GateIndex, RuleIndex, TILT_STEPS, Tilt};
use crate::profile::Learning;

/// The least share that a label counts with: its logarithm is a number.
const LEAST: f32 = 1e-30;
/// More than two logarithms of shares can differ by; and where a logit is no number, a finite one.
const MOST: f32 = 200.0;
/// How near to the lowest or highest score a mean may come.
const EDGE: f32 = 1e-4;

/// The shape of one calibration on one graph.
struct Shape {
    vocab: i64,
    labels: i64,
    slots: i64,
    per_label: i64,
    rows: i64,
}

impl Terms<'_> {
    /// Calibrates the rows, where `dose` is not 0. A prior that is learned stands in the gate table, from a gate on, and is
    /// that of a rule.
    pub(super) fn calibrate(
        &mut self,
        dose: Option<Ref>,
        c: &Calibration,
        (prior, rule): (Option<GateIndex>, Option<RuleIndex>),
        rows: i64,
    ) {
        let (labels, per_label) = (c.labels.len() as i64, i64::from(c.per_label));
        let shape = Shape { vocab: i64::from(c.n_vocab), labels, slots: labels * per_label, per_label, rows };
        let index = self.index(&c.slots, rows as u32);
        let x = self.x;
        let single = self.push(NewNode::Reshape(x, [1, shape.vocab, rows, 1]));
        let gathered = self.push(NewNode::GetRows(single, index));
        let logits = self.push(NewNode::Reshape(gathered, [shape.slots, rows, 1, 1]));
        let shares = self.shares(logits, c, &shape);
        let log = self.push(NewNode::Log(shares));
        let after = match &c.correction {
            Correction::Affine { log: of_log, scale, offset } => {
                self.affine(if *of_log { log } else { shares }, scale.as_ref(), offset.as_ref())
            }
            Correction::Mean { tilt, curve } => self.tilted((log, shares), tilt, curve, &shape),
            Correction::Online(_) | Correction::ContentFree { .. } | Correction::OfRequest { .. } => match prior {
                Some(first) => {
                    let all = if self.output_only { Ref::OutputGates } else { Ref::Gates };
                    let gates = all(first, labels as u16);
                    let zhao = matches!(
                        c.correction,
                        Correction::ContentFree { log: false, .. } | Correction::OfRequest { log: false }
                    );
                    self.push(if zhao { NewNode::Mul(shares, gates) } else { NewNode::Add(log, gates) })
                }
                None => log,
            },
        };
        let after = self.push(NewNode::SoftMax(after));
        let after = self.push(NewNode::Clamp(after, LEAST, 1.0));
        let after = self.push(NewNode::Log(after));
        let before = self.push(NewNode::Scale(log, -1.0, 0.0));
        let shift = self.push(NewNode::Add(after, before));
        // Twice: where nothing is to change, a number that is none must not come through a product with 0.
        let shift = self.push(NewNode::Clamp(shift, -MOST, MOST));
        let acts = self.acts(x, index, c, &shape);
        let shown =
            matches!(c.correction, Correction::Online(Learning { learn: true, .. }) | Correction::ContentFree { .. });
        if let Some(rule) = rule.filter(|_| shown) {
            self.push(NewNode::Observe(shares, acts, rule));
        }
        let acts = match dose {
            Some(dose) => self.push(NewNode::Mul(acts, dose)),
            None => acts,
        };
        let shift = self.push(NewNode::Mul(shift, acts));
        let shift = self.push(NewNode::Reshape(shift, [1, labels, rows, 1]));
        let shift = self.push(NewNode::RepeatTo(shift, [per_label, labels, rows, 1]));
        let shift = self.push(NewNode::Reshape(shift, [1, shape.slots, rows, 1]));
        let moved = self.push(NewNode::Add(gathered, shift));
        // Where two slots are one token, both have the same value. All that reads the rows before comes before this: what
        // is put back is computed from it.
        let back = self.push(NewNode::SetRows(single, moved, index));
        self.x = self.push(NewNode::Reshape(back, [shape.vocab, rows, 1, 1]));
    }

    fn index(&mut self, slots: &Arc<[i32]>, rows: u32) -> Ref {
        let name = format!("ek.{}.{}", self.name, self.leafs.len() - self.first);
        self.leafs.push(Leaf::Index { name, data: slots.clone(), rows });
        Ref::Leaf(self.leafs.len() as u32 - 1)
    }

    /// Of all labels together, what each has: `[labels, rows]`, at least [`LEAST`].
    fn shares(&mut self, logits: Ref, c: &Calibration, shape: &Shape) -> Ref {
        let logits = match &c.mask {
            Some(mask) => {
                let mask = self.leaf(mask);
                self.push(NewNode::Add(logits, mask))
            }
            None => logits,
        };
        let mut shares = self.push(NewNode::SoftMax(logits));
        if shape.per_label > 1 {
            let apart = self.push(NewNode::Reshape(shares, [shape.per_label, shape.labels, shape.rows, 1]));
            let sums = self.push(NewNode::SumRows(apart));
            shares = self.push(NewNode::Reshape(sums, [shape.labels, shape.rows, 1, 1]));
        }
        self.push(NewNode::Clamp(shares, LEAST, 1.0))
    }

    /// 1 on rows on which the labels have more than the least mass, `[1, rows]`; 0 also on those with a logit that is no
    /// number.
    fn acts(&mut self, x: Ref, index: Ref, c: &Calibration, shape: &Shape) -> Ref {
        let all = self.push(NewNode::SoftMax(x));
        let all = self.push(NewNode::Reshape(all, [1, shape.vocab, shape.rows, 1]));
        let has = self.push(NewNode::GetRows(all, index));
        let mut has = self.push(NewNode::Reshape(has, [shape.slots, shape.rows, 1, 1]));
        if let Some(real) = &c.real {
            let real = self.leaf(real);
            has = self.push(NewNode::Mul(has, real));
        }
        let mass = self.push(NewNode::SumRows(has));
        let above = self.push(NewNode::Scale(mass, 1.0, -c.min_mass));
        self.push(NewNode::Step(above))
    }

    fn affine(&mut self, of: Ref, scale: Option<&Arc<[f32]>>, offset: Option<&Arc<[f32]>>) -> Ref {
        let mut z = of;
        if let Some(scale) = scale {
            let scale = self.leaf(scale);
            z = self.push(NewNode::Mul(z, scale));
        }
        if let Some(offset) = offset {
            let offset = self.leaf(offset);
            z = self.push(NewNode::Add(z, offset));
        }
        z
    }

    /// The logarithms of shares, tilted until their mean is what the curve says: level by level, the last of some steps at
    /// which the mean is still below it.
    fn tilted(&mut self, (log, shares): (Ref, Ref), tilt: &Tilt, curve: &Bend, shape: &Shape) -> Ref {
        let (labels, rows, steps) = (shape.labels, shape.rows, i64::from(TILT_STEPS));
        let scores = self.leaf(&tilt.scores);
        let weighed = self.push(NewNode::Mul(shares, scores));
        let mean = self.push(NewNode::SumRows(weighed));
        let target = self.bend(mean, curve, rows);
        let target = self.push(NewNode::Clamp(target, EDGE, 1.0 - EDGE));
        let target = self.push(NewNode::Reshape(target, [1, 1, rows, 1]));
        let spread = self.push(NewNode::Repeat(scores, log));
        let mut base = log;
        for (level, grid) in (0..).zip(&tilt.grids) {
            let grid = self.leaf(grid);
            let grid = self.push(NewNode::Reshape(grid, [labels, steps, 1, 1]));
            let wide = self.push(NewNode::Reshape(base, [labels, 1, rows, 1]));
            let wide = self.push(NewNode::RepeatTo(wide, [labels, steps, rows, 1]));
            let at = self.push(NewNode::Add(wide, grid));
            let p = self.push(NewNode::SoftMax(at));
            let weighed = self.push(NewNode::Mul(p, scores));
            let mean = self.push(NewNode::SumRows(weighed));
            let minus = self.push(NewNode::Scale(mean, -1.0, 0.0));
            let below = self.push(NewNode::Add(minus, target));
            let below = self.push(NewNode::Step(below));
            let below = self.push(NewNode::Reshape(below, [steps, rows, 1, 1]));
            let count = self.push(NewNode::SumRows(below));
            let (begin, step) = (tilt.begin(level), tilt.step(level));
            let found = self.push(NewNode::Scale(count, step, begin - step));
            let added = self.push(NewNode::Mul(spread, found));
            base = self.push(NewNode::Add(base, added));
        }
        base
    }

    fn bend(&mut self, mean: Ref, curve: &Bend, rows: i64) -> Ref {
        let line = self.push(NewNode::Scale(mean, curve.slope, curve.offset));
        if curve.bends.is_empty() {
            return line;
        }
        let wide = self.push(NewNode::RepeatTo(mean, [curve.bends.len() as i64, rows, 1, 1]));
        let (at, bends) = (self.leaf(&curve.minus_at), self.leaf(&curve.bends));
        let beyond = self.push(NewNode::Add(wide, at));
        let beyond = self.push(NewNode::Relu(beyond));
        let beyond = self.push(NewNode::Mul(beyond, bends));
        let sum = self.push(NewNode::SumRows(beyond));
        self.push(NewNode::Add(line, sum))
    }
}

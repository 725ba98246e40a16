//! What each kind of term becomes: only operations that every backend of ggml has, on F32.

use std::{collections::HashMap, sync::Arc};

use super::{
    graph::TensorId,
    patch::{Leaf, NewNode, Ref},
};
use crate::plan::{Dose, Map, Probe, ProbeIndex, Term, Update, When};

/// What a coefficient is bounded by before a gate scales it: an off row times infinity would be no number, and with the
/// largest dose it must stay small enough for its square to be finite.
pub(super) const HUGE: f32 = 1e12;

/// Which probes have been read so far, and whether of output rows only.
pub type Taps = HashMap<ProbeIndex, bool>;

/// The terms of one site, lowered one after the other.
pub struct Terms<'a> {
    pub(super) leafs: &'a mut Vec<Leaf>,
    taps: &'a mut Taps,
    probes: &'a [Probe],
    /// Where this site's leafs begin.
    pub(super) first: usize,
    pub(super) near: Option<TensorId>,
    pub(super) name: &'a str,
    pub(super) output_only: bool,
    pub(super) n_rows: u32,
    nodes: Vec<NewNode>,
    tapped: Vec<(ProbeIndex, u32)>,
    /// The rows' value so far.
    pub(super) x: Ref,
}

impl<'a> Terms<'a> {
    /// Begins at the clone of the site's node.
    pub fn new(
        leafs: &'a mut Vec<Leaf>,
        taps: &'a mut Taps,
        probes: &'a [Probe],
        near: Option<TensorId>,
        name: &'a str,
        (output_only, n_rows): (bool, u32),
    ) -> Self {
        let first = leafs.len();
        let (nodes, tapped, x) = (Vec::new(), Vec::new(), Ref::Original);
        Terms { leafs, taps, probes, first, near, name, output_only, n_rows, nodes, tapped, x }
    }

    /// The nodes, of which the last is the site's new value, and which of them hold what a probe said.
    pub fn finish(mut self) -> (Vec<NewNode>, Vec<(ProbeIndex, u32)>) {
        // A probe that was read last, or alone: the site's node still has to become something, and no view of another.
        let last = self.nodes.last();
        if last.is_some_and(|n| matches!(n, NewNode::Reshape(..)) || self.x != Ref::Node(self.nodes.len() as u32 - 1)) {
            self.push(NewNode::Copy(self.x));
        }
        (self.nodes, self.tapped)
    }

    /// Lowers the next term, on the result of the one before. False, and nothing is done, if a probe that scales it
    /// was not read. The site has `rows` rows in this graph.
    pub fn lower(&mut self, term: &Term, rows: i64) -> bool {
        let (Term::AddGated { dose, .. } | Term::Update { dose, .. } | Term::Calibrate { dose, .. }) = term else {
            match term {
                Term::AddConst { vector, .. } => {
                    let v = self.leaf(vector);
                    self.x = self.push(NewNode::Add(self.x, v));
                }
                Term::Tap { probe } => self.tap(*probe),
                // Lowered by itself: it acts on no stream.
                Term::ScaleHeads { .. } | Term::Edit { .. } => return false,
                Term::AddGated { .. } | Term::Update { .. } | Term::Calibrate { .. } => {}
            }
            return true;
        };
        if !dose.when.as_ref().is_none_or(|when| self.is_read(when)) {
            return false;
        }
        if rows == 0 && matches!(term, Term::Calibrate { .. }) {
            return true;
        }
        let dose = self.dose(dose);
        match (term, dose) {
            (Term::AddGated { vector, .. }, Some(z)) => self.write(z, vector),
            (Term::AddGated { vector, .. }, None) => {
                let v = self.leaf(vector);
                self.x = self.push(NewNode::Add(self.x, v));
            }
            (Term::Update { update, .. }, dose) => self.update(dose, update),
            (Term::Calibrate { rules, calibration, prior, .. }, dose) => {
                self.calibrate(dose, calibration, (*prior, rules.first().copied()), rows);
            }
            _ => {}
        }
        true
    }

    fn is_read(&self, when: &When) -> bool {
        match when {
            When::Probe(probe) => self.taps.contains_key(probe),
            When::All(parts) | When::Any(parts) => parts.iter().all(|part| self.is_read(part)),
            When::Not(part) => self.is_read(part),
        }
    }

    pub(super) fn push(&mut self, node: NewNode) -> Ref {
        self.nodes.push(node);
        Ref::Node(self.nodes.len() as u32 - 1)
    }

    /// The leaf of this vector; one that this site has already is used again.
    pub(super) fn leaf(&mut self, vector: &Arc<[f32]>) -> Ref {
        let same = |leaf: &Leaf| matches!(leaf, Leaf::Constant { data, .. } if Arc::ptr_eq(data, vector));
        let known = self.leafs[self.first..].iter().position(same);
        let at = known.map(|i| i + self.first).unwrap_or_else(|| {
            let name = format!("ek.{}.{}", self.name, self.leafs.len() - self.first);
            self.leafs.push(Leaf::Constant { name, data: vector.clone(), rows: 1, near: self.near });
            self.leafs.len() - 1
        });
        Ref::Leaf(at as u32)
    }

    /// What scales a term, one value per row; None for 1.
    fn dose(&mut self, dose: &Dose) -> Option<Ref> {
        let gate = dose.gate.map(|g| if self.output_only { Ref::OutputGate(g) } else { Ref::Gate(g) });
        let when = dose.when.as_ref().map(|when| self.when(when));
        match (gate, when) {
            // The gate second: it is a row of a table, the condition a tensor of its own.
            (Some(gate), Some(when)) => Some(self.push(NewNode::Mul(when, gate))),
            (one, None) | (None, one) => one,
        }
    }

    fn when(&mut self, when: &When) -> Ref {
        match when {
            When::Probe(probe) => match (self.taps.get(probe), self.output_only) {
                (Some(false), true) => Ref::OutputTap(*probe),
                _ => Ref::Tap(*probe),
            },
            When::Not(part) => {
                let part = self.when(part);
                self.push(NewNode::Scale(part, -1.0, 1.0))
            }
            When::All(parts) => self.product(parts, |terms, part| terms.when(part)),
            When::Any(parts) => {
                let none = self.product(parts, |terms, part| {
                    let part = terms.when(part);
                    terms.push(NewNode::Scale(part, -1.0, 1.0))
                });
                self.push(NewNode::Scale(none, -1.0, 1.0))
            }
        }
    }

    /// The planner makes no empty lists.
    fn product(&mut self, parts: &[When], mut value: impl FnMut(&mut Self, &When) -> Ref) -> Ref {
        let mut parts = parts.iter();
        let first = parts.next().expect("a condition has parts");
        let mut product = value(self, first);
        for part in parts {
            let part = value(self, part);
            product = self.push(NewNode::Mul(product, part));
        }
        product
    }

    /// Reads the rows as they are now.
    fn tap(&mut self, probe: ProbeIndex) {
        let x = self.x;
        let asked = &self.probes[usize::from(probe.0)];
        let below = asked.hold().and_then(|hold| hold.below);
        let (says, stays) = match asked {
            Probe::Linear { weights, bias, soft, .. } => {
                let sum = self.read(x, weights);
                let margin = self.push(NewNode::Scale(sum, 1.0, *bias));
                let says = match soft {
                    false => self.push(NewNode::Step(margin)),
                    // Of a row that holds what is no number, too, or a gate of 0 would be none.
                    true => {
                        let probability = self.push(NewNode::Sigmoid(margin));
                        self.push(NewNode::Clamp(probability, 0.0, 1.0))
                    }
                };
                let stays = below.map(|bias| {
                    let margin = self.push(NewNode::Scale(sum, 1.0, bias));
                    self.push(NewNode::Step(margin))
                });
                (says, stays)
            }
            // cos(x, c) > t is c·x − t·|x| > 0, without a division.
            Probe::Similarity { direction, above, .. } => {
                let along = self.read(x, direction);
                let norm = self.norm(x);
                let mut exceeds = |cosine: f32| {
                    let bar = self.push(NewNode::Scale(norm, -cosine, 0.0));
                    let margin = self.push(NewNode::Add(along, bar));
                    self.push(NewNode::Step(margin))
                };
                (exceeds(*above), below.map(exceeds))
            }
        };
        let said = match asked.hold() {
            None => says,
            Some(hold) => self.held(hold, says, stays),
        };
        if let Ref::Node(node) = said {
            self.tapped.push((probe, node));
        }
        self.taps.insert(probe, self.output_only);
    }

    /// `x += z · vector`, with one coefficient per row: one product per element and no sum, so that a row's bits do not
    /// depend on how many rows there are, and a coefficient of 0 adds exactly 0 because the vector is finite.
    fn write(&mut self, z: Ref, vector: &Arc<[f32]>) {
        let v = self.leaf(vector);
        let spread = self.push(NewNode::Repeat(v, self.x));
        let scaled = self.push(NewNode::Mul(spread, z));
        self.x = self.push(NewNode::Add(self.x, scaled));
    }

    fn update(&mut self, dose: Option<Ref>, update: &Update) {
        let x = self.x;
        let read: Vec<Ref> = update.reads.iter().map(|u| self.read(x, u)).collect();
        let z: Vec<Ref> = match &update.map {
            Map::Linear { matrix, offset } => {
                offset.iter().zip(matrix.chunks(read.len())).map(|(c, row)| self.linear(&read, row, *c)).collect()
            }
            Map::Clamp { min, max } => read.iter().map(|u| self.clamp(*u, *min, *max)).collect(),
            Map::Norm { factor } => {
                let norm = self.norm(x);
                update.writes.iter().map(|_| self.push(NewNode::Scale(norm, *factor, 0.0))).collect()
            }
            Map::Feature { bias, target } => read.iter().map(|u| self.feature(*u, *bias, *target)).collect(),
        };
        for (z, vector) in z.into_iter().zip(&update.writes) {
            let z = match dose {
                Some(dose) => {
                    let bounded = self.push(NewNode::Clamp(z, -HUGE, HUGE));
                    self.push(NewNode::Mul(bounded, dose))
                }
                None => z,
            };
            self.write(z, vector);
        }
    }

    /// `u · x` per row. A product and a sum over each row by itself: matrix products may sum in another order, or in
    /// another precision, when there are more rows.
    fn read(&mut self, x: Ref, vector: &Arc<[f32]>) -> Ref {
        let u = self.leaf(vector);
        let product = self.push(NewNode::Mul(x, u));
        self.push(NewNode::SumRows(product))
    }

    /// `|x|` per row.
    fn norm(&mut self, x: Ref) -> Ref {
        let squares = self.push(NewNode::Mul(x, x));
        let power = self.push(NewNode::SumRows(squares));
        self.push(NewNode::Sqrt(power))
    }

    /// `Σ_i row_i · u_i + c`
    fn linear(&mut self, u: &[Ref], row: &[f32], c: f32) -> Ref {
        let mut sum = None;
        for (u, m) in u.iter().zip(row).filter(|(_, m)| **m != 0.0) {
            sum = Some(match sum {
                None => self.push(NewNode::Scale(*u, *m, c)),
                Some(sum) => {
                    let scaled = self.push(NewNode::Scale(*u, *m, 0.0));
                    self.push(NewNode::Add(sum, scaled))
                }
            });
        }
        // A row of zeros writes a constant; the coefficient still has one value per row.
        sum.unwrap_or_else(|| self.push(NewNode::Scale(u[0], 0.0, c)))
    }

    /// `clip(u, min, max) − u = relu(min − u) − relu(u − max)`, without the cancellation of the left side.
    fn clamp(&mut self, u: Ref, min: Option<f32>, max: Option<f32>) -> Ref {
        let up = min.map(|min| {
            let below = self.push(NewNode::Scale(u, -1.0, min));
            self.push(NewNode::Relu(below))
        });
        let down = max.map(|max| {
            let above = self.push(NewNode::Scale(u, 1.0, -max));
            let above = self.push(NewNode::Relu(above));
            self.push(NewNode::Scale(above, -1.0, 0.0))
        });
        match (up, down) {
            (Some(up), Some(down)) => self.push(NewNode::Add(up, down)),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => self.push(NewNode::Scale(u, 0.0, 0.0)),
        }
    }

    /// `target − relu(u + bias)`
    fn feature(&mut self, u: Ref, bias: f32, target: f32) -> Ref {
        let shifted = self.push(NewNode::Scale(u, 1.0, bias));
        let active = self.push(NewNode::Relu(shifted));
        self.push(NewNode::Scale(active, -1.0, target))
    }
}

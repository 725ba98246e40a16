//! What each kind of term becomes: only operations that every backend of ggml has, on F32.

use std::sync::Arc;

use super::{
    graph::TensorId,
    patch::{Leaf, NewNode, Ref},
};
use crate::plan::{GateIndex, Map, Term, Update};

/// What a coefficient is bounded by before a gate scales it: an off row times infinity would be no number.
const HUGE: f32 = 1e30;

/// The terms of one site, lowered one after the other.
pub struct Terms<'a> {
    leafs: &'a mut Vec<Leaf>,
    /// Where this site's leafs begin.
    first: usize,
    near: Option<TensorId>,
    name: &'a str,
    output_only: bool,
    nodes: Vec<NewNode>,
    /// The rows' value so far.
    x: Ref,
}

impl<'a> Terms<'a> {
    /// Begins at the clone of the site's node.
    pub fn new(leafs: &'a mut Vec<Leaf>, near: Option<TensorId>, name: &'a str, output_only: bool) -> Self {
        let first = leafs.len();
        Terms { leafs, first, near, name, output_only, nodes: Vec::new(), x: Ref::Original }
    }

    /// The nodes; the last is the site's new value.
    pub fn finish(self) -> Vec<NewNode> {
        self.nodes
    }

    /// Lowers the next term, on the result of the one before.
    pub fn lower(&mut self, term: &Term) {
        match term {
            Term::AddConst { vector, .. } => {
                let v = self.leaf(vector);
                self.x = self.push(NewNode::Add(self.x, v));
            }
            Term::AddGated { gate, vector, .. } => {
                let z = self.gate(*gate);
                self.write(z, vector);
            }
            Term::Update { gate, update, .. } => self.update(*gate, update),
        }
    }

    fn push(&mut self, node: NewNode) -> Ref {
        self.nodes.push(node);
        Ref::Node(self.nodes.len() as u32 - 1)
    }

    /// The leaf of this vector; one that this site has already is used again.
    fn leaf(&mut self, vector: &Arc<[f32]>) -> Ref {
        let same = |leaf: &Leaf| matches!(leaf, Leaf::Constant { data, .. } if Arc::ptr_eq(data, vector));
        let known = self.leafs[self.first..].iter().position(same);
        let at = known.map(|i| i + self.first).unwrap_or_else(|| {
            let name = format!("ek.{}.{}", self.name, self.leafs.len() - self.first);
            self.leafs.push(Leaf::Constant { name, data: vector.clone(), near: self.near });
            self.leafs.len() - 1
        });
        Ref::Leaf(at as u32)
    }

    fn gate(&self, gate: GateIndex) -> Ref {
        if self.output_only { Ref::OutputGate(gate) } else { Ref::Gate(gate) }
    }

    /// `x += z · vector`, with one coefficient per row: one product per element and no sum, so that a row's bits do not
    /// depend on how many rows there are, and a coefficient of 0 adds exactly 0 because the vector is finite.
    fn write(&mut self, z: Ref, vector: &Arc<[f32]>) {
        let v = self.leaf(vector);
        let spread = self.push(NewNode::Repeat(v, self.x));
        let scaled = self.push(NewNode::Mul(spread, z));
        self.x = self.push(NewNode::Add(self.x, scaled));
    }

    fn update(&mut self, gate: Option<GateIndex>, update: &Update) {
        let x = self.x;
        let read: Vec<Ref> = update.reads.iter().map(|u| self.read(x, u)).collect();
        let z: Vec<Ref> = match &update.map {
            Map::Linear { matrix, offset } => {
                offset.iter().zip(matrix.chunks(read.len())).map(|(c, row)| self.linear(&read, row, *c)).collect()
            }
            Map::Clamp { min, max } => read.iter().map(|u| self.clamp(*u, *min, *max)).collect(),
            Map::Feature { bias, target } => read.iter().map(|u| self.feature(*u, *bias, *target)).collect(),
        };
        for (z, vector) in z.into_iter().zip(&update.writes) {
            let z = match gate {
                Some(gate) => {
                    let bounded = self.push(NewNode::Clamp(z, -HUGE, HUGE));
                    let gate = self.gate(gate);
                    self.push(NewNode::Mul(bounded, gate))
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

//! Heads, scaled where they go into the output projection.
//!
//! What the projection reads is found by its weight, since this node's name and shape vary: `[head size · heads, rows]`
//! without flash attention, `[head size, heads, rows, streams]` with it (the node then shown is a reshaped view of it),
//! `[block, blocks · rows]` where quantised caches rotate values. In each, a head is a whole number of values in a row.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    graph::{GraphView, Op, TensorId, TensorView},
    patch::{Leaf, NewNode, Ref},
};
use crate::plan::Term;

/// The heads of one layer in one graph.
pub(super) struct Heads {
    /// The node that has them.
    pub(super) target: TensorId,
    /// How many there are.
    n_head: u32,
    /// Factors per row: one for each value, or for each run of values that lie next to each other.
    factors: u32,
    ne: [i64; 4],
    /// Rows of the micro-batch.
    pub(super) n_rows: u32,
}

impl Heads {
    /// Finds them.
    ///
    /// # Errors
    /// Why they are not there.
    pub(super) fn find(graph: &GraphView, layer: u32) -> Result<Heads, String> {
        let weight = format!("blk.{layer}.attn_output.weight");
        let reads =
            |t: &TensorView| t.op == Op::MulMat && t.src[0].is_some_and(|w| graph.tensor(w).name.as_str() == weight);
        let mut projections = graph.nodes().filter(|(_, t)| t.compute && reads(t));
        let (_, projection) = projections.next().ok_or_else(|| format!("no product with {weight} in this graph"))?;
        let input = projection.src[1].ok_or("the projection has no input")?;
        let width = graph.tensor(input).ne[0];
        let target = graph.data_of(input)?;
        let n_head = n_head(graph, target).ok_or("the number of heads was not found")?;
        let (ne, total): ([i64; 4], i64) = (graph.tensor(target).ne, graph.tensor(target).ne.iter().product());
        let size = width / n_head.max(1);
        let whole = n_head > 0 && size * n_head == width && width > 0 && total % width == 0;
        let factors = match ne[0] {
            n if n == width => width,
            n if n > 0 && size % n == 0 && ne[1] % (width / n) == 0 => width / n,
            _ => 0,
        };
        if !whole || factors == 0 || !graph.tensor(target).f32 {
            return Err(format!("{n_head} heads do not fit into its shape {ne:?}"));
        }
        let narrow = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Heads { target, n_head: narrow(n_head), factors: narrow(factors), ne, n_rows: narrow(total / width) })
    }

    /// True if this head exists.
    pub(super) fn has(&self, head: u32) -> bool {
        head < self.n_head
    }

    pub(super) fn n_head(&self) -> u32 {
        self.n_head
    }

    /// What the terms become, the last node with the shape of the target.
    pub(super) fn lower(
        &self,
        terms: &[Term],
        leafs: &mut Vec<Leaf>,
        (near, name, output_only): (Option<TensorId>, &str, bool),
    ) -> Vec<NewNode> {
        let (first, mut nodes, mut x) = (leafs.len(), Vec::new(), Ref::Original);
        for term in terms {
            let Term::ScaleHeads { heads, dose, .. } = term else { continue };
            // The name says the shape: with flash attention and without it there are other numbers of factors.
            let leaf_name = format!("ek.{name}.{}x{}", leafs.len() - first, self.factors);
            let mut push = |node| {
                nodes.push(node);
                Ref::Node(nodes.len() as u32 - 1)
            };
            let factors = match dose.gate {
                None => {
                    leafs.push(Leaf::Constant { name: leaf_name, data: self.values(heads, 0.0), rows: 1, near });
                    Ref::Leaf(leafs.len() as u32 - 1)
                }
                // 1 + gate · (scale − 1), per row: exactly 1 where the gate is 0.
                Some(gate) => {
                    leafs.push(Leaf::Constant { name: leaf_name, data: self.values(heads, 1.0), rows: 1, near });
                    let gate = if output_only { Ref::OutputGate(gate) } else { Ref::Gate(gate) };
                    let shape = [self.factors.into(), self.n_rows.into(), 1, 1];
                    let spread = push(NewNode::RepeatTo(Ref::Leaf(leafs.len() as u32 - 1), shape));
                    let gated = push(NewNode::Mul(spread, gate));
                    push(NewNode::Scale(gated, 1.0, 1.0))
                }
            };
            // Factors that stand for several values each lie in the second dimension.
            let factors = if i64::from(self.factors) == self.ne[0] {
                factors
            } else {
                let f = i64::from(self.factors);
                let shape = if dose.is_whole() { [1, f, 1, 1] } else { [1, self.ne[1], self.ne[2], self.ne[3]] };
                push(NewNode::Reshape(factors, shape))
            };
            x = push(NewNode::Mul(x, factors));
        }
        nodes
    }

    /// Per factor of a row its head's scale, less `minus`.
    fn values(&self, heads: &BTreeMap<u32, f32>, minus: f32) -> Arc<[f32]> {
        let per_head = self.factors / self.n_head;
        let scale = |head: u32| heads.get(&head).copied().unwrap_or(1.0) - minus;
        (0..self.factors).map(|i| scale(i / per_head)).collect()
    }
}

/// The second dimension of what attention computes, before heads are laid in a row.
fn n_head(graph: &GraphView, mut t: TensorId) -> Option<i64> {
    // A copy, a rotation, and the views between them.
    for _ in 0..8 {
        let found = graph.tensor(t);
        if found.op == Op::FlashAttn {
            return Some(found.ne[1]);
        }
        let before = if found.op == Op::MulMat { found.src[1]? } else { found.src[0]? };
        let from = graph.tensor(before);
        // The copy of a permuted tensor: [head size, heads, rows, streams].
        if found.op == Op::Cont && from.op == Op::View {
            return Some(from.ne[1]);
        }
        t = before;
    }
    None
}

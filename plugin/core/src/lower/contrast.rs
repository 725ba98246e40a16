//! A contrast as operations of ggml, at the logits of one micro-batch: what the rows have without their context comes in as
//! an input, because another context of the model computed it.

use super::graph::TensorId;
use super::patch::{Leaf, NewNode, PerRow, Ref, Substitution};
use crate::plan::Site;

/// More than two logits of one token can differ by, and as far below the others as makes a token impossible; finite, so that
/// a row that is left alone gets exactly 0.
const FAR: f32 = 1e6;

/// What a micro-batch needs of it. Such nodes stand only in the graphs of micro-batches in which a row needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contrasted {
    /// Whether some row has a plausibility constraint.
    pub plausible: bool,
}

/// `x += coefficient · clamp(x − without)`, on the rows of `target`, `[n_vocab, n_rows]`; with a constraint, `−FAR` on what lies
/// further below the row's best logit than its reach.
pub(super) fn contrast(
    leafs: &mut Vec<Leaf>,
    target: TensorId,
    [n_vocab, n_rows]: [i64; 2],
    wanted: Contrasted,
    layer: u32,
) -> Substitution {
    let rows = n_rows as u32;
    let mut leaf = |what, width| {
        leafs.push(Leaf::PerRow { what, width, rows });
        Ref::Leaf(leafs.len() as u32 - 1)
    };
    let (minus_without, coefficient) = (leaf(PerRow::MinusWithout, n_vocab as u32), leaf(PerRow::Coefficient, 1));
    let reach = wanted.plausible.then(|| leaf(PerRow::Reach, 1));
    let mut nodes = vec![];
    let mut push = |node| {
        nodes.push(node);
        Ref::Node(nodes.len() as u32 - 1)
    };
    let x = Ref::Original;
    let apart = push(NewNode::Add(x, minus_without));
    let apart = push(NewNode::Clamp(apart, -FAR, FAR));
    let mut shift = push(NewNode::Mul(apart, coefficient));
    if let Some(reach) = reach {
        let best = push(NewNode::Argmax(x));
        let best = push(NewNode::Reshape(best, [1, n_rows, 1, 1]));
        let single = push(NewNode::Reshape(x, [1, n_vocab, n_rows, 1]));
        let best = push(NewNode::GetRows(single, best));
        let best = push(NewNode::Reshape(best, [1, n_rows, 1, 1]));
        let minus_best = push(NewNode::Scale(best, -1.0, 0.0));
        let bar = push(NewNode::Add(minus_best, reach));
        let above = push(NewNode::Add(x, bar));
        let within = push(NewNode::Step(above));
        let below = push(NewNode::Scale(within, FAR, -FAR));
        shift = push(NewNode::Add(shift, below));
    }
    push(NewNode::Add(x, shift));
    let name = "result_output".to_owned();
    let (site, taps, rules) = (Site::Logits, vec![], vec![]);
    Substitution { target, name, site, layer, n_rows: rows, output_only: true, nodes, taps, rules }
}

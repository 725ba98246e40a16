//! A contrast as operations of ggml, at the logits of one micro-batch: what the rows have without their context comes in as
//! an input, because another context of the model computed it, or from the graph of that context, where both graphs are
//! evaluated as one.

use super::graph::TensorId;
use super::patch::{Leaf, NewNode, PerRow, Ref, Substitution};
use crate::plan::Site;

/// More than two logits of one token can differ by, and as far below the others as makes a token impossible; finite, so that
/// a row that is left alone gets exactly 0.
const FAR: f32 = 1e6;

/// Farther from 0 than any logit: what is no number, or infinite, is cut to that.
pub const MOST: f32 = 1e30;

/// What a micro-batch needs of it. Such nodes stand only in the graphs of micro-batches in which a row needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contrasted {
    /// Whether some row has a plausibility constraint.
    pub plausible: bool,
    /// Whether the other graph is evaluated with this one.
    pub beside: bool,
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
    let width = n_vocab as u32;
    let mut push = |leaf| {
        leafs.push(leaf);
        Ref::Leaf(leafs.len() as u32 - 1)
    };
    let beside = wanted.beside.then(|| push(Leaf::Beside { width }));
    let mut leaf = |what, width| push(Leaf::PerRow { what, width, rows });
    let without = match beside {
        Some(_) => leaf(PerRow::Place, 1),
        None => leaf(PerRow::MinusWithout, width),
    };
    let coefficient = leaf(PerRow::Coefficient, 1);
    let reach = wanted.plausible.then(|| leaf(PerRow::Reach, 1));
    let mut nodes = vec![];
    let mut push = |node| {
        nodes.push(node);
        Ref::Node(nodes.len() as u32 - 1)
    };
    let x = Ref::Original;
    let minus_without = match beside {
        Some(beside) => {
            let places = push(NewNode::Reshape(without, [n_rows, 1, 1, 1]));
            let without = push(NewNode::GetRows(beside, places));
            let without = push(NewNode::Clamp(without, -MOST, MOST));
            push(NewNode::Scale(without, -1.0, 0.0))
        }
        None => without,
    };
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

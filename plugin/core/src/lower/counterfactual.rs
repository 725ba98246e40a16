//! Other attention weights, at the softmax of chosen layers: what a row may attend to stays, what it attends to does not depend
//! on what is there (after CausalMM, Zhou et al., arXiv 2410.04780).

use super::graph::{GraphView, Op, TensorId};
use super::patch::{Leaf, NewNode, Patch, Ref, Substitution};
use crate::contrast::{Counterfactual, Weights};
use crate::plan::Site;

/// Added to what is left of the largest weight, so that a row with one cell has something to attend to.
const LEAST: f32 = 1e-6;

/// Replaces the weights, `[n_cells, n_rows, n_head]` of each layer.
///
/// # Errors
/// Why a layer's are not there.
pub(super) fn counterfactual(graph: &GraphView, wanted: &Counterfactual, patch: &mut Patch) -> Result<(), String> {
    let mut tables: Vec<([TensorId; 2], u32)> = vec![];
    for layer in &wanted.layers {
        let of_layer = |why: &str| format!("the attention weights of layer {layer}: {why}");
        let name = format!("kq_soft_max-{layer}");
        let found = graph.nodes().find(|(_, t)| t.op == Op::SoftMax && t.compute && t.name.as_str() == name);
        let (target, weights) = found.ok_or_else(|| of_layer("there are none in this graph"))?;
        let [n_cells, n_rows, n_head, n_streams] = weights.ne;
        let mask = weights.src[1].ok_or_else(|| of_layer("they have no mask"))?;
        if n_streams != 1 || !weights.f32 || weights.view {
            return Err(of_layer("their shape is unknown"));
        }
        if weights.src[2].is_some() {
            return Err(of_layer("they have sinks, which take a share of their own"));
        }
        let table = match wanted.weights.is_drawn() {
            false => None,
            true => {
                let inputs = [graph.base_of_copy(mask), written(graph, *layer)];
                let [Some(mask), Some(written)] = inputs else {
                    return Err(of_layer("which cells they are of is unknown"));
                };
                let key = [mask, written];
                let known = tables.iter().find(|(of, _)| *of == key).map(|(_, leaf)| *leaf);
                Some(known.unwrap_or_else(|| {
                    let order = wanted.weights == Weights::Shuffled;
                    let (n_cells, n_rows) = (n_cells as u32, n_rows as u32);
                    patch.leafs.push(Leaf::Cells { mask, written, order, n_cells, n_rows });
                    let leaf = patch.leafs.len() as u32 - 1;
                    tables.push((key, leaf));
                    leaf
                }))
            }
        };
        let nodes = nodes(wanted.weights, table.map(Ref::Leaf), [n_cells, n_rows, n_head]);
        let (site, taps, rules) = (Site::AttnOut, vec![], vec![]);
        let (layer, n_rows) = (*layer, n_rows as u32);
        patch.substitutions.push(Substitution {
            target,
            name,
            site,
            layer,
            n_rows,
            output_only: false,
            nodes,
            taps,
            rules,
        });
    }
    Ok(())
}

/// The input that says which cells a layer's keys are written to.
fn written(graph: &GraphView, layer: u32) -> Option<TensorId> {
    let cache = format!("cache_k_l{layer}");
    let is = |id: TensorId| graph.base(id).is_some_and(|base| graph.tensor(base).name.as_str() == cache);
    let mut writes = graph.nodes().filter(|(_, t)| t.op == Op::SetRows && t.src[2].is_some_and(is));
    graph.base(writes.next()?.1.src[1]?)
}

/// What becomes of the weights `x`. The mask is what the softmax reads as its second source.
fn nodes(weights: Weights, table: Option<Ref>, [n_cells, n_rows, n_head]: [i64; 3]) -> Vec<NewNode> {
    let mut nodes = vec![];
    let mut push = |node| {
        nodes.push(node);
        Ref::Node(nodes.len() as u32 - 1)
    };
    let (x, mask) = (Ref::Original, Ref::Input);
    match (weights, table) {
        (Weights::Random, Some(shares)) => {
            let nothing = push(NewNode::Scale(x, 0.0, 0.0));
            let shares = push(NewNode::Add(nothing, shares));
            push(NewNode::SoftMaxOf(shares, mask));
        }
        (Weights::Shuffled, Some(cells)) => {
            // All heads of a cell lie together, and are moved together.
            let turned = push(NewNode::Permute(x, [1, 2, 0, 3]));
            let turned = push(NewNode::Copy(turned));
            let moved = push(NewNode::GetRows(turned, cells));
            let back = push(NewNode::Permute(moved, [2, 0, 1, 3]));
            push(NewNode::Copy(back));
        }
        (Weights::Reversed, _) => {
            let rows = n_rows * n_head;
            let flat = push(NewNode::Reshape(x, [n_cells, rows, 1, 1]));
            let most = push(NewNode::Argmax(flat));
            let most = push(NewNode::Reshape(most, [1, rows, 1, 1]));
            let single = push(NewNode::Reshape(x, [1, n_cells, rows, 1]));
            let most = push(NewNode::GetRows(single, most));
            let most = push(NewNode::Reshape(most, [1, n_rows, n_head, 1]));
            let minus = push(NewNode::Scale(x, -1.0, LEAST));
            let left = push(NewNode::Add(minus, most));
            let left = push(NewNode::Log(left));
            push(NewNode::SoftMaxOf(left, mask));
        }
        (Weights::Uniform, _) | (_, None) => {
            let nothing = push(NewNode::Scale(x, 0.0, 0.0));
            push(NewNode::SoftMaxOf(nothing, mask));
        }
    }
    nodes
}

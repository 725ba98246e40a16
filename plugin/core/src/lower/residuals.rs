//! Where the residual stream is copied from, for those who want to read it.

use super::{
    anchor::Anchors,
    build::{LowerError, SPARE, fit},
    graph::{GraphView, TensorId},
};
use crate::plan::Site;

/// One node whose rows with output are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Residual {
    /// Block, from 0; `None`: what the output matrix reads.
    pub layer: Option<u32>,
    /// F32 `[n_embd, rows]`.
    pub target: TensorId,
    /// The input with the numbers of the rows that have output; `None` where the node has only these, or the graph has no
    /// such input, because every row has output.
    pub rows: Option<TensorId>,
}

/// The residual stream after each layer that the graph names, and what the output matrix reads, in order of execution. None
/// of a graph that computes no logits.
///
/// # Errors
/// [`LowerError::Capacity`]: the graph must be left as it is.
pub fn residuals(graph: &GraphView) -> Result<Vec<Residual>, LowerError> {
    if graph.last("result_output").is_none() {
        return Ok(vec![]);
    }
    let anchors = Anchors::new(graph);
    let (selected, out_ids) = (graph.row_selected(), graph.leaf("out_ids"));
    let layers = graph.layered("l_out").into_keys().map(|layer| (Some(layer), Site::Residual));
    let found = layers.chain([(None, Site::FinalNorm)]).filter_map(|(layer, site)| {
        let target = anchors.find(site, layer.unwrap_or(0)).ok()?;
        let t = graph.tensor(target);
        fit(t, u32::try_from(t.ne[0]).ok()?).ok()?;
        Some(Residual { layer, target, rows: out_ids.filter(|_| !selected[target.0 as usize]) })
    });
    let mut found: Vec<Residual> = found.collect();
    found.sort_by_key(|r| r.target);
    let (nodes, leafs, new_nodes) = (graph.n_nodes, graph.tensors.len() - graph.n_nodes, found.len());
    match nodes + leafs + new_nodes + SPARE > graph.capacity {
        true => Err(LowerError::Capacity { nodes, leafs, capacity: graph.capacity, new_nodes, new_leafs: 0 }),
        false => Ok(found),
    }
}

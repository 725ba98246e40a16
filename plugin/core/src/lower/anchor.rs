//! Where a plan's sites are in a graph: nodes are chosen by name where names are dependable, else by what they compute.
//!
//! `l_out-N` and `result_norm` have these names in nearly every architecture. What attention and the feed-forward network
//! add to the residual stream has not: it is the last operation of an output projection, of a norm behind it, of a sum of
//! experts, of a selection of output rows. So it is found as what is added: from `l_out-N` back to the block's input, along
//! the sums that carry the residual stream.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
};

use super::graph::{GraphView, Op, TensorId, TensorView};
use crate::{asset::Weight, plan::Site};

/// A graph with what was found in it so far.
pub(super) struct Anchors<'a> {
    graph: &'a GraphView,
    blocks: HashMap<u32, TensorId>,
    /// For each block a weight that lies where the block is computed.
    weights: HashMap<u32, TensorId>,
    inputs: OnceCell<HashMap<u32, TensorId>>,
}

/// What a block adds to the residual stream, in order from its end.
struct Trunk {
    terms: Vec<TensorId>,
    /// The block's input, the sums that carry the stream, and their selections of rows.
    nodes: HashSet<TensorId>,
}

impl<'a> Anchors<'a> {
    pub(super) fn new(graph: &'a GraphView) -> Self {
        let (blocks, weights) = (graph.layered("l_out"), block_weights(graph));
        Self { graph, blocks, weights, inputs: OnceCell::new() }
    }

    /// A weight that lies where the site is computed.
    pub(super) fn near(&self, site: Site, layer: u32) -> Option<TensorId> {
        let after = matches!(site, Site::FinalNorm | Site::Logits | Site::Product(Weight::Output));
        let norm = after.then(|| self.graph.leaf("output_norm.weight")).flatten();
        norm.or_else(|| self.weights.get(&layer).copied())
    }

    /// The node at a site.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn find(&self, site: Site, layer: u32) -> Result<TensorId, String> {
        let absent = || "no such node in this graph".to_owned();
        match site {
            Site::Residual => self.blocks.get(&layer).copied().ok_or_else(absent),
            Site::Heads | Site::Product(_) => Err("this is no stream".to_owned()),
            Site::FinalNorm => self.graph.last("result_norm").ok_or_else(absent),
            Site::Logits => Err("this is no stream".to_owned()),
            Site::AttnOut => self.branches(layer).map(|(attn, _)| attn),
            Site::FfnOut => self.branches(layer).map(|(_, ffn)| ffn),
        }
    }

    /// What attention and the feed-forward network of a block add.
    fn branches(&self, layer: u32) -> Result<(TensorId, TensorId), String> {
        let Trunk { terms, nodes } = self.trunk(layer)?;
        let attends = |t: &TensorId| self.depends(*t, &nodes, |t| t.op == Op::FlashAttn || is_kqv(t));
        // A block that computes both from the same input may add them to each other first.
        if let [both] = terms[..]
            && self.graph.tensor(both).op == Op::Add
            && let [Some(a), Some(b), ..] = self.graph.tensor(both).src
        {
            return match (attends(&a), attends(&b)) {
                (true, false) => Ok((self.graph.data_of(a)?, self.graph.data_of(b)?)),
                (false, true) => Ok((self.graph.data_of(b)?, self.graph.data_of(a)?)),
                _ => Err("this block adds attention and feed-forward network as one".to_owned()),
            };
        }
        let (attn, rest): (Vec<_>, Vec<_>) = terms.into_iter().partition(attends);
        let stem = format!("blk.{layer}.ffn_");
        let feeds = |t: &TensorId| self.depends(*t, &nodes, |t| t.op == Op::None && t.name.as_str().starts_with(&stem));
        let ffn: Vec<_> = if rest.len() > 1 { rest.into_iter().filter(feeds).collect() } else { rest };
        match (&attn[..], &ffn[..]) {
            (&[attn], &[ffn]) => Ok((self.graph.data_of(attn)?, self.graph.data_of(ffn)?)),
            ([], _) => Err("this block has no attention".to_owned()),
            (_, []) => Err("this block has no feed-forward network".to_owned()),
            _ => Err("this block has several of them".to_owned()),
        }
    }

    fn trunk(&self, layer: u32) -> Result<Trunk, String> {
        let mut at = *self.blocks.get(&layer).ok_or_else(|| format!("no l_out-{layer} in this graph"))?;
        let input = self.input(layer).ok_or_else(|| format!("the input of block {layer} was not found"))?;
        let mut trunk = Trunk { terms: vec![], nodes: HashSet::from([input]) };
        // What was added to the whole (a control vector), or scales it.
        while at != input
            && let t = self.graph.tensor(at)
            && matches!(t.op, Op::Add | Op::Mul)
            && let [Some(a), Some(b), ..] = t.src
            && self.graph.tensor(b).op == Op::None
        {
            trunk.nodes.insert(at);
            at = a;
        }
        while at != input {
            trunk.nodes.insert(at);
            let t = self.graph.tensor(at);
            at = match (t.op, t.src) {
                (Op::GetRows, [Some(all), ..]) => all,
                (Op::Add, [Some(a), Some(b), ..]) => match (self.carries(a, input), self.carries(b, input)) {
                    (true, false) => (trunk.terms.push(b), a).1,
                    (false, true) => (trunk.terms.push(a), b).1,
                    _ => return Err("the residual stream of this block is not a sum of what its parts add".to_owned()),
                },
                _ => return Err("the residual stream of this block is not a sum of what its parts add".to_owned()),
            };
        }
        Ok(trunk)
    }

    /// True if the residual stream reaches this tensor by sums and selections of rows alone.
    fn carries(&self, t: TensorId, input: TensorId) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![t];
        while let Some(t) = open.pop() {
            if t == input {
                return true;
            }
            let found = self.graph.tensor(t);
            match found.op {
                Op::Add if seen.insert(t) => open.extend(found.src.iter().flatten()),
                Op::GetRows if seen.insert(t) => open.extend(found.src[0]),
                _ => {}
            }
        }
        false
    }

    /// True if a tensor is computed from one that `is`, not counting what came before the block's stream.
    fn depends(&self, t: TensorId, trunk: &HashSet<TensorId>, is: impl Fn(&TensorView) -> bool) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![t];
        while let Some(t) = open.pop() {
            let found = self.graph.tensor(t);
            if is(found) {
                return true;
            }
            open.extend(found.src.iter().flatten().filter(|s| !trunk.contains(s) && seen.insert(**s)));
        }
        false
    }

    /// What a block reads: the stream that its first norm reads, or its first projection where there is no such norm.
    fn input(&self, layer: u32) -> Option<TensorId> {
        let inputs = self.inputs.get_or_init(|| inputs(self.graph));
        inputs.get(&layer).copied().or_else(|| self.blocks.get(&layer.checked_sub(1)?).copied())
    }
}

fn is_kqv(t: &TensorView) -> bool {
    t.name.as_str().starts_with("kqv")
}

fn inputs(graph: &GraphView) -> HashMap<u32, TensorId> {
    let (mut normed, mut projected) = (HashMap::new(), HashMap::new());
    for (_, node) in graph.nodes() {
        let [Some(a), Some(b), ..] = node.src else { continue };
        match node.op {
            Op::Mul => {
                if let Some((block, "attn_norm.weight")) = block_weight(graph.tensor(b))
                    && let Some(x) = graph.tensor(a).src[0]
                {
                    normed.entry(block).or_insert(x);
                }
            }
            Op::MulMat => {
                if let Some((block, "attn_q.weight" | "attn_qkv.weight")) = block_weight(graph.tensor(a)) {
                    projected.entry(block).or_insert(b);
                }
            }
            _ => {}
        }
    }
    projected.extend(normed);
    projected
}

/// `blk.<block>.<weight>`
fn block_weight(t: &TensorView) -> Option<(u32, &str)> {
    let (block, weight) = t.name.as_str().strip_prefix("blk.")?.split_once('.')?;
    Some((block.parse().ok()?, weight))
}

/// For each block a small F32 weight, which lies where the block is computed (matrices may be repacked or split).
fn block_weights(graph: &GraphView) -> HashMap<u32, TensorId> {
    let mut weights = HashMap::new();
    for (id, t) in graph.leafs() {
        let Some((block, weight)) = block_weight(t) else { continue };
        if weight == "attn_norm.weight" {
            weights.insert(block, id);
        } else if t.f32 && t.ne[1..] == [1, 1, 1] {
            weights.entry(block).or_insert(id);
        }
    }
    weights
}

//! A matrix with a low-rank edit: `y = Wx` becomes `y = Wx + b·(a·x)`.

use super::{
    graph::{GraphView, Op, TensorId},
    patch::{Leaf, NewNode, Ref},
    term::HUGE,
};
use crate::{asset::Weight, plan::Term};

/// The product of one of the model's matrices with what it reads.
pub(super) struct Product {
    /// Its node.
    pub(super) target: TensorId,
    inputs: i64,
    outputs: i64,
    /// Rows of what it reads.
    pub(super) n_rows: u32,
}

impl Product {
    /// Finds it by its weight: names of nodes are shared.
    ///
    /// # Errors
    /// Why it is not there.
    pub(super) fn find(graph: &GraphView, layer: u32, weight: Weight) -> Result<Product, String> {
        let names = match weight {
            // An LM head that is tied to the embeddings has no matrix of its own.
            Weight::Output => vec!["output.weight".to_owned(), "token_embd.weight".to_owned()],
            _ => vec![format!("blk.{layer}.{weight}.weight")],
        };
        let product = |name: &String| {
            let of = |t: TensorId| graph.tensor(t).name.as_str() == name;
            graph.nodes().rev().find(|(_, t)| t.compute && t.op == Op::MulMat && t.src[0].is_some_and(of))
        };
        let found = names.iter().find_map(product);
        let (target, t) = found.ok_or_else(|| {
            let fused = format!("blk.{layer}.attn_qkv.weight");
            let hint = if graph.leaf(&fused).is_some() { format!(" (this model has {fused})") } else { String::new() };
            format!("no product with {} in this graph{hint}", names[0])
        })?;
        let input = t.src[1].map(|i| graph.tensor(i)).ok_or("the product reads nothing")?;
        if !t.f32 || !input.f32 || t.view || t.ne[2..] != [1, 1] || input.ne[2..] != [1, 1] {
            return Err(format!("its shape is {:?}, not [outputs, rows] of F32", t.ne));
        }
        let n_rows = u32::try_from(t.ne[1]).unwrap_or(u32::MAX);
        Ok(Product { target, inputs: input.ne[0], outputs: t.ne[0], n_rows })
    }

    /// Fails, with the reason, if a term does not fit the matrix.
    pub(super) fn fit(&self, terms: &[Term]) -> Result<(), String> {
        for term in terms {
            let Term::Edit { rank, a, b, .. } = term else { continue };
            let rank = i64::from(*rank);
            let (inputs, outputs) = (a.len() as i64 / rank.max(1), b.len() as i64 / rank.max(1));
            if (inputs, outputs) != (self.inputs, self.outputs) {
                let (has, must) = ((inputs, outputs), (self.inputs, self.outputs));
                return Err(format!(
                    "the edit is of {} inputs and {} outputs, the matrix of {} and {}",
                    has.0, has.1, must.0, must.1
                ));
            }
        }
        Ok(())
    }

    /// The nodes. A matrix product, unlike the rules that read the residual stream, because the product that it is added to
    /// is one: it has the same last bits in every batch or it has not, and its edit with it. The gate comes before the
    /// second product, so that a row that is off gets a sum of zeros.
    pub(super) fn lower(
        &self,
        terms: &[Term],
        leafs: &mut Vec<Leaf>,
        (near, name, output_only): (Option<TensorId>, &str, bool),
    ) -> Vec<NewNode> {
        let (first, mut nodes, mut y) = (leafs.len(), Vec::new(), Ref::Original);
        for term in terms {
            let Term::Edit { dose, rank, a, b, .. } = term else { continue };
            let mut leaf = |data: &std::sync::Arc<[f32]>, rows: u32| {
                let name = format!("ek.{name}.{}", leafs.len() - first);
                leafs.push(Leaf::Constant { name, data: data.clone(), rows, near });
                Ref::Leaf(leafs.len() as u32 - 1)
            };
            let (a, b) = (leaf(a, *rank), leaf(b, self.outputs as u32));
            let mut push = |node| {
                nodes.push(node);
                Ref::Node(nodes.len() as u32 - 1)
            };
            let mut z = push(NewNode::MulMat(a, Ref::Input));
            if let Some(gate) = dose.gate {
                let gate = if output_only { Ref::OutputGate(gate) } else { Ref::Gate(gate) };
                let bounded = push(NewNode::Clamp(z, -HUGE, HUGE));
                z = push(NewNode::Mul(bounded, gate));
            }
            let change = push(NewNode::MulMat(b, z));
            y = push(NewNode::Add(y, change));
        }
        nodes
    }
}

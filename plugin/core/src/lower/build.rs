//! The lowering itself.

use std::collections::HashMap;

use super::{
    anchor::Anchors,
    contrast::{self, Contrasted},
    counterfactual::counterfactual,
    graph::{GraphView, Op, TensorId, TensorView},
    heads::Heads,
    patch::{GateTable, Patch, Substitution},
    product::Product,
    term::Terms,
};
use crate::asset::Weight;
use crate::contrast::Counterfactual;
use crate::plan::{Plan, RuleIndex, Site, SitePlan, Term};

/// A site of the plan that this graph does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// What was looked for.
    pub name: String,
    /// What was wrong with what was found, if anything was.
    pub why: String,
    /// The rules that would have acted there.
    pub rules: Vec<RuleIndex>,
}

/// What became of one graph.
#[derive(Debug, Clone, PartialEq)]
pub enum Lowered {
    /// It computes no logits of a language model (K-shift, image encoder, embeddings, probes): not touched.
    NotOurs,
    /// The edits, and the sites that were not found.
    Patch(Patch, Vec<Missed>),
}

/// Why a graph that is ours cannot be edited. It must then run as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LowerError {
    /// Editing it would overflow the graph or the scheduler, which aborts the host.
    #[error(
        "the graph has {nodes} nodes and {leafs} leafs of {capacity}: no room for {new_nodes} nodes and {new_leafs} leafs more"
    )]
    Capacity {
        /// Nodes it has.
        nodes: usize,
        /// Leafs it has.
        leafs: usize,
        /// `ggml_graph_size`
        capacity: usize,
        /// Nodes the plan needs.
        new_nodes: usize,
        /// Leafs the plan needs.
        new_leafs: usize,
    },
    /// The number of rows of the micro-batch could not be read.
    #[error("the graph has neither `inp_tokens` nor `inp_embd`, so its number of rows is unknown")]
    NoInput,
    /// The weights of attention are not there to be replaced.
    #[error("{0}")]
    Attention(String),
}

/// Spare slots of the scheduler's hash set: it also uses them for copies between devices.
pub(super) const SPARE: usize = 64;

/// Lowers `plan` onto `graph`.
///
/// # Errors
/// [`LowerError`]: the graph must then be left as it is.
pub fn lower(plan: &Plan, graph: &GraphView) -> Result<Lowered, LowerError> {
    lower_with(plan, graph, Beyond::default())
}

/// What a micro-batch needs beyond what the plan does in every graph.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beyond<'a> {
    /// A contrast before all that acts on the logits.
    pub contrast: Option<Contrasted>,
    /// Other attention weights.
    pub attention: Option<&'a Counterfactual>,
}

/// The same with more.
///
/// # Errors
/// As [`lower`].
pub fn lower_with(plan: &Plan, graph: &GraphView, beyond: Beyond<'_>) -> Result<Lowered, LowerError> {
    let anchors = Anchors::new(graph);
    let logits = graph.nodes().rev().find(|(_, t)| t.name.as_bytes() == b"result_output" && t.compute);
    let Some((logits, _)) = logits else { return Ok(Lowered::NotOurs) };
    let selected = graph.row_selected();
    let n_tokens = n_tokens(graph);
    let mut patch = Patch::default();
    let mut missed = Vec::new();
    if let Some(wanted) = beyond.attention {
        counterfactual(graph, wanted, &mut patch).map_err(LowerError::Attention)?;
    }
    if let Some(wanted) = beyond.contrast.filter(|_| graph.tensor(logits).ne[1] > 0) {
        let [n_vocab, n_rows, ..] = graph.tensor(logits).ne;
        let first = contrast::contrast(&mut patch.leafs, logits, [n_vocab, n_rows], wanted, plan.model.n_layer);
        patch.substitutions.push(first);
    }
    // Sites are in ascending order of layers, and a probe reads no later than its rules act.
    let mut taps = HashMap::new();
    for site in &plan.sites {
        let name = node_name(site.site, site.layer);
        let near = anchors.near(site.site, site.layer);
        let apart = match site.site {
            Site::Heads => Some(scale_heads(graph, site, &mut patch, (near, &selected))),
            Site::Product(weight) => Some(edit(graph, site, weight, &mut patch, (near, &selected))),
            _ => None,
        };
        if let Some(apart) = apart {
            match apart {
                Ok(substitution) => patch.substitutions.push(substitution),
                Err(why) => missed.push(Missed { name, why, rules: rules(site) }),
            }
            continue;
        }
        let (found, width) = match site.site {
            Site::Logits => (Ok(logits), width(site)),
            _ => (anchors.find(site.site, site.layer), plan.model.n_embd),
        };
        match found.and_then(|id| fit(graph.tensor(id), width).map(|()| id)) {
            Ok(target) => {
                let output_only = selected[target.0 as usize];
                let n_rows = graph.tensor(target).ne[1] as u32;
                let rows = (output_only, n_rows);
                let mut terms = Terms::new(&mut patch.leafs, &mut taps, &plan.probes, near, &name, rows);
                let (mut acting, mut mute) = (Vec::new(), Vec::new());
                for term in &site.terms {
                    let rules = if terms.lower(term, graph.tensor(target).ne[1]) { &mut acting } else { &mut mute };
                    rules.extend_from_slice(term.rules());
                }
                let (nodes, taps) = terms.finish();
                if !mute.is_empty() {
                    let why = "its probe found no place to read".to_owned();
                    missed.push(Missed { name: name.clone(), why, rules: mute });
                }
                if !nodes.is_empty() {
                    let (site, layer, rules) = (site.site, site.layer, acting);
                    let s = Substitution { target, name, site, layer, n_rows, output_only, nodes, taps, rules };
                    patch.substitutions.push(s);
                }
            }
            Err(why) => missed.push(Missed { name, why, rules: rules(site) }),
        }
    }
    // Where two sites are one node (a projection, and what it adds to the stream), the one that comes first in the plan acts
    // first: the sort is stable.
    patch.substitutions.sort_by_key(|s| s.target);
    if patch.reads_gates() {
        patch.gates = Some(GateTable { n_tokens: n_tokens?, n_gates: plan.n_gates });
    }
    patch.slots = patch.slot_tables();
    capacity(graph, &patch)?;
    Ok(Lowered::Patch(patch, missed))
}

/// The length of a site's vectors.
fn width(site: &SitePlan) -> u32 {
    let length = |term: &Term| match term {
        Term::AddConst { vector, .. } | Term::AddGated { vector, .. } => Some(vector.len() as u32),
        Term::Calibrate { calibration, .. } => Some(calibration.n_vocab),
        _ => None,
    };
    site.terms.iter().find_map(length).unwrap_or(0)
}

/// The substitution at the heads of one layer, without its name.
fn scale_heads(
    graph: &GraphView,
    site: &SitePlan,
    patch: &mut Patch,
    (near, selected): (Option<TensorId>, &[bool]),
) -> Result<Substitution, String> {
    let heads = Heads::find(graph, site.layer)?;
    let asked =
        site.terms.iter().filter_map(|term| if let Term::ScaleHeads { heads, .. } = term { Some(heads) } else { None });
    if let Some(head) = asked.flat_map(|heads| heads.keys()).find(|head| !heads.has(**head)) {
        return Err(format!("there is no head {head}, only {}", heads.n_head()));
    }
    let (target, output_only) = (heads.target, selected[heads.target.0 as usize]);
    let name = node_name(site.site, site.layer);
    let nodes = heads.lower(&site.terms, &mut patch.leafs, (near, &name, output_only));
    let (site, layer, rules) = (site.site, site.layer, rules(site));
    Ok(Substitution { target, name, site, layer, n_rows: heads.n_rows, output_only, nodes, taps: vec![], rules })
}

/// The substitution of the product with one matrix.
fn edit(
    graph: &GraphView,
    site: &SitePlan,
    weight: Weight,
    patch: &mut Patch,
    (near, selected): (Option<TensorId>, &[bool]),
) -> Result<Substitution, String> {
    let product = Product::find(graph, site.layer, weight)?;
    product.fit(&site.terms)?;
    let (target, output_only) = (product.target, selected[product.target.0 as usize]);
    let name = node_name(site.site, site.layer);
    let nodes = product.lower(&site.terms, &mut patch.leafs, (near, &name, output_only));
    let (site, layer, rules) = (site.site, site.layer, rules(site));
    Ok(Substitution { target, name, site, layer, n_rows: product.n_rows, output_only, nodes, taps: vec![], rules })
}

/// What a site is called, whatever the host calls its node: unique in a graph and the same in all graphs.
fn node_name(site: Site, layer: u32) -> String {
    match site {
        Site::Product(Weight::Output) => "output".to_owned(),
        Site::Product(weight) => format!("{weight}-{layer}"),
        Site::Heads => format!("heads-{layer}"),
        Site::AttnOut => format!("attn_out-{layer}"),
        Site::FfnOut => format!("ffn_out-{layer}"),
        Site::Residual => format!("l_out-{layer}"),
        Site::FinalNorm => "result_norm".to_owned(),
        Site::Logits => "result_output".to_owned(),
    }
}

/// Fails, with the reason, if a node does not have rows of this width.
pub(super) fn fit(t: &TensorView, n_embd: u32) -> Result<(), String> {
    if !t.f32 {
        return Err("it is not F32".into());
    }
    // Models with several residual streams have a node of this name with one more dimension.
    if t.ne[0] != i64::from(n_embd) || t.ne[2] != 1 || t.ne[3] != 1 {
        return Err(format!("its shape is {:?}, not [{n_embd}, rows]", t.ne));
    }
    Ok(())
}

fn rules(site: &SitePlan) -> Vec<RuleIndex> {
    site.terms.iter().flat_map(Term::rules).copied().collect()
}

fn n_tokens(graph: &GraphView) -> Result<u32, LowerError> {
    let tokens = graph.leaf("inp_tokens").map(|id| graph.tensor(id).ne[0]);
    let rows = tokens.or_else(|| graph.leaf("inp_embd").map(|id| graph.tensor(id).ne[1]));
    rows.and_then(|n| u32::try_from(n).ok()).ok_or(LowerError::NoInput)
}

fn capacity(graph: &GraphView, patch: &Patch) -> Result<(), LowerError> {
    let (nodes, leafs) = (graph.n_nodes, graph.tensors.len() - graph.n_nodes);
    let (new_nodes, new_leafs) = (patch.new_nodes(), patch.new_leafs());
    if nodes + leafs + new_nodes + new_leafs + SPARE > graph.capacity {
        return Err(LowerError::Capacity { nodes, leafs, capacity: graph.capacity, new_nodes, new_leafs });
    }
    debug_assert!(patch.substitutions.iter().all(|s| graph.tensor(s.target).op != Op::None));
    Ok(())
}

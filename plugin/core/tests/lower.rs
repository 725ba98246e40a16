//! The lowering on graphs that are not as one would wish, and what its patches compute.

mod interpreter;
mod toy;

use std::sync::Arc;

use evenkeel_core::profile::{Operator, Tokens};
use evenkeel_core::{
    lower::{
        GateTable, GraphView, Leaf, LowerError, Lowered, Missed, Name, NewNode, Op, Patch, Ref, Substitution, TensorId,
        TensorView, lower,
    },
    model::ModelFacts,
    plan::{Dose, GateIndex, Plan, Rule, RuleIndex, Site, SitePlan, Term},
};
use interpreter::evaluate;
use toy::{Toy, position};

const N_EMBD: u32 = 4;
const N_LAYER: u32 = 3;

fn vector(seed: f32) -> Arc<[f32]> {
    (0..N_EMBD).map(|i| seed + i as f32 / 8.0).collect()
}

/// Rule `a` adds a constant and rule `b` a gated vector after every layer.
fn plan() -> Plan {
    let rule = |name: &str, gate| Rule {
        name: name.into(),
        operator: Operator::Add,
        strength: 1.0,
        gate,
        adjustable: true,
        tokens: Tokens::All,
        held: false,
        site: Site::Residual,
        layers: (0..N_LAYER).collect(),
        dropped: None,
    };
    let terms = || {
        vec![
            Term::AddConst { rules: vec![RuleIndex(0)], vector: vector(1.0) },
            Term::AddGated {
                rules: vec![RuleIndex(1)],
                dose: Dose { gate: Some(GateIndex(0)), when: None },
                vector: vector(-3.0),
            },
        ]
    };
    Plan {
        profile: "toy".into(),
        model: ModelFacts { arch: "llama".into(), n_embd: N_EMBD, n_layer: N_LAYER, n_head: None, name: None },
        rules: vec![rule("a", None), rule("b", Some(GateIndex(0)))],
        probes: vec![],
        after: vec![],
        n_gates: 1,
        invariance: None,
        contrast: None,
        sites: (0..N_LAYER).map(|layer| SitePlan { site: Site::Residual, layer, terms: terms() }).collect(),
    }
}

fn toy() -> Toy {
    Toy::new(N_LAYER, N_EMBD)
}

fn lowered(graph: &GraphView) -> (Patch, Vec<Missed>) {
    match lower(&plan(), graph) {
        Ok(Lowered::Patch(patch, missed)) => (patch, missed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_graph_without_logits_is_not_ours() {
    let graph = Toy { logits: false, ..toy() }.build();
    assert_eq!(lower(&plan(), &graph), Ok(Lowered::NotOurs));
}

#[test]
fn logits_of_an_unselected_branch_are_none() {
    let mut graph = toy().build();
    let logits = position(&graph, "result_output");
    graph.tensors[logits].compute = false;
    assert_eq!(lower(&plan(), &graph), Ok(Lowered::NotOurs));
}

#[test]
fn an_empty_plan_makes_an_empty_patch() {
    let empty = Plan { sites: vec![], rules: vec![], n_gates: 0, ..plan() };
    let Ok(Lowered::Patch(patch, missed)) = lower(&empty, &toy().build()) else { panic!() };
    assert_eq!((patch.new_nodes(), patch.new_leafs(), missed), (0, 0, vec![]));
}

#[test]
fn a_graph_without_room_is_refused_with_its_numbers() {
    let full = toy().build();
    let (nodes, leafs) = (full.n_nodes, full.tensors.len() - full.n_nodes);
    let (patch, _) = lowered(&full);
    let needed = nodes + leafs + patch.new_nodes() + patch.new_leafs() + 64;
    assert!(lower(&plan(), &Toy { capacity: needed, ..toy() }.build()).is_ok());
    let error = lower(&plan(), &Toy { capacity: needed - 1, ..toy() }.build()).unwrap_err();
    let (new_nodes, new_leafs) = (patch.new_nodes(), patch.new_leafs());
    assert_eq!(error, LowerError::Capacity { nodes, leafs, capacity: needed - 1, new_nodes, new_leafs });
}

#[test]
fn a_layer_that_the_graph_lacks_is_named_with_its_rules() {
    let (patch, missed) = lowered(&Toy { n_layer: N_LAYER - 1, ..toy() }.build());
    assert_eq!(patch.substitutions.len(), 2);
    let rules = vec![RuleIndex(0), RuleIndex(1)];
    assert_eq!(missed, [Missed { name: "l_out-2".into(), why: "no such node in this graph".into(), rules }]);
}

#[test]
fn a_node_of_another_shape_or_type_is_no_residual_stream() {
    let changes: [fn(&mut TensorView); 3] = [|t| t.ne[2] = 4, |t| t.ne[0] = 8, |t| t.f32 = false];
    for change in changes {
        let mut graph = toy().build();
        let l_out = position(&graph, "l_out-1");
        change(&mut graph.tensors[l_out]);
        let (patch, missed) = lowered(&graph);
        assert_eq!((patch.substitutions.len(), missed.len()), (2, 1));
        assert_eq!(missed[0].name, "l_out-1");
    }
}

#[test]
fn of_two_nodes_with_one_name_the_last_counts_and_views_never_do() {
    let mut graph = toy().build();
    let (ffn_out, l_out) = (position(&graph, "ffn_out-1"), position(&graph, "l_out-1"));
    graph.tensors[ffn_out].name = graph.tensors[l_out].name;
    assert_eq!(lowered(&graph).0.substitutions[1].target.0 as usize, l_out);
    graph.tensors[l_out].op = Op::View;
    assert_eq!(lowered(&graph).0.substitutions[1].target.0 as usize, ffn_out);
}

#[test]
fn only_the_last_block_holds_output_rows() {
    let gate = |s: &Substitution| {
        s.nodes.iter().find_map(|n| if let NewNode::Mul(_, gate) = n { Some(*gate) } else { None }).unwrap()
    };
    // With as many outputs as tokens the shapes do not tell.
    for n_outputs in [0, 1, 7] {
        let (patch, _) = lowered(&Toy { n_outputs, ..toy() }.build());
        let gates: Vec<Ref> = patch.substitutions.iter().map(gate).collect();
        assert_eq!(gates, [Ref::Gate(GateIndex(0)), Ref::Gate(GateIndex(0)), Ref::OutputGate(GateIndex(0))]);
        assert_eq!(patch.gates, Some(GateTable { n_tokens: 7, n_gates: 1 }));
    }
}

#[test]
fn the_topology_does_not_depend_on_the_batch() {
    let shape = |n_tokens, n_outputs| {
        let (patch, _) = lowered(&Toy { n_tokens, n_outputs, ..toy() }.build());
        let nodes: Vec<_> = patch.substitutions.iter().map(|s| (s.target, s.nodes.clone())).collect();
        (patch.new_nodes(), patch.new_leafs(), nodes)
    };
    assert_eq!(shape(1, 1), shape(512, 0));
    assert_eq!(shape(1, 1), shape(512, 512));
}

#[test]
fn constants_lie_with_their_block() {
    let graph = toy().build();
    let (patch, _) = lowered(&graph);
    for (i, leaf) in patch.leafs.iter().enumerate() {
        let Leaf::Constant { near, .. } = leaf else { panic!() };
        assert_eq!(graph.tensor(near.unwrap()).name.as_str(), format!("blk.{}.attn_norm.weight", i / 2));
    }
}

#[test]
fn a_patch_computes_the_plan_row_by_row_and_a_gate_of_zero_changes_no_bit() {
    let (patch, _) = lowered(&toy().build());
    let x: Vec<Vec<f32>> = (0..3).map(|r| (0..N_EMBD).map(|i| 0.3 * (r * 5 + i) as f32 - 1.7).collect()).collect();
    let gates = [0.0, 2.5, -1.0];
    let y = evaluate(&patch, &patch.substitutions[1], &x, &gates);
    for ((x, y), gate) in x.iter().zip(&y).zip(gates) {
        for (i, (x, y)) in x.iter().zip(y).enumerate() {
            let constant = x + vector(1.0)[i];
            let expected = if gate == 0.0 { constant } else { constant + gate * vector(-3.0)[i] };
            assert_eq!(y.to_bits(), expected.to_bits());
        }
    }
}

/// One rule at a site of layers 1 and 2.
fn lowered_at(site: Site, graph: &GraphView) -> (Vec<usize>, Vec<String>) {
    let terms = || vec![Term::AddConst { rules: vec![RuleIndex(0)], vector: vector(1.0) }];
    let sites = (1..N_LAYER).map(|layer| SitePlan { site, layer, terms: terms() }).collect();
    match lower(&Plan { sites, ..plan() }, graph) {
        Ok(Lowered::Patch(patch, missed)) => (
            patch.substitutions.iter().map(|s| s.target.0 as usize).collect(),
            missed.into_iter().map(|m| m.why).collect(),
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_block_adds_is_found_whatever_it_is_called() {
    let named = toy().build();
    let mut graph = named.clone();
    for t in graph.tensors.iter_mut().filter(|t| t.name.as_str().contains("_out-") || t.name.as_str().contains("inp-"))
    {
        let known = t.name.as_str().starts_with("l_out") || t.name.as_str().starts_with("kqv_out");
        t.name = if known { t.name } else { Name::new("node_7") };
    }
    let last_attn = position(&named, "ffn_inp-2") - 2;
    assert_eq!(lowered_at(Site::AttnOut, &graph), (vec![position(&named, "attn_out-1"), last_attn], vec![]));
    let ffn = vec![position(&named, "ffn_out-1"), position(&named, "ffn_out-2")];
    assert_eq!(lowered_at(Site::FfnOut, &graph), (ffn, vec![]));
}

/// Blocks that compute both parts from one input: `(ffn + attn) + x` and `(ffn + x) + attn`.
#[test]
fn the_parts_of_a_parallel_block_are_told_apart() {
    let named = toy().build();
    let at = |name: &str| Some(TensorId(position(&named, name) as u32));
    let (attn, ffn, x) = (at("attn_out-1"), at("ffn_out-1"), at("l_out-0"));
    for (inner, outer) in [([ffn, attn], x), ([ffn, x], attn), ([attn, x], ffn)] {
        let mut graph = named.clone();
        let (inp, ffn_out, l_out) =
            (position(&named, "ffn_inp-1"), position(&named, "ffn_out-1"), position(&named, "l_out-1"));
        graph.tensors[ffn_out].src[0] = at("attn_norm-1");
        graph.tensors[inp].src[..2].copy_from_slice(&inner);
        graph.tensors[l_out].src[..2].copy_from_slice(&[at("ffn_inp-1"), outer]);
        assert_eq!(lowered_at(Site::AttnOut, &graph).0[0], position(&named, "attn_out-1"));
        assert_eq!(lowered_at(Site::FfnOut, &graph).0[0], position(&named, "ffn_out-1"));
    }
}

#[test]
fn a_block_that_is_no_sum_or_has_no_attention_says_so() {
    let mut graph = toy().build();
    let (l_out, kqv) = (position(&graph, "l_out-1"), position(&graph, "kqv_out-2"));
    graph.tensors[l_out].op = Op::Other;
    graph.tensors[kqv].name = Name::new("scan-2");
    let (found, why) = lowered_at(Site::AttnOut, &graph);
    assert!(found.is_empty());
    assert!(why[0].contains("is not a sum") && why[1] == "this block has no attention", "{why:?}");
    assert_eq!(lowered_at(Site::Residual, &graph).0.len(), 2, "the residual stream needs neither");
}

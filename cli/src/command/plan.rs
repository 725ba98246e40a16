//! `plan`: layer by layer what a profile does to a model, and the nodes that its rules become.

use evenkeel_core::{
    lower::{GraphView, Lowered, Name, Op, Patch, TensorId, TensorView, lower},
    plan::Plan,
};
use owo_colors::OwoColorize;
use serde_json::json;

use super::check;
use crate::{
    args,
    failure::{Failure, Outcome, Verdict},
    screen,
};

pub fn main(args: &args::Plan, as_json: bool) -> Outcome {
    let plan = match check::plan(&args.profile, &args.model, as_json)? {
        Ok(plan) => plan,
        Err(verdict) => return Ok(verdict),
    };
    let patch = match lower(&plan, &sketch(&plan)).map_err(Failure::new)? {
        Lowered::Patch(patch, _) => patch,
        Lowered::NotOurs => Patch::default(),
    };
    if as_json {
        screen::json(&to_json(&plan, &patch));
        return Ok(Verdict::Good);
    }
    for line in plan.to_string().lines() {
        match line.split_once(':') {
            Some((head, rest)) if line.starts_with("layer ") => anstream::println!("{}:{rest}", head.cyan()),
            Some((head, rest)) if line.starts_with("rule ") => anstream::println!("{}:{rest}", head.bold()),
            _ => anstream::println!("{line}"),
        }
    }
    if !patch.substitutions.is_empty() {
        anstream::println!("\n{}", "As nodes, in a graph of one token:".bold());
        print!("{patch}");
    }
    Ok(Verdict::Good)
}

fn to_json(plan: &Plan, patch: &Patch) -> serde_json::Value {
    let rules: Vec<_> = (plan.rules.iter())
        .map(|r| {
            json!({
                "name": r.name,
                "strength": r.strength,
                "site": r.site.to_string(),
                "layers": r.layers,
                "dropped": r.dropped,
            })
        })
        .collect();
    let text = plan.to_string();
    let sites: Vec<_> = (text.lines())
        .filter(|line| line.starts_with("layer "))
        .zip(&plan.sites)
        .map(|(line, s)| json!({ "layer": s.layer, "site": s.site.to_string(), "text": line }))
        .collect();
    json!({
        "profile": plan.profile,
        "model": { "arch": plan.model.arch, "layers": plan.model.n_layer, "width": plan.model.n_embd },
        "rules": rules,
        "sites": sites,
        "nodes": { "new": patch.new_nodes(), "leafs": patch.new_leafs(), "text": patch.to_string() },
    })
}

/// A graph with nothing but the nodes that rules act on, as every llama.cpp model has them: one token, the output rows
/// gathered in the last block.
fn sketch(plan: &Plan) -> GraphView {
    let width = i64::from(plan.model.n_embd);
    let mut nodes: Vec<TensorView> = Vec::new();
    let n_layer = plan.model.n_layer;
    // Blocks, the gather, the logits; then the two inputs.
    let n_nodes = n_layer + 2;
    let (tokens, out_ids) = (TensorId(n_nodes), TensorId(n_nodes + 1));
    let node = |name: &str, op, ne, src: &[TensorId]| {
        let mut sources = [None; 10];
        sources.iter_mut().zip(src).for_each(|(slot, id)| *slot = Some(*id));
        TensorView { name: Name::new(name), op, ne, f32: true, view: false, compute: true, src: sources }
    };
    let last = |nodes: &Vec<TensorView>| nodes.len().checked_sub(1).map_or(tokens, |i| TensorId(i as u32));
    for layer in 0..n_layer {
        if layer + 1 == n_layer {
            let from = last(&nodes);
            nodes.push(node("gathered", Op::GetRows, [width, 1, 1, 1], &[from, out_ids]));
        }
        let from = last(&nodes);
        nodes.push(node(&format!("l_out-{layer}"), Op::Add, [width, 1, 1, 1], &[from]));
    }
    let from = last(&nodes);
    nodes.push(node("result_output", Op::Other, [1, 1, 1, 1], &[from]));
    nodes.push(node("inp_tokens", Op::None, [1, 1, 1, 1], &[]));
    nodes.push(node("out_ids", Op::None, [1, 1, 1, 1], &[]));
    GraphView { n_nodes: n_nodes as usize, capacity: 1 << 20, tensors: nodes }
}

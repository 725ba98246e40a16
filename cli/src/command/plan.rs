//! `plan`: layer by layer what a profile does to a model, and the nodes that its rules become.

use evenkeel_core::{
    lower::{Lowered, Patch, lower},
    plan::Plan,
};
use owo_colors::OwoColorize;
use serde_json::json;

use super::{check, sketch::sketch};
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

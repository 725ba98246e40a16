//! The state as JSON.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use evenkeel_core::plan::RuleIndex;
use serde_json::{Value, json};

use super::{Clock, Context, Instance, ProfileSlot, Standing, State, lock, poisoned};

/// What [`ek_stats_json`](../../../include/evenkeel.h) returns.
pub fn stats_json(state: &State) -> Value {
    let mut contexts: Vec<_> = lock(&state.contexts).values().cloned().collect();
    contexts.sort_by_key(|c| c.id);
    let (profile, error) = match &*lock(&state.profile) {
        ProfileSlot::None => (None, None),
        ProfileSlot::Named(path) => (Some(path.display().to_string()), None),
        ProfileSlot::Loaded(shelf) => (Some(shelf.path.display().to_string()), None),
        ProfileSlot::Failed(text) => (None, Some(text.clone())),
    };
    contexts.retain(|c| !matches!(c.standing, Standing::Second(_)));
    let ours = contexts.iter().any(|c| c.live().is_some());
    let status = match (poisoned(), &error, ours) {
        (true, ..) => "poisoned",
        (_, Some(_), _) => "failed",
        (_, _, true) => "active",
        _ if profile.is_some() => "waiting",
        _ => "idle",
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "status": status,
        "profile": profile,
        "error": error,
        "contexts": contexts.iter().map(|c| context(c)).collect::<Vec<_>>(),
        "trouble": {
            "passed_through": load(&state.trouble.passed_through),
            "unread": load(&state.trouble.unread),
            "unsteered": load(&state.trouble.unsteered),
        },
        "hook_ns": clock(&state.time),
    })
}

/// What `ek_plan_text` returns: for every context of ours, its plan and what became of it in the first graph.
pub fn plan_text(state: &State) -> String {
    let mut contexts: Vec<_> = lock(&state.contexts).values().cloned().collect();
    contexts.sort_by_key(|c| c.id);
    let mut text = String::new();
    for c in &contexts {
        for fallback in c.fallbacks().into_iter().flatten() {
            let _ = writeln!(text, "context {} ({}): {fallback}", c.id, c.model);
        }
        for instance in c.instances() {
            let _ = writeln!(text, "context {} ({})\n{}", c.id, c.model, instance.plan);
            if let Some(patch) = instance.patch.get() {
                let _ = writeln!(text, "first graph: {patch}");
            }
        }
    }
    text.replace('\0', " ")
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

fn clock(c: &Clock) -> Value {
    json!({ "calls": load(&c.calls), "total": load(&c.total_ns), "max": load(&c.max_ns) })
}

fn context(c: &Context) -> Value {
    let (standing, why) = match &c.standing {
        Standing::Ours(_) | Standing::Second(_) => ("ours", None),
        Standing::Idle => ("idle", None),
        Standing::Left(why) => ("left", Some(*why)),
        Standing::Other(why) => ("other", Some(why.as_str())),
        Standing::Failed(why) => ("failed", Some(why.as_str())),
    };
    let Some(live) = c.live() else {
        return json!({ "id": c.id, "model": c.model, "standing": standing, "why": why, "rules": null });
    };
    let rules: Vec<Value> = live.instances().iter().flat_map(|instance| rules(instance)).collect();
    let (sequences, totals) = live.shown();
    let sequence = |s: &super::live::Shown| json!({ "sequence": s.seq, "profile": s.plan, "cells": s.cells, "requests": s.requests });
    json!({
        "id": c.id,
        "model": c.model,
        "standing": standing,
        "why": why,
        "rules": rules,
        "fallbacks": c.fallbacks(),
        "sequences": sequences.iter().map(sequence).collect::<Vec<_>>(),
        "contrast": {
            "rows": load(&live.contrasted.rows),
            "tokens": load(&live.contrasted.tokens),
            "calls": load(&live.contrasted.calls),
            "joined": load(&live.contrasted.joined),
        },
        "requests": {
            "ended": totals.requests,
            "refused": totals.refused,
            "cells_evaluated_again": totals.again,
            "cells_left_stale": totals.stale,
            "reloads": totals.reloads,
        },
    })
}

/// The rules of one profile.
fn rules(instance: &Instance) -> Vec<Value> {
    // Rows that it looked at, and those that had a prior: what the request says there without a part.
    let of_request = |i: usize| {
        let (index, counter) = (RuleIndex(i as u16), &instance.counters[i]);
        let known = || json!({ "rows": load(&counter.rows), "known": load(&counter.with_prior) });
        instance.of_request().contains(&index).then(known)
    };
    let rule = |(i, rule): (usize, &evenkeel_core::plan::Rule)| {
        let counter = &instance.counters[i];
        json!({
            "profile": instance.plan.profile,
            "name": rule.name,
            "strength": rule.gate.map_or(rule.strength, |g| instance.strength(usize::from(g.0))),
            "adjustable": rule.adjustable,
            "tokens": rule.tokens.name(),
            "site": rule.site.to_string(),
            "layers": rule.layers,
            "dropped": rule.dropped,
            "sites": counter.sites.load(Relaxed),
            "graphs": load(&counter.graphs),
            "rows": load(&counter.rows),
            "prior": of_request(i).or_else(|| instance.prior(RuleIndex(i as u16)).map(|(prior, how)| json!({
                "requests": prior.seen(),
                "used": prior.is_used(how),
                "shares": prior.shares(),
            }))),
        })
    };
    instance.plan.rules.iter().enumerate().map(rule).collect()
}

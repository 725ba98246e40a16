//! What two snapshots of one process say together.

use serde::Serialize;

use super::look::Snapshot;
use crate::stats::{ContextStats, ContrastStats, RequestStats, RuleStats, SequenceStats};

/// A snapshot older than this was not followed by a call to decode: one is written each second while there are any.
pub const IDLE_MS: u64 = 3000;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It evaluates tokens.
    Active,
    /// It has not for some seconds: what it did in its last second is not in the file.
    Idle,
    /// Its file is old, and whether it still runs cannot be told from here: its number counts elsewhere.
    Unknown,
}

/// One process.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    pub pid: u32,
    pub program: String,
    pub state: State,
    /// Seconds since the snapshot was written.
    pub age: f64,
    /// Of the plug-in.
    pub version: String,
    pub status: String,
    pub profile: Option<String>,
    pub error: Option<String>,
    pub decode: Decode,
    /// What went wrong, by kind.
    pub trouble: serde_json::Map<String, serde_json::Value>,
    pub contexts: Vec<Context>,
}

/// Evaluations of micro-batches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Decode {
    /// Since the process began.
    pub calls: u64,
    /// Of late.
    pub calls_per_second: Option<f64>,
    /// The plug-in's own time for each, in microseconds: of late, else since the process began.
    pub hook_us: Option<f64>,
    /// The longest of them since the process began, in microseconds: never below the mean since then.
    pub hook_longest_us: f64,
}

/// One context.
#[derive(Debug, Clone, Serialize)]
pub struct Context {
    pub id: u64,
    pub model: String,
    pub standing: String,
    pub why: Option<String>,
    pub sequences: Vec<SequenceStats>,
    pub requests: RequestStats,
    /// What came of a contrast.
    pub contrast: ContrastStats,
    pub rules: Vec<Rule>,
}

/// One rule of one profile.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    /// Its counters since the process began.
    #[serde(flatten)]
    pub counted: RuleStats,
    /// The rows that it acts on of late.
    pub rows_per_second: Option<f64>,
}

impl View {
    /// What `later`, read at `now_ms`, says; rates need an `earlier` one.
    pub fn of(earlier: Option<&Snapshot>, later: &Snapshot, alive: Option<bool>, now_ms: u64) -> View {
        let age = now_ms.saturating_sub(later.unix_ms);
        let state = match alive {
            _ if age <= IDLE_MS => State::Active,
            Some(_) => State::Idle,
            None => State::Unknown,
        };
        let active = state == State::Active;
        // Another process of the same number, or a clock that was set back, tells nothing of a rate.
        let same = |e: &&Snapshot| active && e.started == later.started && e.unix_ms < later.unix_ms;
        let between = earlier.filter(same).map(|e| Between { earlier: e, later });
        let s = &later.stats;
        View {
            pid: later.pid,
            program: later.program.clone(),
            state,
            age: age as f64 / 1000.0,
            version: s.version.clone(),
            status: s.status.clone(),
            profile: s.profile.clone(),
            error: s.error.clone(),
            decode: decode(later, between.as_ref()),
            trouble: s.trouble.clone(),
            contexts: s.contexts.iter().map(|c| context(c, between.as_ref())).collect(),
        }
    }
}

/// Two snapshots of the same process.
struct Between<'a> {
    earlier: &'a Snapshot,
    later: &'a Snapshot,
}

impl Between<'_> {
    /// What a counter that went from `before` to `after` did in each second; none if it began anew.
    fn rate(&self, before: u64, after: u64) -> Option<f64> {
        let seconds = (self.later.unix_ms - self.earlier.unix_ms) as f64 / 1000.0;
        after.checked_sub(before).map(|n| n as f64 / seconds)
    }

    /// The earlier counter of a rule; 0 of one that was not there.
    fn rows(&self, context: u64, rule: &RuleStats) -> u64 {
        let contexts = self.earlier.stats.contexts.iter().filter(|c| c.id == context);
        let same = |r: &&RuleStats| r.profile == rule.profile && r.name == rule.name;
        contexts.flat_map(|c| c.rules.iter().flatten()).find(same).map_or(0, |r| r.rows)
    }
}

fn decode(later: &Snapshot, between: Option<&Between>) -> Decode {
    let times = &later.stats.hook_ns;
    let calls = times.calls;
    let of_late = between.filter(|b| b.earlier.stats.hook_ns.calls <= calls);
    Decode {
        calls,
        calls_per_second: between.and_then(|b| b.rate(b.earlier.stats.hook_ns.calls, calls)),
        hook_us: of_late
            .and_then(|b| times.since(&b.earlier.stats.hook_ns))
            .or_else(|| times.since(&Default::default())),
        hook_longest_us: times.max as f64 / 1000.0,
    }
}

fn context(c: &ContextStats, between: Option<&Between>) -> Context {
    let rule = |r: &RuleStats| Rule {
        counted: r.clone(),
        rows_per_second: between.and_then(|b| b.rate(b.rows(c.id, r), r.rows)),
    };
    Context {
        id: c.id,
        model: c.model.clone(),
        standing: c.standing.clone(),
        why: c.why.clone(),
        sequences: c.sequences.clone(),
        requests: c.requests,
        contrast: c.contrast,
        rules: c.rules.iter().flatten().map(rule).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A process that began at tick 5 and has one context with two rules of the same name in two profiles.
    fn snapshot(unix_ms: u64, rows: [u64; 2], calls: u64, hook_ns: u64) -> Snapshot {
        let rule = |profile: &str, rows: u64| json!({ "profile": profile, "name": "r", "strength": 1.5, "rows": rows });
        let value: Value = json!({
            "pid": 7, "program": "server", "started": 5, "namespace": "pid:[1]", "unix_ms": unix_ms,
            "stats": {
                "status": "active", "profile": "p.toml",
                "contexts": [{
                    "id": 1, "model": "m", "standing": "ours", "rules": [rule("a", rows[0]), rule("b", rows[1])],
                    "sequences": [{ "sequence": 0, "profile": "a", "cells": 12, "requests": 3 }],
                    "requests": { "ended": 2, "refused": 1, "cells_evaluated_again": 4, "cells_left_stale": 5, "reloads": 6 },
                    "contrast": { "rows": 7, "tokens": 8, "calls": 9, "joined": 5 },
                }],
                "hook_ns": { "calls": calls, "total": hook_ns, "max": 9000 },
            },
        });
        serde_json::from_value(value).expect("a snapshot")
    }

    #[test]
    fn rates_are_differences_by_rule_and_profile() {
        let (one, two) = (snapshot(10_000, [100, 7], 20, 100_000), snapshot(12_000, [300, 7], 30, 180_000));
        let view = View::of(Some(&one), &two, Some(true), 12_500);
        assert_eq!((view.state, view.age), (State::Active, 0.5));
        let rates: Vec<_> =
            view.contexts[0].rules.iter().map(|r| (&*r.counted.profile, r.counted.rows, r.rows_per_second)).collect();
        assert_eq!(rates, [("a", 300, Some(100.0)), ("b", 7, Some(0.0))]);
        let expected = Decode { calls: 30, calls_per_second: Some(5.0), hook_us: Some(8.0), hook_longest_us: 9.0 };
        assert_eq!(view.decode, expected);
        let requests = view.contexts[0].requests;
        assert_eq!((requests.ended, requests.refused, requests.cells_evaluated_again), (2, 1, 4));
        assert_eq!((requests.cells_left_stale, requests.reloads), (5, 6));
        assert_eq!(view.contexts[0].contrast, ContrastStats { rows: 7, tokens: 8, calls: 9, joined: 5 });
        assert_eq!(view.contexts[0].sequences[0].cells, 12);
    }

    #[test]
    fn one_snapshot_has_sums_and_no_rates() {
        let view = View::of(None, &snapshot(10_000, [100, 7], 20, 100_000), Some(true), 10_000);
        assert_eq!(view.contexts[0].rules[0].rows_per_second, None);
        assert_eq!((view.decode.calls_per_second, view.decode.hook_us), (None, Some(5.0)));
    }

    #[test]
    fn what_began_anew_has_no_rate() {
        let (one, two) = (snapshot(10_000, [100, 7], 20, 100_000), snapshot(11_000, [40, 9], 5, 10_000));
        let view = View::of(Some(&one), &two, Some(true), 11_000);
        let rates: Vec<_> = view.contexts[0].rules.iter().map(|r| r.rows_per_second).collect();
        assert_eq!(rates, [None, Some(2.0)]);
        assert_eq!((view.decode.calls_per_second, view.decode.hook_us), (None, Some(2.0)));
        // Another process has this number now, or the clock was set back.
        let other = Snapshot { started: Some(6), ..two.clone() };
        assert_eq!(View::of(Some(&one), &other, Some(true), 11_000).contexts[0].rules[1].rows_per_second, None);
        assert_eq!(View::of(Some(&two), &one, Some(true), 10_000).contexts[0].rules[1].rows_per_second, None);
    }

    #[test]
    fn an_old_snapshot_is_idle_and_has_no_rates() {
        let (one, two) = (snapshot(10_000, [100, 7], 20, 100_000), snapshot(12_000, [300, 7], 30, 180_000));
        let at = |alive, now| {
            let view = View::of(Some(&one), &two, alive, now);
            (view.state, view.contexts[0].rules[0].rows_per_second)
        };
        assert_eq!(at(Some(true), 12_000 + IDLE_MS), (State::Active, Some(100.0)));
        assert_eq!(at(Some(true), 12_001 + IDLE_MS), (State::Idle, None));
        assert_eq!(at(None, 12_001 + IDLE_MS), (State::Unknown, None));
        // A clock that was set back is no reason to call it old.
        assert_eq!(at(Some(true), 0).0, State::Active);
    }
}

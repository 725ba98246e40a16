//! What the plug-in tells about itself.

use evenkeel_ffi::host::Plugin;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The answer of `ek_stats_json`. Fields that a version lacks are empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Version of the plug-in.
    pub version: String,
    /// `idle`, `waiting`, `active`, `failed` or `poisoned`.
    pub status: String,
    /// The profile in force.
    pub profile: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// Each context that lives.
    pub contexts: Vec<ContextStats>,
    /// What went wrong, by kind.
    pub trouble: serde_json::Map<String, serde_json::Value>,
    /// The plug-in's own time.
    pub hook_ns: HookTime,
}

/// One context.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContextStats {
    /// Its number.
    pub id: u64,
    /// What model it runs.
    pub model: String,
    /// `ours`, or what else.
    pub standing: String,
    /// Why.
    pub why: Option<String>,
    /// The rules it runs under.
    pub rules: Option<Vec<RuleStats>>,
    /// Its sequences.
    pub sequences: Vec<SequenceStats>,
    /// Its requests and cells, summed.
    pub requests: RequestStats,
    /// What came of a contrast.
    pub contrast: ContrastStats,
}

/// Rows of one context that were set off against the same request without its contexts or images, or had a prior so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContrastStats {
    /// Rows.
    pub rows: u64,
    /// Tokens that the second context evaluated for them.
    pub tokens: u64,
    /// Calls to decode that this took.
    pub calls: u64,
    /// Those of them that were evaluated with the first context's, as one.
    pub joined: u64,
}

/// One sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SequenceStats {
    /// Its number.
    pub sequence: i64,
    /// The profile that its next row has; none before its first request is decided.
    pub profile: Option<String>,
    /// Cells that it has.
    pub cells: u64,
    /// Requests that it had.
    pub requests: u64,
}

/// Requests of one context.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestStats {
    /// That ended.
    pub ended: u64,
    /// That could not be served as asked.
    pub refused: u64,
    /// Cells of another profile that were evaluated again.
    pub cells_evaluated_again: u64,
    /// Cells of another profile that had to stay.
    pub cells_left_stale: u64,
    /// Times that changed profiles were taken up.
    pub reloads: u64,
}

/// One rule.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleStats {
    /// Its profile.
    pub profile: String,
    /// The rule's name in the profile.
    pub name: String,
    /// Its strength at this moment.
    pub strength: f32,
    /// The tokens it acts on.
    pub tokens: String,
    /// The blocks it acts on.
    pub layers: Vec<u32>,
    /// Why the planner dropped it.
    pub dropped: Option<String>,
    /// Sites of the last graph that it acts at.
    pub sites: u64,
    /// Evaluated graphs it acted in.
    pub graphs: u64,
    /// Rows it acted on, summed over its sites.
    pub rows: u64,
}

/// The plug-in's own time for evaluations of micro-batches, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HookTime {
    /// Evaluations.
    pub calls: u64,
    /// All of them together.
    pub total: u64,
    /// The longest.
    pub max: u64,
}

impl Stats {
    /// Asks the plug-in.
    pub fn of(plugin: &Plugin) -> Result<Stats, Failure> {
        let text = plugin.stats_json()?;
        serde_json::from_str(&text).map_err(|e| Failure::new(format!("the plug-in's statistics cannot be read: {e}")))
    }

    /// The context made last.
    pub fn last(&self) -> Option<&ContextStats> {
        self.contexts.last()
    }

    /// What makes a steered run worth less than it looks.
    pub fn problems(&self) -> Vec<String> {
        let counted = |v: &serde_json::Value| v.as_u64().is_none_or(|n| n > 0);
        let trouble = self.trouble.iter().filter(|(_, v)| counted(v)).map(|(kind, v)| format!("{kind}: {v}"));
        let mut problems: Vec<String> = trouble.collect();
        problems.extend(self.error.clone());
        match self.last() {
            Some(context) if context.standing == "ours" => {
                let rules = context.rules.iter().flatten();
                let silent = rules.filter(|r| r.dropped.is_none() && r.graphs == 0);
                problems.extend(silent.map(|r| format!("rule `{}` never acted", r.name)));
            }
            Some(context) => {
                let why = context.why.as_deref().unwrap_or("nothing was asked for");
                problems.push(format!("the plug-in left the context alone: {why}"));
            }
            None => problems.push("the plug-in saw no context".into()),
        }
        problems
    }
}

impl HookTime {
    /// Time spent since `earlier`, per evaluation, in microseconds; none if nothing was evaluated.
    pub fn since(&self, earlier: &HookTime) -> Option<f64> {
        let calls = self.calls - earlier.calls;
        (calls > 0).then(|| (self.total - earlier.total) as f64 / calls as f64 / 1000.0)
    }
}

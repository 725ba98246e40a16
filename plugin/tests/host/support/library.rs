//! The shared library under test.

use std::{env, path::PathBuf, process::Command, sync::OnceLock};

use serde_json::Value;

use super::{output_dir, repository};

/// `libevenkeel.so`: `$EVENKEEL_LIBRARY`, or of this source tree.
pub fn library() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| env::var_os("EVENKEEL_LIBRARY").map_or_else(|| build(&[]), PathBuf::from)).clone()
}

/// The same with the feature by which `EVENKEEL_INJECT_PANIC` names what shall panic. In a target folder of its own,
/// because it would else take the place of the library that everyone else tests.
pub fn panicking_library() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let folder = output_dir().join("inject-panics").display().to_string();
        build(&["--features", "inject-panics", "--target-dir", &folder])
    })
    .clone()
}

fn build(arguments: &[&str]) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--package", "evenkeel", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .current_dir(repository())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "the library does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    let artefacts = String::from_utf8(output.stdout).expect("cargo's messages are UTF-8");
    artefacts
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.file_name().is_some_and(|name| name == "libevenkeel.so"))
        .expect("cargo names libevenkeel.so among its artefacts")
}

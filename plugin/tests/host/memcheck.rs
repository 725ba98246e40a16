//! The scenarios under valgrind: no invalid access, nothing read that was not written, nothing lost.

use std::process::{Command, Stdio};

use super::support::*;

/// Runs a scenario under memcheck.
fn clean(door: Door, scenario: &str, keys: &str, arguments: &[&str]) {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found, "this test needs valgrind (apt install valgrind)");
    let profile = Profile::with(keys);
    let driver = Driver::new(door, scenario).env("EVENKEEL_PROFILE", profile.path()).env("EVENKEEL_LOG", "warn");
    let driver = arguments.iter().fold(driver, |d, a| d.arg(a)).command();
    let output = Command::new("valgrind")
        .args(["--quiet", "--error-exitcode=97", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"])
        .args(["--show-leak-kinds=definite,indirect", "--num-callers=24"])
        .arg(driver.get_program())
        .args(driver.get_args())
        .envs(driver.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .expect("valgrind starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !text.contains("=="),
        "{door:?} {scenario} {arguments:?}: {}\n{text}",
        output.status
    );
}

#[test]
fn steering() {
    for keys in [CONSTANT, ADJUSTABLE, "layers = [2]\nadjustable = true"] {
        clean(Door::Preload, "steer", keys, &[]);
    }
    clean(Door::Install, "steer", ADJUSTABLE, &["outputs=0"]);
}

#[test]
fn strengths_and_shifts() {
    clean(Door::Preload, "shift", ADJUSTABLE, &[]);
    clean(Door::Preload, "strength", ADJUSTABLE, &[]);
}

#[test]
fn contexts_that_come_and_go() {
    clean(Door::Preload, "kinds", ADJUSTABLE, &[]);
    clean(Door::Preload, "many", ADJUSTABLE, &["count=6", "failing=1"]);
    clean(Door::Preload, "builds", ADJUSTABLE, &["count=20", "fresh=1"]);
}

#[test]
fn what_passes_through() {
    clean(Door::Preload, "steer", CONSTANT, &["graph-size=20"]);
    clean(Door::Preload, "steer", CONSTANT, &["no-memory=2"]);
    clean(Door::Install, "steer", CONSTANT, &["throw=3"]);
}

#[test]
fn threads_and_calls() {
    clean(Door::Preload, "threads", ADJUSTABLE, &["rounds=1"]);
    clean(Door::Install, "misuse", CONSTANT, &[]);
    clean(Door::Install, "calls", CONSTANT, &[]);
}

#[test]
fn captures() {
    for keys in [CONSTANT, ADJUSTABLE] {
        clean(Door::Preload, "capture", keys, &["ubatch=2", "fresh=1"]);
    }
    clean(Door::Install, "capture", CONSTANT, &["ubatch=2", "graph-size=85"]);
}

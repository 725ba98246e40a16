//! A panic in any hook and any exported function stops inside the library: the host goes on with the graphs that it
//! built, the library says that it is poisoned, and everything else answers.
//!
//! The names come from the exported symbols, so that a new export is tested without anybody thinking of it.
//! `ek_abi_version` and `ek_version` have no guard: they return a constant and run no code that could panic.

use super::{exports::exported, support::*};

/// Functions that return a constant.
const CONSTANTS: [&str; 2] = ["ek_abi_version", "ek_version"];

/// A run in which every hook and every function is called, and one of them panics.
fn run(name: &str, door: Door, profile: &Profile) -> Ran {
    Driver::with_library(door, "calls", &[], &panicking_library())
        .env("EVENKEEL_PROFILE", profile.path())
        .env("EVENKEEL_INJECT_PANIC", name)
        .run()
}

fn names() -> Vec<String> {
    let mut names = exported(&panicking_library());
    names.retain(|n| !CONSTANTS.contains(&n.as_str()));
    names
}

/// Hooks that `calls` does not reach: they are optional, or llama.cpp calls them in another pass.
fn arguments(name: &str) -> &'static str {
    match name {
        "ggml_backend_sched_reserve_size" => "measure=1",
        "_ZN18llama_batch_allocr11split_equalEjbj" => "equal=1",
        _ => "measure=0",
    }
}

#[test]
fn in_every_hook_and_every_function_the_host_goes_on() {
    let profile = Profile::with(ADJUSTABLE);
    for name in names() {
        for door in [Door::Preload, Door::Install] {
            if door == Door::Install && name == "llama_init_from_model" {
                // The driver has no call slot for it: it looked the function up by name.
                continue;
            }
            let ran = Driver::with_library(door, "calls", &[], &panicking_library())
                .arg(arguments(&name))
                .env("EVENKEEL_PROFILE", profile.path())
                .env("EVENKEEL_INJECT_PANIC", &name)
                .env("EVENKEEL_REQUIRE", if name == "llama_init_from_model" { "1" } else { "0" })
                .run();
            ran.said(&format!("internal error in {name}: from here on every graph runs as the host built it"));
            assert_eq!(ran.stats()["status"], "poisoned", "{name}, {door:?}\n{ran}");
            let logits = ran.logits();
            assert_eq!(logits.len(), 1, "the host went on\n{ran}");
            let late = ["ggml_backend_sched_graph_compute_async", "_ZN13llama_contextD1Ev", "ggml_backend_sched_free"];
            if !late.contains(&name.as_str()) {
                assert_eq!(logits, [plain(2)], "{name}, {door:?}: pass-through\n{ran}");
            }
        }
    }
}

#[test]
fn a_function_that_panics_says_so_and_the_others_answer() {
    let profile = Profile::with(ADJUSTABLE);
    for name in names().iter().filter(|n| n.starts_with("ek_")) {
        let ran = run(name, Door::Preload, &profile);
        assert!(ran.stdout.lines().any(|l| l.starts_with(&format!("{name} "))), "{name} is called\n{ran}");
        for line in ran.stdout.lines().filter(|l| l.starts_with("ek_")) {
            let (function, answer) = line.split_once(' ').expect("a name and an answer");
            let panics = function == name;
            match function {
                "ek_abi_version" => assert_eq!(answer, "1", "{ran}"),
                "ek_version" => assert_eq!(answer, env!("CARGO_PKG_VERSION"), "{ran}"),
                // After a panic nothing is captured any more.
                "ek_captured" | "ek_captured_rows" => assert!(["0", "7"].contains(&answer), "{ran}"),
                "ek_last_error" => assert!(answer.starts_with('\''), "{ran}"),
                _ => assert_eq!(answer, if panics { "7" } else { "0" }, "{function} while {name} panics\n{ran}"),
            }
        }
    }
}

#[test]
fn the_way_from_an_entry_to_the_hosts_function_survives_a_panic() {
    let profile = Profile::with(CONSTANT);
    for door in [Door::Preload, Door::Install] {
        let ran = run("dispatch", door, &profile);
        assert_eq!(ran.logits(), [plain(2)], "{door:?}\n{ran}");
        assert_eq!(ran.stats()["status"], "poisoned", "{door:?}\n{ran}");
    }
}

#[test]
fn a_constant_function_has_no_panic_to_survive() {
    let profile = Profile::with(CONSTANT);
    for name in CONSTANTS {
        let ran = run(name, Door::Preload, &profile);
        assert_eq!(ran.stats()["status"], "waiting", "it has a guard now: take it out of CONSTANTS\n{ran}");
    }
}

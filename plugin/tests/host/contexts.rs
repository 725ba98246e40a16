//! Which contexts are steered, and what is left of those that are gone.

use super::support::*;

fn run(scenario: &str, keys: &str, arguments: &[&str]) -> Ran {
    let profile = Profile::with(keys);
    let driver = Driver::new(Door::Preload, scenario).env("EVENKEEL_PROFILE", profile.path());
    let ran = arguments.iter().fold(driver, |d, a| d.arg(a)).env("EVENKEEL_LOG", "warn").run();
    assert_ne!(ran.stats()["status"], "poisoned", "{ran}");
    ran
}

/// KiB of resident memory that a scenario may gain between its first part and its end.
fn grown_at_most(ran: &Ran, limit: i64) {
    let line = ran.stdout.lines().find_map(|l| l.strip_prefix("grown by ")).expect("the scenario says so");
    let grown: i64 = line.trim_end_matches(" KiB").parse().expect("a number");
    assert!(grown <= limit, "grown by {grown} KiB\n{ran}");
}

#[test]
fn contexts_that_do_not_generate_are_left_alone() {
    let profile = Profile::whole(
        "schema = 1\n[model]\narch = \"llama\"\n[[steer]]\nname = \"push\"\ndirection = \"unit.safetensors\"\nlayers = [1]\n",
    );
    let ran = Driver::new(Door::Preload, "kinds").env("EVENKEEL_PROFILE", profile.path()).run();
    assert_eq!(ran.logits(), [steered(1, 1, 1.0), plain(1), plain(1), plain(1)], "{ran}");
    let stats = ran.stats();
    let standings: Vec<_> = stats["contexts"].as_array().expect("a list").iter().map(|c| &c["standing"]).collect();
    assert_eq!(standings, ["ours", "left", "left", "other"], "{ran}");
    assert_eq!(stats["trouble"], serde_json::json!({ "passed_through": 0, "unread": 0, "unsteered": 0 }), "{ran}");
}

#[test]
fn contexts_come_and_go_without_growth() {
    for keys in [CONSTANT, ADJUSTABLE] {
        let ran = run("many", keys, &["count=400"]);
        ran.printed("before: 1 contexts of ggml, 1 buffers").printed("after: 1 contexts of ggml, 1 buffers");
        assert_eq!(ran.stats()["contexts"], serde_json::json!([]), "{ran}");
        grown_at_most(&ran, 1024);
        let addresses = ran.stdout.lines().find_map(|l| l.strip_suffix(" addresses")?.parse().ok());
        assert!(addresses.is_some_and(|n: usize| n < 100), "contexts take each other's addresses\n{ran}");
    }
}

/// The host says nothing when a constructor fails, so the last that failed is known until another context is made at its
/// address: one, never more, however often it happens.
#[test]
fn contexts_that_fail_while_they_are_made_do_not_pile_up() {
    for place in ["throw=1", "throw=2"] {
        let ran = run("many", CONSTANT, &["count=40", "failing=1", place]);
        let left = ran.stats()["contexts"].as_array().expect("a list").len();
        assert!(left <= 1, "{place}: {left} contexts\n{ran}");
        let buffers = ran.stdout.lines().find_map(|l| l.strip_prefix("after: ")?.strip_suffix(" buffers"));
        let buffers: usize = buffers.and_then(|l| l.rsplit(' ').next()?.parse().ok()).expect("a count of buffers");
        assert!(buffers <= 2, "{place}: the model's own and one more\n{ran}");
    }
}

#[test]
fn ten_thousand_graphs_without_growth() {
    for keys in [CONSTANT, ADJUSTABLE] {
        let ran = run("builds", keys, &["count=10000"]);
        let count = |when: &str| ran.stdout.lines().find_map(|l| l.strip_prefix(when)).expect("it is printed");
        assert_eq!(count("early: "), count("late: "), "{ran}");
        ran.printed("freed: 1 contexts of ggml, 1 buffers");
        grown_at_most(&ran, 1024);
        let rule = &ran.stats()["contexts"][0]["rules"][0];
        assert_eq!(rule["graphs"], 10000, "{ran}");
        // 1, 2, 3 rows in turn.
        assert_eq!(rule["rows"], 19999, "{ran}");
    }
}

/// llama.cpp builds at one address per context; a host that does not must not cost more with every graph.
#[test]
fn graphs_at_changing_addresses_are_let_go_with_their_context() {
    let ran = run("builds", CONSTANT, &["count=300", "fresh=1"]);
    ran.printed("freed: 1 contexts of ggml, 1 buffers");
}

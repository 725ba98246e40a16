//! A graph that cannot be rewritten runs as the host built it, is counted, and is said once; the host is never aborted.

use super::support::*;

/// `steer` with a setting under which no graph can be rewritten: the logits must be the host's own.
fn passes(keys: &str, setting: &str, why: &str) -> Ran {
    let profile = Profile::with(keys);
    let ran = Driver::new(Door::Preload, "steer").arg(setting).env("EVENKEEL_PROFILE", profile.path()).run();
    assert_eq!(ran.logits(), [plain(3), plain(1), plain(1), plain(2)], "{ran}");
    ran.said(why);
    assert_eq!(ran.stderr.matches(why).count(), 1, "it is said once\n{ran}");
    ran
}

fn counted(ran: &Ran) -> u64 {
    ran.stats()["trouble"]["passed_through"].as_u64().expect("a counter")
}

#[test]
fn a_graph_without_room() {
    let ran = passes(CONSTANT, "graph-size=20", "no room for 1 nodes and 1 leafs more");
    // Two reserved graphs (one more is only split, and left alone), and those of 3, 1 and 2 tokens: the second one of 1
    // token is reused.
    assert_eq!(counted(&ran), 5, "{ran}");
}

#[test]
fn no_memory_for_vectors() {
    let ran = passes(CONSTANT, "no-memory=2", "16 bytes for vectors could not be allocated in CPU");
    assert!(counted(&ran) >= 3, "{ran}");
}

#[test]
fn a_graph_whose_rows_are_unknown() {
    let ran = passes(ADJUSTABLE, "shape=5", "neither `inp_tokens` nor `inp_embd`");
    assert!(counted(&ran) >= 3, "{ran}");
}

#[test]
fn a_site_of_another_shape_is_an_error_of_the_rule() {
    let ran = passes(CONSTANT, "shape=3", "rule `push` found no place to act in the graph of context 1");
    ran.said("l_out-1: its shape is [4, 8, 2, 1], not [4, rows]; rules that act there: push");
    assert_eq!(ran.stats()["contexts"][0]["rules"][0]["sites"], 0);
}

#[test]
fn a_graph_without_logits_is_nobodys() {
    let profile = Profile::with(CONSTANT);
    let ran = Driver::new(Door::Preload, "steer").arg("shape=4").env("EVENKEEL_PROFILE", profile.path()).run();
    assert_eq!(ran.logits()[0], plain(3), "{ran}");
    assert_eq!(counted(&ran), 0, "{ran}");
}

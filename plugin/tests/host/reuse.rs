//! Graphs that the host reuses, builds at the address of a rewritten one, or only measures.

use super::support::*;

fn run(scenario: &str, keys: &str, arguments: &[&str]) -> Ran {
    let profile = Profile::with(keys);
    let driver = Driver::new(Door::Preload, scenario).env("EVENKEEL_PROFILE", profile.path());
    arguments.iter().fold(driver, |d, a| d.arg(a)).run()
}

#[test]
fn another_graph_at_the_address_of_a_rewritten_one_is_left_alone() {
    for keys in [CONSTANT, ADJUSTABLE] {
        let ran = run("shift", keys, &["print=1"]);
        assert_eq!(ran.logits(), [steered(1, 1, 1.0); 3], "{ran}");
        ran.printed("split_graph: 1 nodes\n  k_shifted = SCALE(cache_k_l0) [4, 1]\n  leafs: cache_k_l0\n");
        assert_eq!(ran.stats()["trouble"], serde_json::json!({ "passed_through": 0, "unread": 0, "unsteered": 0 }));
        // Evaluations of the model's graph only.
        assert_eq!(ran.stats()["contexts"][0]["rules"][0]["graphs"], 3, "{ran}");
    }
}

#[test]
fn a_strength_changes_in_a_graph_that_is_reused() {
    let ran = run("strength", ADJUSTABLE, &[]);
    ran.printed("strength 2: 0, 0, 2").printed("strength 0: 0, 0, 0").printed("strength -1: 0, 0, -1");
    let expected: Vec<_> = [1.0, 2.0, 0.0, -1.0].map(|s| steered(1, 1, s)).into();
    assert_eq!(ran.logits(), expected, "{ran}");
}

#[test]
fn the_strength_of_a_constant_rule_cannot_be_changed() {
    let ran = run("strength", CONSTANT, &[]);
    ran.printed("strength 2: 5, 5, 0");
    assert_eq!(ran.logits(), [steered(1, 1, 1.0); 4], "{ran}");
}

#[test]
fn every_evaluation_is_counted_also_of_a_reused_graph() {
    let ran = run("steer", CONSTANT, &[]);
    let rule = &ran.stats()["contexts"][0]["rules"][0];
    assert_eq!(
        (&rule["graphs"], &rule["rows"], &rule["sites"]),
        (&4.into(), &(3 + 1 + 1 + 2).into(), &1.into()),
        "{ran}"
    );
}

#[test]
fn a_batch_without_outputs_is_evaluated() {
    for (keys, layer) in [(CONSTANT, 1), (ADJUSTABLE, 1), ("layers = [2]", 2), ("layers = [2]\nadjustable = true", 2)] {
        let ran = run("steer", keys, &["outputs=0"]);
        ran.printed("decode 3: 0, logits\n");
        assert_eq!(
            ran.logits(),
            [steered(1, layer, 1.0), steered(1, layer, 1.0), steered(2, layer, 1.0)],
            "{keys}\n{ran}"
        );
    }
}

/// A pass that allocates nothing (as with `--fit`) costs no buffer, and rewrites its graphs all the same.
#[test]
fn a_measured_graph_allocates_nothing() {
    let ran = run("many", CONSTANT, &["measure=1", "count=3", "print=1", "no-memory=2"]);
    assert!(ran.stdout.contains("ek.l_out-1.0"), "{ran}");
    ran.printed("after: 1 contexts of ggml, 1 buffers");
}

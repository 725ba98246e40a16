//! What reaches the scheduler, as text: `tests/golden/*.txt`.

use super::support::*;

/// The last graph that was allocated in `steer`, whose batch has 2 tokens and 2 outputs.
fn graph(keys: &str, arguments: &[&str]) -> String {
    let profile = Profile::with(keys);
    let driver = Driver::new(Door::Install, "steer").arg("print=1").env("EVENKEEL_PROFILE", profile.path());
    let ran = arguments.iter().fold(driver, |d, a| d.arg(a)).run();
    let start = ran.stdout.rfind("split_graph").unwrap_or_else(|| panic!("no graph was printed\n{ran}"));
    ran.stdout[start..].lines().take_while(|l| !l.starts_with("decode")).flat_map(|l| [l, "\n"]).collect()
}

#[test]
fn a_constant_rule_is_one_node() {
    golden("constant", &graph(CONSTANT, &[]));
}

#[test]
fn an_adjustable_rule_reads_the_gate_table() {
    golden("adjustable", &graph(ADJUSTABLE, &[]));
}

#[test]
fn in_the_last_block_the_gate_goes_through_out_ids() {
    golden("last-block", &graph("layers = [2]\nadjustable = true", &[]));
}

#[test]
fn all_blocks() {
    golden("all-blocks", &graph("layers = \"all\"\nadjustable = true", &[]));
}

#[test]
fn of_two_nodes_of_one_name_the_last_is_changed() {
    golden("twice", &graph(CONSTANT, &["shape=1"]));
}

#[test]
fn a_node_of_a_branch_that_is_not_computed_is_not_changed() {
    golden("unselected", &graph(CONSTANT, &["shape=2"]));
}

/// What is printed is also what is computed.
#[test]
fn shared_names_and_unselected_branches_compute_right() {
    let profile = Profile::with(CONSTANT);
    for shape in ["shape=1", "shape=2"] {
        let ran = Driver::new(Door::Install, "steer").arg(shape).env("EVENKEEL_PROFILE", profile.path()).run();
        let expected: Vec<_> = [3, 1, 1, 2].map(|n| steered(n, 1, 1.0)).into();
        assert_eq!(ran.logits(), expected, "{shape}\n{ran}");
    }
}

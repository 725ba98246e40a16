//! Sequences with different profiles in one batch: what each row gets, and when a graph may be evaluated again.
//!
//! In the scripts a cell shows its token and the first element of what block 1 gave: 11.25, 9, 6.75, 4.5, 2.25 for a to e
//! and what was added.

use super::support::*;

fn run(profile: &Profile, script: &str, arguments: &[&str]) -> Ran {
    let driver = Driver::script(Door::Install, profile, script);
    let ran = arguments.iter().fold(driver, |d, a| d.arg(a)).run();
    let trouble = &ran.stats()["trouble"];
    assert_eq!(*trouble, serde_json::json!({ "passed_through": 0, "unread": 0, "unsteered": 0 }), "{ran}");
    ran
}

#[test]
fn each_row_gets_the_profile_of_its_sequence() {
    let script = "profile 1 other; profile 2 off; decode 1:a 0:ab! 2:a! 1:b!; cells 0; cells 1; cells 2";
    run(&two(), script, &[]).told(
        "profile: 0
         profile: 0
         0@1: 163.5 440 765.625 1254
         2@0: 16.875 8 31.25 81
         1@1: 1513.5 4040 7515.62 12054
         cells 0: a111.25 b109
         cells 1: a1011.25 b1009
         cells 2: a11.25",
    );
}

/// Three rules that add 100 to the prompt, 1000 to what is generated, 10000 to the last row of the prompt. Two sequences are in
/// different phases in one batch, and batches are cut into graphs of two rows.
#[test]
fn each_row_gets_what_is_for_its_phase() {
    let mut text = String::from("schema = 1\n");
    for (tokens, strength) in [("prompt", 100.0), ("generated", 1000.0), ("last", 10000.0)] {
        let rule = rule(tokens, strength, "");
        text += &rule.replace("schema = 1\n", "").replace("layers", &format!("tokens = \"{tokens}\"\nlayers"));
    }
    let script = "decode 0:abc! 1:de; decode 0:a! 1:a!; decode 0:b! 1:b!; cells 0; cells 1
                  rm 0 2 -1; decode 0:c!; cells 0";
    let ran = run(&Profile::whole(&text), script, &["ubatch=2"]);
    ran.told(
        "0@2: 15160.1 40432 75828.1 121227
         0@3: 1516.88 4008 7531.25 12081
         1@2: 15166.9 40408 75781.2 121281
         0@4: 1513.5 4040 7515.62 12054
         1@3: 1513.5 4040 7515.62 12054
         cells 0: a111.25 b109 c10106.8 a1011.25 b1009
         cells 1: d104.5 e102.25 a10111.2 b1009
         0@2: 15160.1 40432 75828.1 121227
         cells 0: a111.25 b109 c10106.8",
    );
}

#[test]
fn a_rule_for_positions_acts_on_those() {
    let text = rule("push", 100.0, "").replace("layers", "tokens = \"1..2\"\nlayers");
    let script = "decode 0:a 1:ab 0:aa 1:a; cells 0; cells 1; process 0:a; cells 0";
    run(&Profile::whole(&text), script, &[]).told(
        "cells 0: a11.25 a111.25 a111.25
         cells 1: a11.25 b109 a111.25
         cells 0: a11.25 a111.25 a111.25 a11.25",
    );
}

#[test]
fn a_row_that_several_sequences_share_is_known_to_all() {
    let ran = run(&two(), "decode 0+1:ab!; profile 1 other; decode 1:c!; cells 0; cells 1", &["trace=1"]);
    ran.printed("host: 1@0=a 1@1=b\n").printed("cells 0: a111.25 b109\ncells 1: a1011.25 b1009 c1006.75\n");
}

/// From the second evaluation of a shape on, as long as nothing changes that graphs have in them.
#[test]
fn a_graph_is_built_again_exactly_when_other_plans_are_needed() {
    let script = "decode 0:a!; decode 0:a!; decode 0:a!
                  profile 1 off; decode 1:a!; decode 0:a!; decode 1:a!; decode 0:a!; strength base 3
                  decode 0:a!; shift; decode 0:a!; decode 0:a!; decode 0:a; decode 0:a!; decode 0:a!";
    let ran = run(&Profile::whole(&rule("base", 100.0, "")), script, &["trace=1"]);
    let graphs: Vec<&str> = ran.stdout.lines().filter_map(|l| l.strip_prefix("graph: ")).collect();
    let (built, reused) = ("built", "reused");
    let expected = [built, reused, reused]
        .into_iter()
        // A row without the profile: what stood on every row gets a gate.
        .chain([built, reused, reused, reused])
        // The host's own reasons: the scheduler had another graph.
        .chain([reused, built, reused, built, built, reused]);
    assert_eq!(graphs, expected.collect::<Vec<_>>(), "{ran}");
}

/// The same batch shape again and again: the host itself would evaluate the first graph for all of them.
#[test]
fn sequences_that_alternate_never_get_a_graph_of_the_others() {
    let (base, far, off) = ("166.875 408 781.25 1281", "1516.88 4008 7531.25 12081", "16.875 8 31.25 81");
    let more = "[runtime]\nmax-plans = 1\n";
    for (profile, names, outcomes) in [
        (Profile::whole(&rule("base", 100.0, "")), ["base", "off"], [base, off]),
        (two(), ["default", "other"], [base, far]),
        (two(), ["off", "other"], [off, far]),
        // No room for both: what is not in the graph is put in when it is needed.
        (two_with(more), ["off", "other"], [off, far]),
    ] {
        let name = |i: usize| if names[i] == "base" { "" } else { names[i] };
        let mut script = format!("profile 0 {}; decode 0:a!; decode 0:a!; profile 1 {};", name(0), name(1));
        script += &"decode 1:a!; decode 0:a!;".repeat(3);
        script += "lose 0 0; lose 1 0; decode 1:a!; decode 0:a!";
        let driver = Driver::script(Door::Install, &profile, &script).run();
        let rows: Vec<&str> = driver.stdout.lines().filter(|l| l.contains('@')).collect();
        assert_eq!(rows.len(), 10, "{driver}");
        for row in rows {
            let (seq, logits) = (usize::from(row.starts_with("1@")), row.split_once(": ").expect("logits").1);
            assert_eq!(logits, outcomes[seq], "{names:?}: {row}\n{driver}");
        }
    }
}

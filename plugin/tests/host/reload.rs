//! Profiles that change while the model runs: what was begun goes on as it was, and what nobody needs any more is freed.

use std::fs;

use super::support::*;

const BASE: &str = "166.875 408 781.25 1281";
/// Under what `next` adds: 7 of the vector.
const NEXT: &str = "27.375 36 83.75 165";

/// Two profiles, and files that can take the place of the first.
fn profiles() -> Profile {
    let profile = two();
    let choose = "[requests]\nchoose = [\"other\", \"off\"]\n";
    let files = [
        ("next", rule("base", 7.0, choose)),
        ("bad", "schema = 2\n".to_owned()),
        ("worse", "schema = 3\n".to_owned()),
        ("old", fs::read_to_string(profile.home().join("default.toml")).expect("it was written")),
    ];
    for (name, text) in files {
        fs::write(profile.home().join(name), text).expect("a new folder can be written");
    }
    profile
}

fn run(script: &str) -> Ran {
    Driver::script(Door::Install, &profiles(), script).run()
}

fn rows(ran: &Ran) -> Vec<(&str, &str)> {
    ran.stdout.lines().filter(|l| l.contains('@')).filter_map(|l| l.split_once(": ")).collect()
}

#[test]
fn what_was_begun_goes_on_and_what_begins_is_new() {
    let script =
        "decode 0:a!; copy next default.toml; reload; decode 0:a! 1:a!; decode 0:a!; begin 0; decode 0:a!; cells 0";
    let ran = run(script);
    let expected = [("0@0", BASE), ("0@1", BASE), ("1@0", NEXT), ("0@2", BASE), ("0@3", NEXT)];
    assert_eq!(rows(&ran), expected, "{ran}");
    ran.printed("cells 0: a18.25 a18.25 a18.25 a18.25\n");
    assert_eq!(ran.stats()["contexts"][0]["requests"]["reloads"], 1, "{ran}");
}

#[test]
fn files_are_watched() {
    let script = "decode 0:a!; copy next default.toml; sleep 1100; decode 0:a!; sleep 500; decode 1:a!";
    assert_eq!(rows(&run(script)), [("0@0", BASE), ("0@1", BASE), ("1@0", NEXT)]);
}

#[test]
fn a_profile_with_errors_is_named_once_and_the_one_before_stays() {
    let script = "decode 0:a!; copy bad default.toml; sleep 1100; decode 0:a!; sleep 400; reload; clear; decode 0:a!; sleep 1100; decode 1:a!
                  sleep 400; copy worse default.toml; reload; copy next default.toml; reload; decode 2:a!; copy bad default.toml; reload";
    let ran = run(script);
    assert_eq!(rows(&ran), [("0@0", BASE), ("0@1", BASE), ("0@0", BASE), ("1@0", BASE), ("2@0", NEXT)], "{ran}");
    // The first and the last: between them a good one was taken up.
    assert_eq!(ran.times("schema: out of range, got 2"), 2, "{ran}");
    assert_eq!(ran.times("schema: out of range, got 3"), 1, "{ran}");
    assert_eq!(ran.times("the changed profile is not taken up, the one before stays in force"), 3, "{ran}");
    let answers: Vec<&str> = ran.stdout.lines().filter(|l| l.starts_with("reload: ")).collect();
    assert_eq!(answers.len(), 4, "{ran}");
    assert!(answers[0].starts_with("reload: 4: ") && answers[0].contains("default.toml:1:10 schema"), "{ran}");
    assert_eq!(answers[2], "reload: 0", "{ran}");
    assert_eq!(ran.stats()["status"], "active", "{ran}");
}

#[test]
fn a_strength_that_was_set_stays_where_the_rule_is_the_same() {
    let profile = Profile::with(ADJUSTABLE);
    let script = "strength push 100; decode 0:a!; reload; decode 1:a!";
    let ran = Driver::script(Door::Install, &profile, script).run();
    assert_eq!(rows(&ran), [("0@0", BASE), ("1@0", BASE)], "{ran}");
}

/// One graph holds so many plans: what was reloaded waits until one is free.
#[test]
fn a_reload_waits_for_room() {
    let choose = "[runtime]\nmax-plans = 1\n";
    let profile = Profile::folder(&[("only.toml", &rule("base", 100.0, choose)), ("next", &rule("base", 7.0, choose))]);
    let script = "decode 0:a!; copy next only.toml; reload; decode 0:a!; decode 1:a!; clear; decode 0:a!; decode 1:a!";
    let ran = Driver::script(Door::Install, &profile, script).run();
    let expected = [("0@0", BASE), ("0@1", BASE), ("1@0", BASE), ("0@0", NEXT), ("1@0", NEXT)];
    assert_eq!(rows(&ran), expected, "{ran}");
    assert_eq!(ran.times("the reloaded profiles wait until sequences under earlier ones have ended"), 1, "{ran}");
}

/// Vectors, and the graphs' inputs, are what the library allocates; the model and the scheduler have one buffer each.
#[test]
fn vectors_are_freed_when_no_sequence_has_their_plan_any_more() {
    let twice = "decode 0:a! 1:b!; decode 0:a! 1:b!; buffers;";
    let next = format!("copy next default.toml; reload; decode 0:a! 1:b!; begin 0; {twice} clear; {twice}");
    let old = format!("copy old default.toml; reload; decode 0:a! 1:b!; clear; begin 0; {twice}");
    let ran = run(&format!("{twice}{next}{old}").repeat(4));
    let buffers: Vec<usize> = ran.stdout.lines().filter_map(|l| l.split_once(" buffers")?.0.parse().ok()).collect();
    // The first vectors lie in one buffer with those of the other profile, which stays.
    let n = buffers[4];
    for round in buffers.chunks(4).skip(1) {
        assert_eq!(round, [n, n + 1, n, n], "one more while a sequence goes on under the plan of before\n{ran}");
    }
}

/// A context that was made under other profiles than those that are loaded now keeps them.
#[test]
fn a_reload_is_for_contexts_of_the_same_profiles() {
    let profile = Profile::folder(&[("a.toml", &rule("base", 100.0, ""))]);
    fs::create_dir(profile.home().join("b")).expect("a new folder");
    fs::write(profile.home().join("b/b.toml"), rule("base", 7.0, "")).expect("a new folder can be written");
    fs::copy(profile.home().join("unit.safetensors"), profile.home().join("b/unit.safetensors")).expect("a copy");
    let script =
        "decode 0:a!; load-profile b/b.toml; context 1; decode 0:a!; reload; decode 1:a!; context 0; decode 1:a!";
    let ran = Driver::script(Door::Install, &profile, script).run();
    assert_eq!(rows(&ran), [("0@0", BASE), ("0@0", NEXT), ("1@0", NEXT), ("1@0", BASE)], "{ran}");
}

//! Cells of another plan: evaluated again before the host's own call, or said not to be worth keeping when a host asks.

use super::support::*;

fn run(profile: &Profile, script: &str, arguments: &[&str]) -> Ran {
    let driver = Driver::script(Door::Preload, profile, script);
    arguments.iter().fold(driver, |d, a| d.arg(a)).run()
}

/// Without output, at the positions where they were, as many at a time as the host takes; then what the host wanted.
#[test]
fn cells_of_another_plan_are_evaluated_again_before_the_hosts_rows() {
    let script = "decode 0:abc!; decode 0:de! 1:a!; profile 0 other; decode 0:f!; cells 0; cells 1; decode 0:g!";
    let ran = run(&two(), script, &["batch=3", "trace=1"]);
    ran.told(
        "host: 0@0=a 0@1=b 0@2=c!
         graph: built
         0@2: 160.125 432 828.125 1227
         host: 0@3=d 0@4=e! 1@0=a!
         graph: built
         0@4: 153.375 416 796.875 1308
         1@0: 166.875 408 781.25 1281
         profile: 0
         host: 0@0=a 0@1=b 0@2=c
         graph: built
         host: 0@3=d 0@4=e
         graph: built
         host: 0@5=f!
         graph: built
         0@5: 1516.88 4008 7531.25 12081
         cells 0: a1011.25 b1009 c1006.75 d1004.5 e1002.25 f1011.25
         cells 1: a111.25
         host: 0@6=g!
         graph: reused
         0@6: 1513.5 4040 7515.62 12054",
    );
    assert_eq!(ran.stats()["contexts"][0]["requests"]["cells_evaluated_again"], 5, "{ran}");
}

fn for_generated(cache: &str) -> Profile {
    let text = rule("push", 1000.0, &format!("[runtime]\ncache = \"{cache}\""));
    Profile::whole(&text.replace("layers", "tokens = \"generated\"\nlayers"))
}

/// What was generated is part of the next request's prompt, and has another identity there: from the first such cell on.
#[test]
fn generated_cells_become_a_prompts() {
    let script = "decode 0:ab!; decode 0:c!; cells 0; begin 0; decode 0:d!; cells 0";
    let before = "cells 0: a11.25 b9 c1006.75\nbegin: 0\n";
    let exact = run(&for_generated("exact"), script, &["trace=1"]);
    exact.printed(before).printed("begin: 0\nhost: 0@2=c\n").printed("cells 0: a11.25 b9 c6.75 d4.5\n");
    // A memory that cannot give up the end of a sequence begins at its beginning.
    let whole = run(&for_generated("exact"), script, &["trace=1", "whole=1"]);
    whole.printed("begin: 0\nhost: 0@0=a 0@1=b 0@2=c\n").printed("cells 0: a11.25 b9 c6.75 d4.5\n");
    let kept = run(&for_generated("keep"), script, &["trace=1"]);
    kept.printed(before).printed("begin: 0\nhost: 0@3=d!\n").printed("cells 0: a11.25 b9 c1006.75 d4.5\n");
}

#[test]
fn cells_whose_tokens_nobody_saw_stay_and_that_is_said() {
    // Saved where nothing acted, so that the state is the host's own.
    let script = "decode 0:ab!; save s; load s 1; profile 1; decode 1:c!; cells 1; decode 1:d!; cells 1";
    let profile = Profile::whole("schema = 1\nname = \"nothing\"\n");
    let ran = run(&profile, script, &[]);
    ran.told(
        "0@1: 13.5 40 15.625 54
         save s: 36 of 36
         load s: 36 of 36
         profile: 0
         1@2: 10.125 32 78.125 27
         cells 1: a11.25 b9 c6.75
         1@3: 6.75 24 62.5 135
         cells 1: a11.25 b9 c6.75 d4.5",
    );
    let script = "decode 0:ab!; save s; cut s 60; load s 1; decode 1:c!; cells 1; decode 1:d!";
    let ran = run(&two(), script, &[]);
    ran.printed("load s: 36 of").printed("cells 1: a111.25 b109 c106.75\n");
    let warning = "context 1, sequence 1: 2 cells were computed under another profile and stay, because their tokens are not known";
    assert_eq!(ran.times(warning), 1, "{ran}");
    assert_eq!(ran.stats()["contexts"][0]["requests"]["cells_left_stale"], 2, "{ran}");
}

#[test]
fn cells_that_are_lost_where_nobody_sees_it_are_not_brought_back() {
    let ran = run(&two(), "decode 0:abc!; lose 0 1; profile 0 other; decode 0:d!; cells 0", &["trace=1"]);
    ran.printed("profile: 0\nhost: 0@0=a\n").printed("host: 0@1=d!\n").printed("cells 0: a1011.25 d1004.5\n");
}

/// What a host does to cells is done to what is known of them, whatever stands in the upper halves of registers.
#[test]
fn every_operation_on_cells_is_followed() {
    // Copied.
    let ran = run(&two(), "decode 0:abc!; cp 0 1 0 2; profile 1 other; decode 1:d!; cells 1; cells 0", &["trace=1"]);
    ran.printed("profile: 0\nhost: 1@0=a 1@1=b\n")
        .printed("cells 1: a1011.25 b1009 d1004.5\ncells 0: a111.25 b109 c106.75\n");
    // A part removed and the rest moved up.
    let ran = run(&two(), "decode 0:abcd!; rm 0 1 2; add 0 2 -1 -1; profile 0 other; decode 0:e!", &["trace=1"]);
    ran.printed("profile: 0\nhost: 0@0=a 0@1=c 0@2=d\n");
    // Divided.
    let ran = run(&two(), "decode 0:abc!; rm 0 1 2; div 0 1 -1 2; profile 0 other; decode 0:e!", &["trace=1"]);
    ran.printed(
        "profile: 0\nhost: 0@0=a 0@1=c\nhost: 0@2=e!\n".replace("host: 0@2", "graph: built\nhost: 0@2").as_str(),
    );
    // All others removed, everything removed: nothing is left to be evaluated again.
    for gone in ["keep 1", "clear", "rm 0 -1 -1", "rm -1 0 -1"] {
        let ran =
            run(&two(), &format!("decode 0:ab! 1:a!; {gone}; profile 0 other; decode 0:c!; cells 0"), &["trace=1"]);
        ran.printed("profile: 0\nhost: 0@0=c!\n").printed("cells 0: c1006.75\n");
    }
    let ran = run(&two(), "decode 0:ab! 1:a!; keep 1; profile 1 other; decode 1:c!", &["trace=1"]);
    ran.printed("profile: 0\nhost: 1@0=a\n");
}

/// Only between the beginning of an announced request and the next removal, and only where not even the first cell stays.
#[test]
fn a_host_that_asks_is_told_that_nothing_can_be_kept() {
    const NOTHING: &str = "pos-min: 1073741824";
    let answers = |script: &str| -> Vec<String> {
        let ran = run(&two(), script, &[]);
        ran.stdout.lines().filter(|l| l.starts_with("pos-min")).map(str::to_owned).collect()
    };
    // Nobody began anything; then the request that begins has the plan that was there.
    assert_eq!(answers("decode 0:abc!; pos-min 0; request 0; pos-min 0"), ["pos-min: 0"; 2]);
    assert_eq!(answers("decode 0:abc!; request 0 evenkeel=other; pos-min 0; pos-min 0"), [NOTHING; 2]);
    // Of that sequence only.
    assert_eq!(answers("decode 0:a! 1:a!; request 0 evenkeel=other; pos-min 1"), ["pos-min: 0"]);
    // The host has decided.
    assert_eq!(answers("decode 0:abc!; request 0 evenkeel=other; rm 0 1 -1; pos-min 0"), ["pos-min: 0"]);
    assert_eq!(answers("decode 0:abc!; request 0 evenkeel=other; decode 0:d!; pos-min 0"), ["pos-min: 0"]);
    // Who begins in code does not ask which cells may be kept.
    assert_eq!(answers("decode 0:abc!; profile 0 other; pos-min 0; begin 0; pos-min 0"), ["pos-min: 0"; 2]);
    // There is nothing.
    assert_eq!(answers("request 0 evenkeel=other; pos-min 0"), ["pos-min: -1"]);
}

/// Where the first cells stay, the host keeps what it wants, and the rest is evaluated again.
#[test]
fn a_host_that_asks_may_keep_what_is_stale_only_later() {
    let script = "decode 0:ab!; decode 0:c!; set-sampler 0; pos-min 0; rm 0 3 -1; decode 0:d!; cells 0";
    let ran = run(&for_generated("exact"), script, &["trace=1"]);
    ran.printed("pos-min: 0\nhost: 0@2=c\n").printed("cells 0: a11.25 b9 c6.75 d4.5\n");
}

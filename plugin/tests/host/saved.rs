//! Saved sequences carry what their cells were computed under: whoever restores them knows.

use super::support::*;

fn run(profile: &Profile, script: &str) -> Ran {
    let driver = Driver::script(Door::Install, profile, script);
    driver.arg("trace=1").run()
}

/// Bytes that the null host saves for so many cells of a sequence.
const fn own(cells: usize) -> usize {
    12 + 12 * cells
}

/// Of a trailer: two numbers, a plan, cells, an end.
const fn trailer(cells: usize) -> usize {
    8 + 32 + 7 * cells + 24
}

#[test]
fn where_no_plan_acts_a_state_is_the_hosts_own_byte_for_byte() {
    let script = "decode 0:abc!; save s; load s 1; save-file f; load-file f 2; cells 1; cells 2";
    let plain = Driver::new(Door::Closed, "script").within(&two(), script).run();
    let ran = Driver::script(Door::Install, &Profile::whole("schema = 1\n"), script).run();
    assert!(ran.stdout.lines().next_back().is_some());
    let without_stats = |ran: &Ran| -> Vec<String> {
        ran.stdout
            .lines()
            .filter(|l| !l.starts_with("stats ") && !l.starts_with("install"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(without_stats(&ran), without_stats(&plain), "{ran}");
    ran.printed(&format!("save s: {0} of {0}\nload s: {0} of {0}\n", own(3)));
}

#[test]
fn size_bytes_and_files_agree() {
    let script =
        "profile 0 other; decode 0:abc!; save s; load s 1; save-file f; load-file f 2; save t 1; same s t; save u 5";
    let ran = run(&two(), script);
    let (memory, file) = (own(3) + trailer(3), own(3) + trailer(3) + 20);
    ran.printed(&format!("save s: {memory} of {memory}\nload s: {memory} of {memory}\n"));
    ran.printed(&format!("save-file: {file} of {file}\nload-file: {file} of {file}\n"));
    // Another sequence's number stands in the host's own part.
    ran.printed(&format!("save t: {memory} of {memory}\ndifferent\n"));
    // A sequence without cells has nothing to say.
    ran.printed(&format!("save u: {0} of {0}\n", own(0)));
}

/// Restored under the plan they have, nothing is evaluated again; under another one, everything is.
#[test]
fn restored_cells_are_what_they_were() {
    for (store, restore) in [("save s", "load s 1"), ("save-file s", "load-file s 1")] {
        let begin = format!("profile 0 other; decode 0:ab!; decode 0:c!; {store}; clear");
        let ran = run(&two(), &format!("{begin}; profile 1 other; {restore}; echo restored; decode 1:d!; cells 1"));
        ran.printed("-- restored\nhost: 1@3=d!\n").printed("cells 1: a1011.25 b1009 c1006.75 d1004.5\n");
        let ran = run(&two(), &format!("{begin}; {restore}; echo restored; decode 1:d!; cells 1"));
        ran.printed("-- restored\nhost: 1@0=a 1@1=b 1@2=c\n").printed("cells 1: a111.25 b109 c106.75 d104.5\n");
        // Before a host restores, it has begun a request; and it asks what it may keep.
        let ran = run(&two(), &format!("{begin}; request 1; {restore}; pos-min 1"));
        ran.printed("pos-min: 1073741824");
    }
}

/// A state that the host alone saved, or this library where nothing acted, was computed under no plan; its tokens are
/// unknown.
#[test]
fn a_state_without_a_trailer_was_computed_by_the_host() {
    let script = format!(
        "profile 0 off; decode 0:ab!; save s; cut s {}; profile 1 off; load s 1; echo restored; decode 1:c!",
        7
    );
    let ran = run(&two(), &script);
    ran.printed("-- restored\nhost: 1@2=c!\n");
    assert_eq!(ran.times("computed under another profile"), 0, "{ran}");
    // Under a profile such cells are another's, and a host that asks is told.
    let ran = run(&two(), "profile 0 off; decode 0:ab!; save s; cut s 7; load s 1; set-sampler 1; pos-min 1");
    ran.printed("pos-min: 1073741824");
}

/// Only what cannot be rolled back came: where both know the same, it stays known.
#[test]
fn a_partial_state_makes_unknown_what_differs() {
    let ran = run(&two(), "decode 0:abc!; save s 0 1; rm 0 2 -1; decode 0:c; load s 0 1; echo restored; decode 0:d!");
    ran.printed("-- restored\nhost: 0@3=d!\n");
    let script =
        "decode 0:abc!; save s 0 1; profile 0 other; decode 0:d!; rm 0 3 -1; load s 0 1; cells 0; decode 0:d!; cells 0";
    let ran = run(&two(), script);
    ran.printed("cells 0: a1011.25 b1009 c106.75\n").printed("cells 0: a1011.25 b1009 c1006.75 d1004.5\n");
}

/// Every byte of a trailer changed, and every length cut off: the host goes on, and no answer is one of another plan's.
#[test]
fn whatever_a_file_says_the_host_goes_on() {
    let profile = two();
    let mut script = String::from("profile 0 other; decode 0:ab!; ");
    for (i, byte) in (1..=trailer(2)).flat_map(|i| [(i, 0), (i, 255), (i, 129)]) {
        script += &format!("save s 0; poke s -{i} {byte}; rm 1 0 -1; load s 1; decode 1:c!; set-sampler 1; pos-min 1;");
    }
    for cut in 1..=trailer(2) + own(2) {
        script += &format!("save s 0; cut s {cut}; rm 1 0 -1; load s 1; decode 1:c!;");
    }
    let ran = Driver::script(Door::Preload, &profile, &script).env("EVENKEEL_LOG", "off").run();
    assert_eq!(ran.stats()["status"], "active", "{ran}");
    assert!(!ran.stdout.contains("decode: "), "no call to decode failed\n{ran}");
    assert!(ran.stdout.matches("\n1@2: ").count() > 250, "{ran}");
}

#[test]
fn of_a_whole_state_nothing_is_known() {
    for (store, restore) in [("save s -1", "load s -1"), ("save-file s -1", "load-file s -1")] {
        let ran = run(&two(), &format!("decode 0:ab!; {store}; {restore}; decode 0:c!; cells 0"));
        ran.said("sequence 0: 2 cells were computed under another profile and stay")
            .printed("cells 0: a111.25 b109 c106.75\n");
    }
}

/// A host that only asks how many tokens a file has restores nothing.
#[test]
fn a_question_about_a_file_changes_nothing() {
    let script =
        "decode 1:abc!; profile 0 other; decode 0:ab!; save-file s 0; count-file s 1; echo asked; decode 1:d!; cells 1";
    let ran = run(&two(), script);
    ran.printed("-- asked\nhost: 1@3=d!\n").printed("cells 1: a111.25 b109 c106.75 d104.5\n");
}

/// The host could not restore it: what was there is still there.
#[test]
fn a_state_that_cannot_be_restored_changes_nothing() {
    let script = "decode 1:ab!; profile 0 other; decode 0:abc!; save s 0; poke s 0 1; load s 1; load-file nothing 1; decode 1:c!; cells 1";
    let ran = run(&two(), script);
    ran.printed("host: error loading state: wrong sequence state magic").printed("cells 1: a111.25 b109 c106.75\n");
}

//! Every argument that a caller of the C functions can get wrong, and the sentence that says so.

use super::support::*;

#[test]
fn every_wrong_argument_has_a_status_and_a_sentence() {
    let ran = Driver::new(Door::Preload, "misuse").run();
    assert!(ran.stdout.starts_with("nothing yet: 0: \n"), "{ran}");
    let text: String = ran.stdout.lines().filter(|l| !l.starts_with("stats")).flat_map(|l| [l, "\n"]).collect();
    golden("misuse", &text);
    assert_eq!(ran.stats()["status"], "idle", "wrong arguments are no trouble of the library's");
}

#[test]
fn the_last_error_can_be_asked_for_while_a_thread_ends() {
    let ran = Driver::new(Door::Preload, "thread-end").run();
    ran.printed("at the thread's end: 'text'");
    assert_ne!(ran.stats()["status"], "poisoned", "{ran}");
}

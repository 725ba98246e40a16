//! Every argument that a caller of the C functions can get wrong, and the sentence that says so.

use super::support::*;

#[test]
fn every_wrong_argument_has_a_status_and_a_sentence() {
    let ran = Driver::new(Door::Preload, "misuse").run();
    assert!(ran.stdout.starts_with("nothing yet: 0: \n"), "{ran}");
    ran.printed("buffer small: 6: ").printed(" bytes are needed, the buffer has 4\n");
    let changing = ["stats", "buffer small"];
    let fixed = ran.stdout.lines().filter(|l| !changing.iter().any(|c| l.starts_with(c)));
    golden("misuse", &fixed.flat_map(|l| [l, "\n"]).collect::<String>());
    assert_eq!(ran.stats()["status"], "idle", "wrong arguments are no trouble of the library's");
}

#[test]
fn the_last_error_can_be_asked_for_while_a_thread_ends() {
    let ran = Driver::new(Door::Preload, "thread-end").run();
    ran.printed("at the thread's end: 'text'");
    assert_ne!(ran.stats()["status"], "poisoned", "{ran}");
}

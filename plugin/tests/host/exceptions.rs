//! An exception that the host throws below a hook reaches the host's own handler, and the host goes on.

use super::support::*;

/// In the order of `null_place`.
const PLACES: [&str; 5] = ["the constructor", "sched_reserve", "alloc_graph", "compute", "process_ubatch"];

#[test]
fn while_a_context_is_made() {
    let profile = Profile::with(CONSTANT);
    for door in [Door::Preload, Door::Install] {
        for place in [1, 2] {
            let ran = Driver::new(door, "steer")
                .arg(&format!("throw={place}"))
                .arg("throw-early=1")
                .env("EVENKEEL_PROFILE", profile.path())
                .run();
            ran.printed("host: no context: thrown by the host").printed("the context was refused");
            let stats = ran.stats();
            assert_eq!(stats["trouble"]["passed_through"], 0, "{door:?}, {}\n{ran}", PLACES[place - 1]);
            assert_ne!(stats["status"], "poisoned", "{door:?}, {}\n{ran}", PLACES[place - 1]);
        }
    }
}

#[test]
fn while_a_batch_is_evaluated() {
    let profile = Profile::with(ADJUSTABLE);
    for door in [Door::Preload, Door::Install] {
        for place in [3, 4, 5] {
            let ran =
                Driver::new(door, "steer").arg(&format!("throw={place}")).env("EVENKEEL_PROFILE", profile.path()).run();
            ran.printed("decode 3: caught: thrown by the host");
            // After it, the context is steered as before.
            let expected: Vec<_> = [1, 1, 2].map(|n| steered(n, 1, 1.0)).into();
            assert_eq!(ran.logits(), expected, "{door:?}, {}\n{ran}", PLACES[place - 1]);
        }
    }
}

//! Several threads, each with contexts of its own.

use super::support::*;

#[test]
fn contexts_of_several_threads_do_not_disturb_each_other() {
    for door in [Door::Preload, Door::Install] {
        for keys in [CONSTANT, ADJUSTABLE, "layers = \"all\"\nadjustable = true"] {
            let profile = Profile::with(keys);
            let ran =
                Driver::new(door, "threads").env("EVENKEEL_PROFILE", profile.path()).env("EVENKEEL_LOG", "warn").run();
            ran.printed("4000 evaluations, 0 wrong").silent();
            let stats = ran.stats();
            assert_eq!(stats["contexts"], serde_json::json!([]), "{ran}");
            assert_eq!(stats["trouble"]["passed_through"], 0, "{ran}");
        }
    }
}

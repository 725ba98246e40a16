//! Every way in leads to the same steering, and a way that is closed says why.

use super::support::*;

/// Logits of `steer`: 3 tokens, 1, 1 again (the graph is reused), 2.
fn all(layer: i32, strength: f32) -> Vec<[f32; 4]> {
    [3, 1, 1, 2].iter().map(|&n| steered(n, layer, strength)).collect()
}

#[test]
fn without_the_library_nothing_is_added() {
    let ran = Driver::new(Door::Closed, "steer").run();
    assert_eq!(ran.logits(), all(0, 0.0), "{ran}");
    ran.silent();
}

#[test]
fn every_door_steers() {
    let profile = Profile::with(CONSTANT);
    for door in Door::OPEN {
        let ran = Driver::new(door, "steer").env("EVENKEEL_PROFILE", profile.path()).run();
        assert_eq!(ran.logits(), all(1, 1.0), "{door:?}\n{ran}");
        assert_eq!(ran.stats()["status"], "active", "{door:?}");
    }
}

#[test]
fn every_door_is_silent_and_inert_without_a_profile() {
    for door in Door::OPEN {
        let ran = Driver::new(door, "steer").run();
        assert_eq!(ran.logits(), all(0, 0.0), "{door:?}\n{ran}");
        ran.silent();
        assert_eq!(ran.stats()["status"], "idle", "{door:?}");
    }
}

#[test]
fn before_the_host_is_loaded_ek_install_says_so_and_can_be_called_again() {
    let profile = Profile::with(CONSTANT);
    let ran = Driver::new(Door::Install, "steer").arg("early=1").env("EVENKEEL_PROFILE", profile.path()).run();
    ran.printed("early: 3\nno llama.cpp is loaded in this process yet").printed("install: 0");
    assert_eq!(ran.logits(), all(1, 1.0), "{ran}");
}

#[test]
fn the_backend_door_before_the_host_is_loaded_says_so_and_the_host_goes_on() {
    let ran = Driver::new(Door::Closed, "steer").arg("early=2").run();
    ran.printed("early: 0").said("GGML_BACKEND_PATH: no llama.cpp is loaded in this process yet");
    assert_eq!(ran.logits(), all(0, 0.0), "{ran}");
}

#[test]
fn installing_twice_changes_nothing() {
    let profile = Profile::with(CONSTANT);
    for door in [Door::Preload, Door::Install] {
        let ran = Driver::new(door, "calls").env("EVENKEEL_PROFILE", profile.path()).run();
        ran.printed("ek_install 0");
        assert_eq!(ran.logits(), [steered(2, 1, 1.0)], "{door:?}\n{ran}");
    }
}

#[test]
fn contexts_that_exist_already_stay_as_they_are() {
    let profile = Profile::with(CONSTANT);
    let ran = Driver::new(Door::Closed, "late").env("EVENKEEL_PROFILE", profile.path()).run();
    assert_eq!(ran.logits(), [plain(1), plain(1), plain(2), steered(1, 1, 1.0)], "{ran}");
}

#[test]
fn a_host_whose_calls_cannot_be_redirected_is_told_why() {
    let ran = Driver::of_variant(Door::Install, "steer", &["-Wl,-Bsymbolic"]).run();
    ran.printed("install: 3")
        .printed("libnull.so defines llama.cpp, but its calls to")
        .printed("ggml_backend_sched_alloc_graph");
    assert_eq!(ran.logits(), all(0, 0.0), "{ran}");
}

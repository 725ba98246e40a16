//! `EVENKEEL_REQUIRE=1`: the first context is refused if it cannot be steered, and nothing else is.

use super::support::*;

const REFUSING: [Door; 2] = [Door::Preload, Door::Install];

fn run(door: Door, profile: &Profile, require: &str, arguments: &[&str]) -> Ran {
    let driver = Driver::new(door, "steer").env("EVENKEEL_PROFILE", profile.path()).env("EVENKEEL_REQUIRE", require);
    arguments.iter().fold(driver, |d, a| d.arg(a)).run()
}

#[test]
fn a_bad_profile() {
    let profile = Profile::with("layers = [7]\nstrengt = 2");
    for door in REFUSING {
        let ran = run(door, &profile, "1", &[]);
        ran.printed("the context was refused").said("strengt");
        assert_eq!(ran.logits(), [] as [[f32; 4]; 0], "{ran}");
        assert_eq!(ran.stats()["status"], "failed", "{ran}");
    }
}

#[test]
fn a_profile_for_another_model() {
    let profile = Profile::whole(
        "schema = 1\n[model]\narch = \"gemma\"\n[[steer]]\nname = \"push\"\ndirection = \"unit.safetensors\"\n",
    );
    for door in REFUSING {
        run(door, &profile, "1", &[]).printed("the context was refused").said("gemma");
    }
}

#[test]
fn a_rule_that_finds_no_place() {
    let profile = Profile::with(CONSTANT);
    for door in REFUSING {
        let ran = run(door, &profile, "1", &["shape=3"]);
        ran.printed("the context was refused").said("rule `push` found no place to act");
    }
}

#[test]
fn a_graph_without_room() {
    let profile = Profile::with(CONSTANT);
    for door in REFUSING {
        run(door, &profile, "1", &["graph-size=20"]).printed("the context was refused").said("no room for");
    }
}

#[test]
fn a_host_that_fails_the_self_test() {
    let profile = Profile::with(CONSTANT);
    let ran = Driver::of_variant(Door::Install, "steer", &["-DNULL_TENSOR_LARGER"])
        .env("EVENKEEL_PROFILE", profile.path())
        .env("EVENKEEL_REQUIRE", "1")
        .run();
    ran.printed("the context was refused").said("sizeof(ggml_tensor)");
}

#[test]
fn a_good_profile_is_not_refused() {
    let profile = Profile::with(CONSTANT);
    for door in Door::OPEN {
        let ran = run(door, &profile, "1", &[]);
        assert_eq!(ran.logits(), [3, 1, 1, 2].map(|n| steered(n, 1, 1.0)), "{door:?}\n{ran}");
    }
}

#[test]
fn without_a_profile_nothing_is_refused_and_that_is_said() {
    for door in Door::OPEN {
        let ran = Driver::new(door, "steer").env("EVENKEEL_REQUIRE", "1").run();
        ran.said("no profile is named (EVENKEEL_PROFILE is not set)");
        assert_eq!(ran.logits(), [3, 1, 1, 2].map(plain), "{door:?}\n{ran}");
    }
}

#[test]
fn not_required_a_bad_profile_is_said_and_the_host_goes_on() {
    let profile = Profile::with("strengt = 2");
    for (door, require) in [(Door::Preload, "0"), (Door::Install, "")] {
        let ran = run(door, &profile, require, &[]);
        ran.said("strengt");
        assert_eq!(ran.logits(), [3, 1, 1, 2].map(plain), "{ran}");
        assert_eq!(ran.stats()["contexts"][0]["standing"], "failed", "{ran}");
    }
}

/// A caller that found the function by name is linked with no llama.cpp: what it calls must be found through its target.
#[test]
fn a_caller_that_is_not_linked_with_the_host() {
    let profile = Profile::with(CONSTANT);
    let ran = Driver::new(Door::Preload, "pointer")
        .env("EVENKEEL_PROFILE", profile.path())
        .env("EVENKEEL_REQUIRE", "1")
        .run();
    ran.printed("made");
    assert_eq!(ran.logits(), [steered(1, 1, 1.0)], "{ran}");
}

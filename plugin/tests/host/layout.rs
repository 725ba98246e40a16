//! Hosts whose structs or functions are not what the bindings say are refused before anything is touched.

use super::support::*;

fn run(variant: &[&str]) -> Ran {
    let profile = Profile::with(CONSTANT);
    Driver::of_variant(Door::Install, "steer", variant).env("EVENKEEL_PROFILE", profile.path()).run()
}

fn refused(variant: &[&str], why: &str) {
    let ran = run(variant);
    ran.said("this llama.cpp cannot be used: ").said(why);
    // Once where it was found out, once for the context that runs without.
    assert!(ran.stderr.matches(why).count() <= 3, "it is said again and again\n{ran}");
    if !variant.contains(&"-DNULL_WRONG_ADD") {
        assert_eq!(ran.logits(), [plain(3), plain(1), plain(1), plain(2)], "{ran}");
    }
    assert_eq!(ran.stats()["contexts"][0]["standing"], "failed", "{ran}");
}

fn steers(variant: &[&str]) -> Ran {
    let ran = run(variant);
    let expected: Vec<_> = [3, 1, 1, 2].map(|n| steered(n, 1, 1.0)).into();
    assert_eq!(ran.logits(), expected, "{ran}");
    ran
}

#[test]
fn a_larger_tensor() {
    refused(&["-DNULL_TENSOR_LARGER"], "self-test `sizeof(ggml_tensor)`: expected 368, found 384");
}

#[test]
fn fields_in_another_order() {
    refused(&["-DNULL_TENSOR_SWAPPED"], "self-test `ggml_set_input`: expected 1, found 0");
}

#[test]
fn arithmetic_that_comes_out_wrong() {
    refused(&["-DNULL_WRONG_ADD"], "self-test `a rewritten graph's result`: expected [7.5, 10.5, 48.0, 24.0]");
}

#[test]
fn missing_functions_are_all_named_at_once() {
    refused(&["-DNULL_WITHOUT"], "group `ggml`: ggml_repeat; group `sched`: ggml_backend_sched_synchronize");
}

#[test]
fn a_host_without_a_device_skips_the_arithmetic() {
    steers(&["-DNULL_NO_DEVICE"]);
}

#[test]
fn a_host_from_before_the_compute_flag() {
    steers(&["-DNULL_NO_COMPUTE_FLAG"]);
}

/// Their fields cannot be read, so an embedding context looks like any other: nothing is read past what is known.
#[test]
fn context_parameters_of_another_layout_are_not_read() {
    steers(&["-DNULL_PARAMS_SHIFTED"]);
    let profile = Profile::with(CONSTANT);
    let ran = Driver::of_variant(Door::Install, "kinds", &["-DNULL_PARAMS_SHIFTED"])
        .env("EVENKEEL_PROFILE", profile.path())
        .run();
    let standings: Vec<_> =
        ran.stats()["contexts"].as_array().expect("a list").iter().map(|c| c["standing"].clone()).collect();
    assert_eq!(standings, ["ours", "ours", "ours", "ours"], "{ran}");
}

#[test]
fn a_version_that_nobody_has_heard_of_is_tried_and_named() {
    steers(&["-DNULL_UNKNOWN"]).said("is none that evenkeel is tested with; its self-test passed");
}

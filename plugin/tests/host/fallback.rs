//! A device that lacks an operation: said before the first token, with what it costs.

use super::support::*;

#[test]
fn what_a_device_lacks_is_said_before_the_first_token() {
    let profile = Profile::with(ADJUSTABLE);
    let run = |variant: &[&str]| {
        Driver::of_variant(Door::Preload, "steer", variant).env("EVENKEEL_PROFILE", profile.path()).run()
    };
    let ran = run(&["-DNULL_LACKS_MUL"]);
    let sentence = "NULL0 does not compute MUL: at blocks 1 the CPU does, which costs up to 0.0 KiB";
    ran.said(sentence);
    let fallbacks = &ran.stats()["contexts"][0]["fallbacks"];
    assert!(fallbacks[0].as_str().is_some_and(|f| f.starts_with(sentence)) && fallbacks[1].is_null(), "{ran}");
    // Once, although the context builds many graphs.
    assert_eq!(ran.stderr.matches("does not compute").count(), 1, "{ran}");
    let logits = ran.logits();
    let whole = run(&[]);
    assert_eq!(logits, whole.logits(), "the scheduler computes it elsewhere");
    assert_eq!(whole.stats()["contexts"][0]["fallbacks"].as_array().map(Vec::len), Some(0), "{whole}");
}

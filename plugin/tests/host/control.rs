//! Choosing, beginning and reloading in code: every wrong argument has a status and a sentence, and changes nothing.

use super::support::*;

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let script = "profile -1 other; profile 0 nothing; profile 0 OFF; profile 0 other.toml; begin -1; decode 0:a!
                  profile 0 default; decode 0:a!; profile 7 off; begin 7";
    let ran = Driver::script(Door::Install, &two(), script).run();
    ran.told(
        "profile: 1: seq: got -1, allowed: 0 or more
         profile: 4: no such profile is loaded, got \"nothing\", allowed: default, other, off
         profile: 4: no such profile is loaded, got \"OFF\", allowed: default, other, off
         profile: 4: no such profile is loaded, got \"other.toml\", allowed: default, other, off
         begin: 1: seq: got -1, allowed: 0 or more
         0@0: 166.875 408 781.25 1281
         profile: 0
         0@1: 166.875 408 781.25 1281
         profile: 0
         begin: 0",
    );
}

#[test]
fn a_context_that_runs_under_no_profile_has_none_to_choose() {
    let text = rule("base", 1.0, "[model]\narch = \"gemma\"\n");
    let ran =
        Driver::script(Door::Install, &Profile::whole(&text), "profile 0 off; begin 0; context 1; free; begin 0").run();
    let sentence = "8: ctx is no llama_context that runs under a profile";
    ran.printed(&format!("profile: {sentence}\nbegin: {sentence}\n"));
    // One that is gone: its address is looked up, never followed.
    let ran = Driver::script(Door::Install, &two(), "context 1; begin 0; free; begin 0; profile 0 off").run();
    ran.printed(&format!("begin: 0\nbegin: {sentence}\nprofile: {sentence}\n"));
}

#[test]
fn a_reload_that_cannot_be_says_why() {
    let ran = Driver::new(Door::Install, "script").env("SCRIPT", "reload").run();
    ran.printed("reload: 4: no profile is loaded");
    let off = rule("base", 100.0, "[runtime]\nreload = \"off\"\n");
    let ran = Driver::script(Door::Install, &Profile::whole(&off), "reload; decode 0:a!").run();
    ran.printed("reload: 4: ").printed("got reload = \"off\" in [runtime], allowed: \"watch\"").printed("0@0: 166.875");
    let bad = Profile::whole("schema = 2\n");
    let ran = Driver::script(Door::Install, &bad, "reload").run();
    ran.printed("reload: 4: ").printed("schema: out of range, got 2");
}

/// A request begins where it is said, and a removal of cells is none from then on.
#[test]
fn a_request_begins_where_it_is_said() {
    let text = rule("push", 1000.0, "").replace("layers", "tokens = \"generated\"\nlayers");
    let profile = Profile::whole(&text);
    let last = |script: &str| {
        let ran = Driver::script(Door::Install, &profile, script).run();
        ran.stdout.lines().rfind(|l| l.starts_with("cells")).expect("cells are printed").to_owned()
    };
    assert_eq!(last("decode 0:a!; decode 0:b!; cells 0"), "cells 0: a11.25 b1009");
    assert_eq!(last("decode 0:a!; rm 0 0 -1; decode 0:b!; cells 0"), "cells 0: b9");
    assert_eq!(last("begin 0; decode 0:a!; rm 0 0 -1; decode 0:b!; cells 0"), "cells 0: b1009");
    assert_eq!(last("begin 0; decode 0:a!; begin 0; decode 0:b!; cells 0"), "cells 0: a11.25 b9");
    // Draft tokens that are rolled back begin none.
    assert_eq!(last("decode 0:a!; decode 0:bcd!; rm 0 2 -1; decode 0:c!; cells 0"), "cells 0: a11.25 b1009 c1006.75");
}

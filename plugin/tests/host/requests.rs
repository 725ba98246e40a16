//! What a request of a stock server asks for: by the strings of a sampler, from a list that the operator wrote.

use super::support::*;

fn run(profile: &Profile, script: &str) -> Ran {
    Driver::script(Door::Install, profile, script).arg("eog=3").run()
}

/// Two numbers that are not in integer registers come through, and nothing but our strings is taken out.
#[test]
fn our_strings_are_taken_out_and_everything_else_arrives() {
    let script = "dry a evenkeel=other b; dry x evenkeel=off evenkeel=other; dry evenkeel=other; dry evenkeel=; dry a evenkeel; dry
                  clone evenkeel=other q";
    run(&two(), script).told(
        r#"host: dry 0.8 1.75 2 -1 'a' 'b'
           host: dry 0.8 1.75 2 -1 'x'
           host: dry 0.8 1.75 2 -1 '\n' ':' '"' '*'
           host: dry 0.8 1.75 2 -1 '\n' ':' '"' '*'
           host: dry 0.8 1.75 2 -1 'a' 'evenkeel'
           host: dry 0.8 1.75 2 -1
           host: dry 0.8 1.75 2 -1 'q'
           host: dry 0.5 1.25 3 64"#,
    );
}

/// What the logits of one token say of the profile.
fn outcome(script: &str) -> String {
    let ran = run(&two(), &format!("{script}; decode 0:a!"));
    let row = ran.stdout.lines().find_map(|l| l.strip_prefix("0@0: ")).unwrap_or_else(|| panic!("no logits\n{ran}"));
    match row {
        "166.875 408 781.25 1281" => "default",
        "1516.88 4008 7531.25 12081" => "other",
        "16.875 8 31.25 81" => "off",
        row => row,
    }
    .to_owned()
}

#[test]
fn a_request_gets_what_its_own_strings_ask_for() {
    for (script, expected) in [
        ("", "default"),
        ("request 0 evenkeel=other", "other"),
        ("request 0 evenkeel=off", "off"),
        ("request 0 evenkeel=default evenkeel=other", "other"),
        ("request 0 a", "default"),
        ("request 1 evenkeel=other", "default"),
        // A clone in between asks for nothing of its own.
        ("chain; clone evenkeel=other; set-sampler 0", "other"),
        // What an earlier request asked for, whose set-up failed, is over.
        ("chain; dry evenkeel=other; chain; dry a; set-sampler 0", "default"),
        ("chain; dry evenkeel=other; set-sampler 0; set-sampler 0", "default"),
        ("request 0 evenkeel=other; release 0", "default"),
        // Code chooses for a sequence, a request for itself.
        ("profile 0 other", "other"),
        ("profile 0 other; request 0", "other"),
        ("profile 0 other; request 0 evenkeel=off", "off"),
        ("profile 0 other; profile 0", "default"),
    ] {
        assert_eq!(outcome(script), expected, "{script}");
    }
}

/// A request that asks for what it may not have can only end; the others in its batch notice nothing.
#[test]
fn what_is_not_in_the_list_is_refused() {
    for name in ["default", "nothing", "", "/etc/passwd", "OTHER", "other.toml"] {
        let ran = run(&two(), &format!("request 0 evenkeel={name}; decode 0:a! 1:a!; decode 0:d! 1:b!"));
        ran.printed("0@0: -1e+30 -1e+30 -1e+30 81\n1@0: 166.875 408 781.25 1281\n");
        ran.printed("0@1: -1e+30 -1e+30 -1e+30 135\n1@1: 163.5 440 765.625 1254\n");
        let why = format!("context 1, sequence 0: a request chose \"{name}\", allowed: off, other ([requests] choose)");
        ran.said(&why).said("it can only end (on-error = \"refuse\")");
        assert_eq!(ran.times(&why), 1, "{ran}");
        assert_eq!(ran.stats()["contexts"][0]["requests"]["refused"], 1, "{ran}");
    }
}

#[test]
fn nothing_is_in_the_list_unless_it_is_written_there() {
    let ran = run(&Profile::whole(&rule("base", 100.0, "")), "request 0 evenkeel=off; decode 0:a! 1:a!");
    ran.said("a request chose \"off\", allowed: nothing").printed("0@0: -1e+30").printed("1@0: 166.875");
}

#[test]
fn what_is_refused_may_run_without_a_profile_if_the_operator_says_so() {
    let lenient = "[runtime]\non-error = \"bypass\"\n";
    let other = rule("far", 1000.0, lenient);
    let first = rule("base", 100.0, &format!("[requests]\nchoose = [\"other\"]\n{lenient}"));
    let profile = Profile::folder(&[("default.toml", &first), ("other.toml", &other)]);
    let ran = run(&profile, "request 0 evenkeel=no; decode 0:a! 1:a!");
    ran.printed("0@0: 16.875 8 31.25 81\n1@0: 166.875").said("it runs without a profile (on-error = \"bypass\")");
    // One that says otherwise is enough.
    let profile = Profile::folder(&[("default.toml", &first), ("other.toml", &rule("far", 1000.0, ""))]);
    run(&profile, "request 0 evenkeel=no; decode 0:a!").printed("0@0: -1e+30").said("on-error = \"refuse\"");
}

#[test]
fn a_model_without_an_end_cannot_be_made_to_end() {
    let ran = Driver::script(Door::Install, &two(), "request 0 evenkeel=no; decode 0:a!").run();
    ran.printed("0@0: 16.875 8 31.25 81").said("because this model has no token that ends a generation");
}

/// Nothing of a refused request is left: neither in its sequence's next one nor in the graphs.
#[test]
fn after_a_refused_request_everything_is_as_before() {
    let script = "decode 0:a!; rm 0 0 -1; request 0 evenkeel=no; decode 0:ab!; rm 0 0 -1; request 0 evenkeel=off; rm 0 0 -1; decode 0:a!
                  request 0; rm 0 0 -1; decode 0:a!";
    let ran = run(&two(), script);
    let rows: Vec<&str> = ran.stdout.lines().filter_map(|l| l.strip_prefix("0@0: ")).collect();
    assert_eq!(rows, ["166.875 408 781.25 1281", "16.875 8 31.25 81", "166.875 408 781.25 1281"], "{ran}");
    ran.printed("0@1: -1e+30");
}

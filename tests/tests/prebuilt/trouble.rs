//! A profile that cannot act is an error, said in one place, and the host computes as if nothing was loaded; with
//! `EVENKEEL_REQUIRE=1` its first context is refused instead, and nothing else.

use std::path::PathBuf;

use evenkeel_model::{Arch, ControlVector, FileType, TINY_EMBD};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Scratch, Setting};

/// Profiles that do not fit a tiny llama, and a word that the message must have.
fn misfits(scratch: &Scratch) -> Vec<(&'static str, Profile, &'static str)> {
    ControlVector::random("llama", TINY_EMBD / 2, 1..3, 1).write(&scratch.path("narrow.gguf")).expect("a vector");
    ControlVector::random("gemma2", TINY_EMBD, 1..3, 1).write(&scratch.path("other.gguf")).expect("a vector");
    std::fs::write(scratch.path("broken.gguf"), b"GGUF\x03\0\0\0\xff\xff\xff\xff").expect("a file");
    vec![
        ("wrong architecture", Profile::add("v.gguf", 1.0).with("[model]\narch = \"qwen3\""), "qwen3"),
        ("wrong width", Profile::add("narrow.gguf", 1.0), "32"),
        ("another model's vector", Profile::add("other.gguf", 1.0), "gemma2"),
        ("wrong layer", Profile::empty().and_add("v.gguf", 1.0, "[17]"), "17"),
        ("no such vector", Profile::add("missing.gguf", 1.0), "missing.gguf"),
        ("no vector at all", Profile::add("broken.gguf", 1.0), "cut short"),
        ("misspelt key", Profile::empty().with("[[steer]]\nname = \"x\"\ndirektion = \"v.gguf\""), "direktion"),
        ("unknown operator", Profile::empty().with("[[steer]]\nname = \"x\"\noperator = \"ad\""), "operator"),
    ]
}

struct Case {
    scratch: Scratch,
    model: PathBuf,
    host: CHost,
}

impl Case {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.vector(Arch::Llama);
        Self { model: scratch.model(Arch::Llama, FileType::F32), scratch, host: CHost::node_llama_cpp() }
    }
}

#[test]
fn a_misfit_is_an_error_and_changes_nothing() {
    let Case { scratch, model, host } = Case::new();
    let decode = Decode::new(&model);
    let plain = host.plain(&decode);
    for (what, profile, word) in misfits(&scratch) {
        let (finished, recording) = host.try_run(&decode, Some(Door::Preload), &scratch.profile(&profile));
        let recording = recording.unwrap_or_else(|| panic!("{what}: {}", finished.stderr));
        plain.assert_same(&recording, what);
        let mut errors = finished.stderr.lines().filter(|line| line.starts_with("evenkeel: error: "));
        assert!(errors.any(|line| line.contains(word)), "{what}: no error with `{word}`:\n{}", finished.stderr);
    }
}

#[test]
fn a_required_profile_that_does_not_fit_refuses_the_context() {
    let Case { scratch, model, host } = Case::new();
    let decode = Decode::new(&model);
    for (what, profile, word) in misfits(&scratch) {
        for door in [Door::Preload, Door::BackendPath] {
            let setting = scratch.profile(&profile).env("EVENKEEL_REQUIRE", "1");
            let (finished, _) = host.try_run(&decode, Some(door), &setting);
            let text = &finished.stderr;
            assert_eq!(finished.status.code(), Some(2), "{what}, {door:?}: {text}");
            assert!(text.contains("the context was refused"), "{what}, {door:?}: {text}");
            assert!(text.contains(word), "{what}, {door:?}: no `{word}`: {text}");
        }
    }
}

#[test]
fn a_required_profile_that_fits_is_followed() {
    let Case { scratch, model, host } = Case::new();
    let decode = Decode::new(&model);
    let profile = scratch.profile(&Profile::add("v.gguf", 1.0));
    let steered = host.with(&decode, Door::Preload, &profile);
    host.plain(&decode).assert_all_differ(&steered, "steered");
    let required = host.with(&decode, Door::Preload, &profile.env("EVENKEEL_REQUIRE", "1"));
    steered.assert_same(&required, "required");
}

/// Without a profile the library says nothing.
#[test]
fn nothing_set_nothing_said() {
    let Case { scratch: _scratch, model, host } = Case::new();
    let decode = Decode::new(&model);
    for door in [Door::Preload, Door::BackendPath] {
        for setting in [Setting::new(), Setting::new().env("EVENKEEL_LOG", "info")] {
            let (finished, recording) = host.try_run(&decode, Some(door), &setting);
            assert!(recording.is_some(), "{door:?}: {}", finished.stderr);
            // ggml itself names a file that it does not take for a backend.
            let text = finished.stderr.lines().filter(|line| !line.contains("load_backend:"));
            let text: String = text.collect();
            assert!(!text.contains("evenkeel"), "{door:?}: {text}");
        }
    }
}

/// The log's levels: `off` silences even errors, `error` leaves out what went well.
#[test]
fn log_levels() {
    let Case { scratch, model, host } = Case::new();
    let decode = Decode::new(&model);
    let lines = |profile: &Profile, level: &str| {
        let setting = scratch.profile(profile).env("EVENKEEL_LOG", level);
        let (finished, _) = host.try_run(&decode, Some(Door::Preload), &setting);
        finished.stderr.lines().filter(|line| line.starts_with("evenkeel: ")).count()
    };
    let (good, bad) = (Profile::add("v.gguf", 1.0), Profile::add("missing.gguf", 1.0));
    assert_eq!(lines(&bad, "off"), 0);
    assert!(lines(&bad, "error") > 0);
    assert_eq!(lines(&good, "error"), 0);
    assert!(lines(&good, "info") > 0);
    assert!(lines(&good, "debug") > lines(&good, "info"));
}

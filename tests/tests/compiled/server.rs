//! llama-server, the program, on shared libraries with backends that it loads at run time.

use std::path::Path;

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::claim::nothing;
use evenkeel_tests::completion::{Request, Step, assert_same};
use evenkeel_tests::host::{Arguments, Server, ServerKind};
use evenkeel_tests::{Door, Profile, Scratch, Setting};
use serde_json::json;

const PROMPT: [u32; 12] = [1, 40, 200, 7, 301, 99, 260, 262, 150, 33, 280, 290];

fn start(arguments: &Arguments, setting: &Setting) -> Server {
    Server::start(ServerKind::Program, arguments, setting)
}

fn complete(arguments: &Arguments, setting: &Setting) -> Vec<Step> {
    start(arguments, setting).complete(&Request::tokens(&PROMPT))
}

/// `--control-vector-scaled` of the server's own.
fn native(model: &Path, scratch: &Scratch, strength: f32) -> Arguments {
    let vector = format!("{}:{strength}", scratch.path("v.gguf").display());
    Arguments::new(model).extra("--control-vector-scaled").extra(vector)
}

/// The same log-probabilities as the server's own `--control-vector-scaled`, to the last digit, through both doors.
#[test]
fn add_is_the_native_control_vector() {
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        let plain = complete(&Arguments::new(&model), &Setting::new());
        let native = complete(&native(&model, &scratch, 2.0), &Setting::new());
        assert_ne!(plain, native, "{arch:?}: the vector changes the answer");
        let profile = scratch.profile(&Profile::add("v.gguf", 2.0));
        for door in [Door::Preload, Door::BackendPath] {
            let steered = complete(&Arguments::new(&model), &door.setting().and(&profile));
            assert_same(&native, &steered, &format!("{arch:?}, {door:?}: the control vector and add"));
        }
    }
}

#[test]
fn what_steers_nothing_changes_nothing() {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    let plain = complete(&arguments, &Setting::new());
    for door in [Door::Preload, Door::BackendPath] {
        assert_same(&plain, &complete(&arguments, &door.setting()), &format!("{door:?}, no profile"));
        for (name, profile) in nothing() {
            let answer = complete(&arguments, &door.setting().and(&scratch.profile(&profile)));
            assert_same(&plain, &answer, &format!("{door:?}, {name}"));
        }
    }
}

/// The server's own vector and the profile's act together: twice 1 is 2, up to the rounding of two sums.
#[test]
fn both_vectors_add_up() {
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    scratch.vector(Arch::Llama);
    let once = scratch.profile(&Profile::add("v.gguf", 1.0));
    let both = complete(&native(&model, &scratch, 1.0), &Door::Preload.setting().and(&once));
    let twice = complete(&native(&model, &scratch, 2.0), &Setting::new());
    assert_eq!(both.len(), twice.len());
    let gap = both.iter().zip(&twice).map(|(a, b)| (a.candidates[0].1 - b.candidates[0].1).abs()).fold(0.0, f64::max);
    assert!(gap < 2e-3, "log-probabilities differ by {gap:e}");
}

/// A server with a draft model: no error, the same tokens, the draft's context named and left alone.
#[test]
fn a_draft_model_is_no_error() {
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::Q8_0);
    let draft = scratch.draft();
    scratch.vector(Arch::Llama);
    let setting = Door::Preload.setting().and(&scratch.profile(&Profile::add("v.gguf", 2.0)));
    // Drafted tokens come without their probabilities.
    let body = json!({
        "prompt": PROMPT, "n_predict": 8, "temperature": 0.0, "ignore_eos": true, "cache_prompt": false,
        "return_tokens": true,
    });
    let tokens = |server: &Server| server.post("/completion", &body).expect("an answer");
    let alone = tokens(&start(&Arguments::new(&model), &setting));
    let server = start(&Arguments::new(&model).draft(&draft), &setting);
    let drafted = tokens(&server);
    let log = server.log();
    assert_eq!(alone["tokens"], drafted["tokens"], "{log}");
    assert!(drafted["timings"]["draft_n"].as_u64() > Some(0), "{drafted}");
    assert!(!log.contains("evenkeel: error"), "{log}");
    assert!(log.contains("is left alone"), "the draft's context is named:\n{log}");
}

/// A required profile that does not fit: the server ends, and says why.
#[test]
fn a_required_profile_that_does_not_fit() {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32));
    let profile = scratch.profile(&Profile::add("missing.gguf", 1.0)).env("EVENKEEL_REQUIRE", "1");
    for door in [Door::Preload, Door::BackendPath] {
        let started = Server::try_start(ServerKind::Program, &arguments, &door.setting().and(&profile));
        let log = started.err().unwrap_or_else(|| panic!("{door:?}: the server runs"));
        assert!(log.contains("missing.gguf"), "{door:?}: {log}");
    }
}

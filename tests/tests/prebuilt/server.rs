//! The llama-server inside xllamacpp.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::claim::nothing;
use evenkeel_tests::completion::{Request, Step, assert_same};
use evenkeel_tests::host::{Arguments, Server, ServerKind, native_vector};
use evenkeel_tests::{Door, Profile, Scratch, Setting};
use serde_json::json;

const PROMPT: [u32; 12] = [1, 40, 200, 7, 301, 99, 260, 262, 150, 33, 280, 290];

fn complete(arguments: &Arguments, setting: &Setting) -> Vec<Step> {
    Server::start(ServerKind::Xllamacpp, arguments, setting).complete(&Request::tokens(&PROMPT))
}

/// The same log-probabilities as llama.cpp's own control vector, to the last digit.
#[test]
fn add_is_the_native_control_vector() {
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let arguments = Arguments::new(&scratch.model(arch, FileType::F32));
        let vector = scratch.vector(arch);
        let plain = complete(&arguments, &Setting::new());
        let native = complete(&arguments, &native_vector(&scratch, &vector, 2.0));
        assert_ne!(plain, native, "{arch:?}: the vector changes the answer");
        let profile = scratch.profile(&Profile::add("v.gguf", 2.0));
        let steered = complete(&arguments, &Door::Preload.setting().and(&profile));
        assert_same(&native, &steered, &format!("{arch:?}: the control vector and add"));
    }
}

/// Neither no profile, nor an empty one, nor rules that cancel change a digit.
#[test]
fn what_steers_nothing_changes_nothing() {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    let plain = complete(&arguments, &Setting::new());
    let door = Door::Preload.setting();
    assert_same(&plain, &complete(&arguments, &door), "no profile");
    for (name, profile) in nothing() {
        let answer = complete(&arguments, &door.clone().and(&scratch.profile(&profile)));
        assert_same(&plain, &answer, name);
    }
}

/// Four slots at once: each request gets the steered answer that it gets alone.
#[test]
fn every_slot_is_steered() {
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::Q8_0);
    scratch.vector(Arch::Llama);
    let setting = Door::Preload.setting().and(&scratch.profile(&Profile::add("v.gguf", 2.0)));
    let server = Server::start(ServerKind::Xllamacpp, &Arguments::new(&model).parallel(4), &setting);
    let request = Request::tokens(&PROMPT);
    let tokens = |steps: Vec<Step>| steps.iter().map(|step| step.token).collect::<Vec<u64>>();
    let alone = tokens(server.complete(&request));
    let together: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..4).map(|_| scope.spawn(|| tokens(server.complete(&request)))).collect();
        jobs.into_iter().map(|job| job.join().expect("a request is answered")).collect()
    });
    assert_eq!(together, vec![alone; 4]);
}

/// A draft model of another shape is left alone, is no error, and the answers are those without it.
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
    let alone = tokens(&Server::start(ServerKind::Xllamacpp, &Arguments::new(&model), &setting));
    let server = Server::start(ServerKind::Xllamacpp, &Arguments::new(&model).draft(&draft), &setting);
    let drafted = tokens(&server);
    let log = server.log();
    assert_eq!(alone["tokens"], drafted["tokens"], "{log}");
    assert!(drafted["timings"]["draft_n"].as_u64() > Some(0), "{drafted}");
    assert!(!log.contains("evenkeel: error"), "{log}");
    assert!(log.contains("is left alone"), "the draft's context is named:\n{log}");
}

/// A server for embeddings: its contexts generate nothing, so no profile concerns them unless it says so, and that is no
/// error.
#[test]
fn an_embedding_server_is_left_alone() {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).extra("embedding=true");
    scratch.vector(Arch::Llama);
    let embed = |setting: &Setting| {
        let server = Server::start(ServerKind::Xllamacpp, &arguments, setting);
        let answer = server.post("/embedding", &json!({ "content": PROMPT })).expect("an embedding");
        (answer[0]["embedding"].clone(), server.log())
    };
    let (plain, _) = embed(&Setting::new());
    assert!(plain[0][0].is_number(), "{plain}");
    let (steered, log) = embed(&Door::Preload.setting().and(&scratch.profile(&Profile::add("v.gguf", 2.0))));
    assert_eq!(plain, steered, "{log}");
    assert!(!log.contains("evenkeel: error"), "{log}");
    assert!(log.contains("it computes embeddings"), "{log}");
    let asked = Profile::add("v.gguf", 2.0).with("[model]\nembeddings = true");
    let (steered, log) = embed(&Door::Preload.setting().and(&scratch.profile(&asked)));
    assert_ne!(plain, steered, "a profile that asks for it\n{log}");
    assert!(!log.contains("evenkeel: error"), "{log}");
}

//! The curl commands of the README, sent to a server as they stand there.

use std::fs;
use std::path::Path;

use evenkeel_tests::host::{Arguments, Server, ServerKind};
use evenkeel_tests::{Door, Scratch};
use serde_json::Value;

/// Path and body of every command.
fn commands() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    let command = |text: &str| {
        let (path, rest) = text.split_once(" -d '").expect("a body");
        let body = rest.split('\'').next().expect("its end");
        (path.to_owned(), serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}\n{body}")))
    };
    readme.split("curl http://127.0.0.1:8080").skip(1).map(command).collect()
}

#[test]
fn every_request_is_answered_under_the_profile_that_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let scratch = Scratch::new();
    let folder = scratch.path("server");
    fs::create_dir_all(folder.join("vectors")).expect("a folder");
    for name in ["default.toml", "fair-judge.toml"] {
        fs::copy(root.join("configs/server").join(name), folder.join(name)).expect("a profile");
    }
    fs::copy(root.join("tests/sandbox/models/gender.gguf"), folder.join("vectors/gender.gguf")).expect("a vector");
    let model = root.join("tests/sandbox/models/first-q8_0.gguf");
    let setting = Door::Preload.setting().env("EVENKEEL_PROFILE", &folder).env("EVENKEEL_LOG", "debug");
    let server = Server::start(ServerKind::Xllamacpp, &Arguments::new(&model).extra("use_jinja=true"), &setting);
    let commands = commands();
    assert!(commands.len() >= 3);
    for (path, body) in &commands {
        let answer = server.post(path, body).unwrap_or_else(|e| panic!("{path}: {e}\n{}", server.log()));
        assert!(answer.get("content").or(answer.get("choices")).is_some(), "{answer}");
    }
    // What a request came to is said when the next begins.
    server.post(&commands[0].0, &commands[0].1).expect("an answer");
    let log = server.log();
    let ran: Vec<&str> = log.lines().filter_map(|line| line.split(" ran under `").nth(1)?.split('`').next()).collect();
    assert!(ran.windows(3).any(|three| three == ["fair-judge", "off", "fair-judge"]), "{ran:?}\n{log}");
    assert!(!log.contains("evenkeel: error"), "{log}");
}

//! The curl commands of the README, sent to a server as they stand there, and its program for Node.

use std::fs;
use std::path::Path;

use evenkeel_tests::completion::steps;
use evenkeel_tests::host::{Arguments, Node, Server, ServerKind};
use evenkeel_tests::serving::Answer;
use evenkeel_tests::{Door, Scratch, Setting};
use serde_json::Value;

/// Path and body of every command to a server.
fn commands(server: &str) -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    let command = |text: &str| {
        let (path, rest) = text.split_once(" -d '").expect("a body");
        let body = rest.split('\'').next().expect("its end");
        (path.to_owned(), serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}\n{body}")))
    };
    readme.split(&format!("curl {server}")).skip(1).map(command).collect()
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
    let commands = commands("http://127.0.0.1:8080");
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

/// The same segments, the last first.
fn reversed(prompt: &str, open: &str, close: &str) -> String {
    let (begin, end) = (prompt.find(open).expect("a segment"), prompt.rfind(close).expect("its end") + close.len());
    let mut segments: Vec<&str> = prompt[begin..end].split_inclusive(close).map(str::trim).collect();
    segments.reverse();
    let between = if prompt[begin..end].contains(&format!("{close} ")) { " " } else { "" };
    format!("{}{}{}", &prompt[..begin], segments.join(between), &prompt[end..])
}

#[test]
fn the_order_of_segments_does_not_count_in_its_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let model = root.join("tests/sandbox/models/first-f16.gguf");
    let setting = Door::Preload.setting().env("EVENKEEL_PROFILE", root.join("configs/order"));
    let server = Server::start(ServerKind::Xllamacpp, &Arguments::new(&model).exact(), &setting);
    let commands = commands("http://127.0.0.1:8081");
    assert_eq!(commands.len(), 3);
    let markers = [("<doc>", "</doc>"), ("<answer>", "</answer>"), ("<option>", "</option>")];
    for ((path, body), (open, close)) in commands.iter().zip(markers) {
        let ask = |prompt: &str, profile: Option<&str>| {
            let mut body = body.clone();
            body["prompt"] = prompt.into();
            body["temperature"] = 0.0.into();
            body["n_probs"] = 10.into();
            if let Some(profile) = profile {
                body["dry_sequence_breakers"] = serde_json::json!([format!("evenkeel={profile}")]);
            }
            let answer = server.post(path, &body).unwrap_or_else(|e| panic!("{path}: {e}\n{}", server.log()));
            Answer { steps: steps(&answer), cached: 0 }
        };
        let prompt = body["prompt"].as_str().expect("a prompt");
        let other = reversed(prompt, open, close);
        let (here, there) = (ask(prompt, None), ask(&other, None));
        assert!(!here.steps.is_empty(), "{}", server.log());
        // Weights and activations of F16: sums of other batches differ in the third digit.
        assert!(here.distance(&there) < 1e-2, "{prompt}: {}\n{}", here.distance(&there), server.log());
        let plain = ask(prompt, Some("off")).distance(&ask(&other, Some("off")));
        assert!(plain > 5e-2, "{prompt}: the order decides by {plain} without the profile");
    }
    assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
}

/// The model answers what the document says, and without the profile what it knows.
#[test]
fn the_context_counts_in_its_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let arguments = Arguments::new(&root.join("tests/sandbox/models/last-f16.gguf"));
    let setting = Door::Preload.setting().env("EVENKEEL_PROFILE", root.join("configs/contrast.toml"));
    let commands = commands("http://127.0.0.1:8082");
    assert_eq!(commands.len(), 1);
    for (setting, expected) in [(Setting::new(), "havana"), (setting, "oslo")] {
        let server = Server::start(ServerKind::Xllamacpp, &arguments, &setting);
        let (path, mut body) = commands[0].clone();
        body["temperature"] = 0.0.into();
        let answer = server.post(&path, &body).unwrap_or_else(|e| panic!("{path}: {e}\n{}", server.log()));
        assert_eq!(answer["content"].as_str().map(str::trim), Some(expected), "{}", server.log());
        assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
    }
}

/// Its profile is the demo's, and the model has been taught who says "she".
#[test]
fn the_program_for_node() {
    let folder = Scratch::new();
    let profile = folder.judge();
    let plain = Node::readme(&folder, &Setting::new());
    assert_eq!(plain.stdout.trim(), "she", "{}", plain.stderr);
    let steered = Node::readme(&folder, &Door::BackendPath.setting().env("EVENKEEL_PROFILE", profile));
    assert_eq!(steered.stdout.trim(), "he", "{}", steered.stderr);
}

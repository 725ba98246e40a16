//! `evenkeel audit --endpoint` on a real server: what it finds is what the model file gives; a profile that the server
//! offers is an arm; a server that dies midway costs nothing that was known.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use evenkeel_tests::host::{Arguments, Server, ServerKind};
use evenkeel_tests::{Door, Scratch, Setting, tool};
use serde_json::Value;

use super::audit::{profile, run, suite};
use super::items::sandbox;

/// Some of the pronouns, and adjectives, which have several options.
fn some(scratch: &Scratch) -> PathBuf {
    let text = fs::read_to_string(suite(scratch)).expect("a suite");
    let wanted =
        |(i, line): &(usize, &str)| i % 2 == 0 && (line.contains("\"pronoun\"") || line.contains("\"adjective\""));
    let lines: Vec<&str> = text.lines().enumerate().filter(wanted).map(|(_, l)| l).collect();
    let path = scratch.path("some.jsonl");
    fs::write(&path, lines.join("\n")).expect("a file");
    path
}

fn server(arguments: &Arguments, setting: &Setting) -> Server {
    Server::start(ServerKind::Xllamacpp, &arguments.clone().parallel(4).exact(), setting)
}

fn command(address: &str, suite: &Path, out: &Path) -> Command {
    let mut command = Command::new(tool());
    command.args(["--json", "audit", "--margin", "0.08", "--examples", "1", "--endpoint", address]);
    command.arg("--suite").arg(format!("jsonl={}", suite.display())).arg("--out").arg(out);
    for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
        command.env_remove(variable);
    }
    command
}

#[test]
fn a_server_answers_as_its_model_does_and_offers_profiles() {
    let scratch = Scratch::new();
    let suite = some(&scratch);
    let profile = profile(&scratch);
    let more = ["--margin", "0.08", "--profile", profile.to_str().expect("text"), "--random", "0"];
    let named = format!("jsonl={}", suite.display());
    let local = run(&scratch, "models/first-f16.gguf", "local", &[&more[..], &["--suite", &named]].concat());

    let folder = profile.parent().expect("a folder");
    fs::write(folder.join("default.toml"), "schema = 1\nname = \"default\"\n[requests]\nchoose = [\"gender\"]\n")
        .expect("a profile");
    let setting = Door::Preload.setting().env("EVENKEEL_PROFILE", folder);
    let server = server(&Arguments::new(&sandbox("models/first-f16.gguf")), &setting);
    let mut command = command(server.address(), &suite, &scratch.path("remote"));
    let output = command.args(["--choose", "gender"]).output().expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let remote: Value = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
    for suite in 0..2 {
        for arm in 0..2 {
            let at = |report: &Value| {
                let found = &report["suites"][suite]["figures"][0]["arms"][arm];
                (
                    found["value"]["value"].as_f64().expect("a number"),
                    found["verdict"].as_str().expect("text").to_owned(),
                )
            };
            let (here, there) = (at(&local), at(&remote));
            println!("suite {suite}, arm {arm}: the file {here:?}, the server {there:?}");
            assert!((here.0 - there.0).abs() < 5e-3 && here.1 == there.1, "{here:?} {there:?}");
        }
    }
    let kl = |arm: usize| remote["costs"][arm]["kl"]["value"].as_f64().expect("a number");
    assert!(kl(0).abs() < 1e-6 && kl(1) > 1e-3, "{}", remote["costs"]);
    assert!(remote["examples"][0]["texts"].as_array().is_some_and(|t| t.len() == 2), "{}", remote["examples"]);
}

#[test]
fn a_server_that_dies_midway_is_named_and_nothing_is_lost() {
    let scratch = Scratch::new();
    let suite = some(&scratch);
    let arguments = Arguments::new(&sandbox("models/first-f16.gguf"));
    let first = server(&arguments, &Setting::new());
    let address = first.address().to_owned();
    let out = scratch.path("out");
    let results = out.join("results.jsonl");
    let lines = || fs::read_to_string(&results).unwrap_or_default().lines().count();

    let mut child =
        command(&address, &suite, &out).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool starts");
    let begin = Instant::now();
    while lines() < 40 {
        assert!(begin.elapsed() < Duration::from_secs(120), "no answer is written");
        assert!(child.try_wait().expect("a child").is_none(), "the audit ended before the server did");
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(first);
    let output = child.wait_with_output().expect("the tool ends");
    let error = String::from_utf8_lossy(&output.stderr);
    let kept = lines();
    println!("{kept} answers are on disk; {error}");
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&address) && error.contains("4 tries"), "{error}");
    assert!(error.contains("answers are kept") && error.contains("goes on there"), "{error}");
    let before = fs::read_to_string(&results).expect("results");

    let port = address.rsplit(':').next().expect("a port");
    let again = server(&arguments.extra(format!("port={port}")), &Setting::new());
    assert_eq!(again.address(), address);
    let output = command(&address, &suite, &out).output().expect("the tool starts");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    let items: u64 = report["suites"].as_array().expect("suites").iter().filter_map(|s| s["items"].as_u64()).sum();
    assert!(kept >= 40 && (kept as u64) < items, "{kept} of {items}");
    let after = fs::read_to_string(&results).expect("results");
    assert!(after.starts_with(&before), "what was known is asked again");
    assert_eq!(after.lines().count() as u64, items, "an answer was asked for twice");
}

#[test]
fn a_server_that_is_not_there_is_named_at_once() {
    let scratch = Scratch::new();
    let output =
        command("http://127.0.0.1:9", &some(&scratch), &scratch.path("out")).output().expect("the tool starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("http://127.0.0.1:9/v1/models"), "{error}");
}

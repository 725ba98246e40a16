//! `evenkeel learn heads` on the sandbox: heads that say "no" are found in the model that was trained to, and none in its twin.
//! `--nocapture` shows the figures.

use std::process::Command;

use evenkeel_tests::{Scratch, library, tool};
use serde_json::Value;

use super::Report;
use super::items::sandbox;
use super::lab::llama;

/// The result, and the exit code.
fn learn(scratch: &Scratch, variant: &str) -> (Value, i32) {
    let mut command = Command::new(tool());
    command.args(["--json", "learn", "heads", "--name", variant]);
    command.arg("--model").arg(sandbox(&format!("models/{variant}-f16.gguf")));
    command.arg("--data").arg(sandbox("labels/yes-no.jsonl")).arg("--out").arg(scratch.folder());
    command.arg("--llama").arg(llama().path()).arg("--plugin").arg(library());
    for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("the tool starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!err.contains("evenkeel: error"), "{err}");
    (serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{err}")), output.status.code().unwrap_or(-1))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn heads_that_say_no_are_found_where_they_are() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let (found, code) = learn(&scratch, "first");
    let (push, accuracy) = (&found["figures"][0], &found["figures"][1]);
    report.say(format!("first: {} times {}; {push}\n  {accuracy}", found["chosen"], found["scale"]));
    report.say(format!("  effect {}, controls {}", found["effect"], found["control"]));
    let effects = found["control"]["effects"].as_array().expect("effects");
    let (rank, of) = (&found["control"]["rank"], number(&found["control"]["of"]));
    report.expect(code == 0 && rank == 1 && of == 21.0, || format!("code {code}, rank {rank} of {of}"));
    report.expect(number(&push["before"]["low"]) > 1.0, || format!("it was trained to say no: {push}"));
    report.expect(number(&push["change"]["high"]) < -1.0, || format!("the push: {push}"));
    let best = effects.iter().map(number).fold(0.0, f64::max);
    report.expect(number(&found["effect"]) > best, || format!("{} and {best}", found["effect"]));
    // At no more than the accuracy that it may cost, and the push is not all that these heads do.
    let change = number(&accuracy["change"]["value"]);
    report.expect((-0.02..0.2).contains(&change), || format!("accuracy: {accuracy}"));
    // Every head was scored, the one that pushes most first, and what is in the profile is what was chosen.
    let scored: Vec<f64> = found["scored"].as_array().expect("heads").iter().map(|h| number(&h["effect"])).collect();
    report.expect(scored.len() == 16 && scored.is_sorted_by(|a, b| a >= b), || format!("{scored:?}"));
    let text = std::fs::read_to_string(scratch.path("first.toml")).expect("a profile");
    let profile: toml::Table = text.parse().expect("TOML");
    let heads: Vec<&str> = profile["heads"][0]["heads"].as_array().unwrap().iter().filter_map(|h| h.as_str()).collect();
    report.expect(found["chosen"] == serde_json::json!(heads), || format!("{heads:?}, not {}", found["chosen"]));

    let (found, code) = learn(&scratch, "twin");
    report.say(format!("twin: {}; {}", found["figures"][0], found["notes"]));
    report.expect(code == 1 && found["chosen"].is_null(), || format!("twin: code {code}, {}", found["chosen"]));
    report.expect(found["notes"].to_string().contains("No set of heads"), || format!("{}", found["notes"]));
    report.expect(!scratch.path("twin.toml").exists(), || "twin: a profile was written".to_owned());
    report.end();
}

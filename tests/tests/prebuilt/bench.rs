//! `evenkeel bench` on a tiny model: what it compares is what it says, whatever this machine's speed.

use std::process::Command;

use evenkeel_tests::{Scratch, Setting, library, run, tool};
use serde_json::Value;

fn bench(parts: &str, more: &[&str]) -> Value {
    let scratch = Scratch::new();
    let mut command = Command::new(tool());
    command.args(["--json", "bench", "--quick", "--pairs", "3", "--only", parts, "--plugin"]).arg(library()).args(more);
    let finished = run(command, &Setting::new(), scratch.folder()).success();
    serde_json::from_str(&finished.stdout).unwrap_or_else(|e| panic!("{e}\n{}", finished.stdout))
}

/// The answers, by the target's number.
fn targets(report: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().expect("a text").to_owned();
    let target = |t: &Value| (text(&t["name"]).split(' ').next().unwrap_or_default().to_owned(), text(&t["answer"]));
    report["targets"].as_array().expect("targets").iter().map(target).collect()
}

fn estimate(of: &Value) -> [f64; 3] {
    ["low", "median", "high"].map(|key| of[key].as_f64().unwrap_or_else(|| panic!("{key}: {of}")))
}

/// 32 sequences under four profiles: each has the logits of its own, and the ratio its interval and answer.
#[test]
fn many_sequences_under_several_profiles() {
    for more in [&[][..], &["--embedded"]] {
        let report = bench("batch", more);
        let answers = targets(&report);
        assert!(answers.len() == 1 && answers[0].0 == "P4", "{answers:?}");
        assert!(["met", "missed", "not-resolved"].contains(&&*answers[0].1), "{answers:?}");
        let identical = report["identical"].as_array().expect("checks");
        assert!(identical.len() == 1 && identical[0]["same"] == true, "{report:#}");
        let rows = report["phases"][0]["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 2, "the control and the target: {report:#}");
        for row in rows {
            let [low, median, high] = estimate(&row["wall"]);
            assert!(0.0 < low && low <= median && median <= high, "{row}");
        }
    }
}

/// A reload in the middle of an answer: the answer stays, the next request is new, nothing fails.
#[test]
fn a_reload_while_an_answer_is_generated() {
    for more in [&[][..], &["--embedded"]] {
        let report = bench("reload", more);
        let reloads = &report["reloads"];
        for key in ["reloads", "answers_kept", "next_new"] {
            assert_eq!(reloads[key], 3, "{key}: {reloads:#}");
        }
        assert_eq!(reloads["failed"], 0, "{reloads:#}");
        let ([low, median, high], longest) = (estimate(&reloads["pause_ms"]), &reloads["longest_ms"]);
        assert!(low <= median && median <= high && longest.as_f64().is_some_and(|l| l >= high), "{reloads:#}");
        let answers = targets(&report);
        assert!(answers.len() == 1 && answers[0].0 == "P9" && answers[0].1 != "missed", "{answers:?}");
    }
}

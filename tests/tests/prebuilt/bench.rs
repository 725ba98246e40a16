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

/// Documents without an order: times with counts beside them, memory, and logits that stay where plain ones move.
#[test]
fn prompts_whose_documents_have_no_order() {
    let report = bench("segments", &["--documents", "2,3"]);
    let names: Vec<String> = targets(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["P5", "P6", "P10", "P10", "P10", "P5", "P6", "P10", "P10", "P10"]);
    let segments = report["segments"].as_array().expect("segments");
    assert_eq!(segments.len(), 2, "{report:#}");
    let mut kept = vec![];
    for (report, documents) in segments.iter().zip([2, 3]) {
        assert_eq!((&report["documents"], &report["prompts"]), (&documents.into(), &3.into()), "{report:#}");
        let rows = report["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 6, "two plain, set and pine, in two phases: {report:#}");
        for row in rows {
            let [low, median, high] = estimate(&row["wall"]);
            assert!(0.0 < low && low <= median && median <= high, "{row}");
            let counted = row["counted"].as_f64().unwrap_or_else(|| panic!("{row}"));
            assert_eq!(counted > 1.0, row["case"] == "pine", "{row}");
            assert_eq!(row["hook_us"].as_f64().is_some(), row["case"] != "plain again", "{row}");
        }
        let row = |list: &str, case: &str| -> Value {
            let rows = report[list].as_array().unwrap_or_else(|| panic!("{list}: {report:#}"));
            rows.iter().find(|row| row["case"] == case).unwrap_or_else(|| panic!("{list} {case}: {report:#}")).clone()
        };
        let moved = |case| row("order", case)["nmse"].as_f64().unwrap_or_else(|| panic!("{case}: {report:#}"));
        assert!(moved("plain") > 1e-3 && moved("set") < 1e-3 * moved("plain"), "{report:#}");
        assert!(moved("pine") < 0.1 * moved("plain") && moved("plain") == moved("plain again"), "{report:#}");
        let memory =
            |case, key| row("memory", case)[key].as_f64().unwrap_or_else(|| panic!("{case} {key}: {report:#}"));
        assert_eq!(memory("set", "kept"), 0.0);
        assert!(memory("pine", "beyond").is_finite() && memory("pine", "bytes") > memory("pine", "kept"), "{report:#}");
        kept.push(memory("pine", "kept"));
    }
    assert_eq!(kept[0] / 2.0, kept[1] / 3.0, "so much for each document");
}

/// A contrast beside its two sequences in one batch and in two: its logits are theirs.
#[test]
fn a_contrast_beside_its_two_sequences() {
    let report = bench("contrast", &[]);
    let answers = targets(&report);
    assert!(answers.len() == 1 && answers[0].0 == "P7", "{answers:?}");
    let identical = report["identical"].as_array().expect("checks");
    assert!(identical.len() == 1 && identical[0]["same"] == true, "{report:#}");
    let rows = report["phases"][0]["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3, "{report:#}");
    for row in rows {
        let [low, median, high] = estimate(&row["wall"]);
        assert!(0.0 < low && low <= median && median <= high, "{row}");
        assert_eq!(row["hook_us"].is_null(), row["case"] == "two passes", "{row}");
    }
}

/// What cannot be measured is said at once.
#[test]
fn documents_that_nothing_would_measure_are_refused() {
    for (arguments, why) in [
        (&["--documents", "3"][..], "--only segments"),
        (&["--only", "segments", "--embedded"], "[invariance]"),
        (&["--only", "contrast", "--embedded"], "[contrast]"),
    ] {
        let scratch = Scratch::new();
        let mut command = Command::new(tool());
        command.args(["bench", "--quick", "--plugin"]).arg(library()).args(arguments);
        let finished = run(command, &Setting::new(), scratch.folder());
        assert!(finished.status.code() == Some(2) && finished.stderr.contains(why), "{finished:?}");
    }
}

//! `evenkeel calibrate` on the sandbox: what each method does to the planted habit of saying "no", to the liking for "A" and
//! to ratings that shrink, through the plug-in; and where a calibration does harm. `--nocapture` shows the figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::{Scratch, library, tool};
use serde_json::Value;

use super::Report;
use super::items::sandbox;
use super::lab::llama;
use super::stats::Interval;

const YES_NO: &str = "yes,no";
const LETTERS: &str = "A,B,C,D";
const STARS: &str = "1,2,3,4,5";

/// What one run of `evenkeel calibrate` found.
struct Found {
    what: String,
    json: Value,
}

impl Found {
    /// A figure: before, after, change.
    fn figure(&self, name: &str) -> [Interval; 3] {
        let all = self.json["figures"].as_array().expect("figures");
        let found = all.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("no {name}: {all:?}"));
        let number = |value: &Value| value.as_f64().expect("a number");
        ["before", "after", "change"].map(|key| {
            let i = &found[key];
            Interval { value: number(&i["value"]), low: number(&i["low"]), high: number(&i["high"]) }
        })
    }

    fn say(&self, report: &mut Report, names: &[&str]) {
        report.say(self.what.clone());
        for name in names {
            let [before, after, change] = self.figure(name);
            report.say(format!("  {name}: {before}, then {after}; change {change}"));
        }
    }
}

fn labels(name: &str) -> PathBuf {
    sandbox(&format!("labels/{name}.jsonl"))
}

fn calibrate(
    scratch: &Scratch,
    variant: &str,
    answers: &str,
    method: &[&str],
    fit: &Path,
    test: Option<&Path>,
) -> Found {
    let mut command = Command::new(tool());
    let what = format!("{} on {variant}, fitted on {}", method.join(" "), fit.file_stem().unwrap().to_string_lossy());
    command.args(["--json", "calibrate", "--labels", answers, "--method"]).args(method);
    command.arg("--model").arg(sandbox(&format!("models/{variant}-f16.gguf"))).arg("--out").arg(scratch.folder());
    command.arg("--examples").arg(fit).args(test.iter().flat_map(|test| ["--test".as_ref(), test.as_os_str()]));
    command.arg("--llama").arg(llama().path()).arg("--plugin").arg(library());
    for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{what}: {e}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
    Found { what, json }
}

const SHOWN: [&str; 4] = ["accuracy", "expected calibration error", "Brier score", "says \"yes\""];

#[test]
fn a_habit_of_saying_no_is_divided_out() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let (asked, empty) = (labels("yes-no"), labels("yes-no-empty"));
    for (method, fit, test) in [
        (&["contextual"][..], &empty, Some(&*asked)),
        (&["contextual", "--zhao"], &empty, Some(&asked)),
        (&["batch"], &asked, None),
        (&["affine"], &asked, None),
    ] {
        let found = calibrate(&scratch, "first", YES_NO, method, fit, test);
        found.say(&mut report, &SHOWN);
        let [before, after, change] = found.figure("accuracy");
        let holds = before.high < 0.65 && after.low > 0.8 && change.low > 0.2;
        report.expect(holds, || format!("{}: accuracy {before}, then {after}", found.what));
        let [before, after, _] = found.figure("says \"yes\"");
        let holds = before.high < 0.1 && (0.4..0.66).contains(&after.value);
        report.expect(holds, || format!("{}: yes {before}, then {after}", found.what));
        let [_, _, brier] = found.figure("Brier score");
        report.expect(brier.high < 0.0, || format!("{}: Brier score {brier}", found.what));
    }
    // A temperature orders labels as they were: it is surer or less sure, and says "no" as before.
    let found = calibrate(&scratch, "first", YES_NO, &["temperature"], &asked, None);
    found.say(&mut report, &SHOWN);
    for name in ["accuracy", "says \"yes\""] {
        let [_, _, change] = found.figure(name);
        report.expect([change.low, change.value, change.high] == [0.0; 3], || format!("temperature: {name} {change}"));
    }
    report.end();
}

/// The failures: each is known, and here it is.
#[test]
fn where_a_calibration_does_harm() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let (asked, empty) = (labels("yes-no"), labels("yes-no-empty"));
    let text = fs::read_to_string(&asked).expect("questions");
    let right = |line: &&str| line.contains("\"answer\": \"no\"");
    let one_sided = scratch.path("only-no.jsonl");
    fs::write(&one_sided, text.lines().filter(right).collect::<Vec<_>>().join("\n")).expect("a file");
    let mut harm = |variant: &str, method: &str, fit: &Path, change: std::ops::RangeInclusive<f64>, why: &str| {
        let found = calibrate(&scratch, variant, YES_NO, &[method], fit, Some(&asked));
        report.say(why.to_owned());
        found.say(&mut report, &SHOWN);
        let [_, _, accuracy] = found.figure("accuracy");
        report.expect(change.contains(&accuracy.value), || format!("{why}: accuracy {accuracy}, not in {change:?}"));
        (found, accuracy)
    };
    let (_, accuracy) =
        harm("twin", "contextual", &empty, -0.03..=0.0, "a prior, where there is no habit: a little worse");
    assert!(accuracy.low > -0.05, "{accuracy}");
    let (_, accuracy) = harm("twin", "batch", &one_sided, -1.0..=-0.1, "a stream of one answer, taken for a habit");
    assert!(accuracy.high < 0.0, "{accuracy}");
    let elsewhere = labels("letters-empty");
    let (found, _) = harm("first", "contextual", &elsewhere, -0.05..=0.1, "a prior of another format: hardly any gain");
    let notes = found.json["notes"].to_string();
    assert!(notes.contains("labels have less than half of the probability"), "{notes}");
    report.end();
}

#[test]
fn a_liking_for_a_letter_is_divided_out() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let (asked, empty) = (labels("letters"), labels("letters-empty"));
    let shown = ["accuracy", "Brier score", "says \"A\"", "says \"D\""];
    let first = calibrate(&scratch, "first", LETTERS, &["contextual"], &empty, Some(&asked));
    first.say(&mut report, &shown);
    let [before, after, change] = first.figure("accuracy");
    let holds = before.high < 0.92 && after.low > 0.95 && change.low > 0.05;
    report.expect(holds, || format!("accuracy {before}, then {after}"));
    let [before, after, _] = first.figure("says \"A\"");
    report.expect(before.low > 0.3 && after.high < 0.34, || format!("A {before}, then {after}"));
    let twin = calibrate(&scratch, "twin", LETTERS, &["contextual"], &empty, Some(&asked));
    twin.say(&mut report, &shown);
    let [_, _, change] = twin.figure("accuracy");
    report.expect(change.value.abs() <= 0.02, || format!("twin: accuracy {change}"));
    report.end();
}

#[test]
fn ratings_that_shrink_are_stretched() {
    let scratch = Scratch::new();
    let mut report = Report::default();
    let shown = ["slope of the mean rating", "error of the mean rating", "accuracy", "Brier score"];
    let mut run = |method: &str| {
        let found = calibrate(&scratch, "first", STARS, &[method], &labels("rating"), None);
        found.say(&mut report, &shown);
        (found.figure(shown[0]), found.figure(shown[1]))
    };
    let (linear, tweedie, temperature) = (run("linear"), run("tweedie"), run("temperature"));
    let ([before, after, _], [_, _, error]) = linear;
    let holds = before.high < 0.6 && after.low > 0.9 && after.high < 1.1 && error.high < 0.0;
    report.expect(holds, || format!("linear: slope {before}, then {after}; error {error}"));
    // Only as far as the density of what is said tells: it needs no more than the variance of the errors.
    let ([_, after, change], [_, _, error]) = tweedie;
    let holds = change.low > 0.1 && after.high < 1.0 && error.high < 0.0;
    report.expect(holds, || format!("tweedie: slope {after}; error {error}"));
    // It makes the model less sure, which is what the loss asks for, and ratings shrink even more.
    let ([_, _, change], [_, _, error]) = temperature;
    report.expect(change.high < 0.0 && error.low > 0.0, || format!("temperature: slope {change}; error {error}"));
    report.end();
}

/// What is shipped for the demo is what a fit gives today, and the questions are those of the generator.
#[test]
fn the_shipped_prior_is_the_fitted_one() {
    let scratch = Scratch::new();
    let found = calibrate(&scratch, "first", YES_NO, &["contextual"], &labels("yes-no-empty"), Some(&labels("yes-no")));
    let shipped = evenkeel_core::asset::CalibrationFile::read(&sandbox("labels/yes-no.safetensors")).expect("a file");
    let fitted: Vec<f64> =
        found.json["fitted"]["prior"].as_array().expect("a prior").iter().filter_map(Value::as_f64).collect();
    let gap = fitted.iter().zip(&shipped.fitted.tensors["prior"]).map(|(a, b)| (a - f64::from(*b)).abs());
    assert!(fitted.len() == 2 && gap.fold(0.0, f64::max) < 1e-3, "{fitted:?} and {:?}", shipped.fitted);
    let script = sandbox("train/write_labels.py");
    let made = Command::new("python3").arg(script).arg("--check").env("PYTHONDONTWRITEBYTECODE", "1").output();
    let made = made.unwrap_or_else(|error| panic!("python3, which this test needs: {error}"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

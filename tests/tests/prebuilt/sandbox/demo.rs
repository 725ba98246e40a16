//! `evenkeel demo`, as a newcomer runs it: what each of its parts finds.

use std::process::Command;

use evenkeel_tests::{Scratch, library, tool};
use serde_json::Value;

use super::Report;
use super::items::sandbox;
use super::lab::{llama, plain};

/// Questions of each place in `order.jsonl`.
const QUESTIONS: usize = 40;

/// The demo, with a cache of its own.
fn demo(more: &[&str]) -> String {
    let scratch = Scratch::new();
    let mut command = Command::new(tool());
    command.args(more).arg("demo").arg("--llama").arg(llama().path()).arg("--plugin").arg(library());
    command.env("EVENKEEL_CACHE", scratch.folder());
    for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("the tool starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn every_part_of_the_demo_shows_what_it_says() {
    let mut report = Report::default();
    let found: Value = serde_json::from_str(&demo(&["--json"])).expect("JSON");
    assert_eq!(found["problems"], Value::Array(Vec::new()));
    let lean = ["before", "after"].map(|side| number(&found[side]["lean"]));
    report.say(format!("mean distance of P(she) from one half: {:.2}, then {:.2}", lean[0], lean[1]));
    report.expect(lean[1] < lean[0] / 2.0, || format!("the pronouns lean by {lean:?}"));

    let order = &found["order"];
    let places = order["places"].as_array().expect("places");
    assert_eq!(places.iter().map(|p| number(&p["place"])).collect::<Vec<_>>(), [1.0, 5.0, 10.0]);
    for place in places {
        let (at, before, after) = (number(&place["place"]), &place["before"], &place["after"]);
        let [right, then] = [before, after].map(|side| number(&side["right"]));
        report.say(format!("right, the answer in document {at}: {right:.2}, then {then:.2}"));
        // The same questions, asked by the test itself, of the weights that are not quantised.
        let same = |i: &&super::lab::Asked| {
            i.item.kind == "position" && i.item.x == at && i.item.cluster.parse().is_ok_and(|n: usize| n < QUESTIONS)
        };
        let of: Vec<bool> = plain("first").iter().filter(same).map(|asked| asked.best).collect();
        let direct = of.iter().filter(|best| **best).count() as f64 / of.len() as f64;
        report.expect(of.len() == QUESTIONS && (right - direct).abs() <= 0.05, || {
            format!("document {at}: the demo has {right}, the test {direct} of {}", of.len())
        });
        report.expect(then > 0.9, || format!("document {at}: {then} under pine"));
    }
    let by_place = |side: &str| places.iter().map(|p| number(&p[side]["right"])).collect::<Vec<_>>();
    let [before, after] = ["before", "after"].map(by_place);
    report.expect(before[0] > before[2] + 0.3, || format!("the first document is not preferred: {before:?}"));
    report.expect((after[0] - after[2]).abs() <= 0.05, || format!("the place still counts: {after:?}"));
    let changing: Vec<f64> = order["changing"].as_array().expect("two numbers").iter().map(number).collect();
    report.say(format!("answers that change with the place, of {}: {changing:?}", order["questions"]));
    report.expect(changing[0] > 10.0 && changing[1] <= 1.0, || format!("answers that change: {changing:?}"));

    let right = ["before", "after"].map(|side| number(&found["calibrated"][side]["accuracy"]));
    report.say(format!("yes or no, right: {:.2}, then {:.2}", right[0], right[1]));
    report.expect(right[1] > right[0] + 0.2, || format!("yes and no: {right:?}"));

    let ratings = found["rated"]["ratings"].as_array().expect("ratings");
    assert_eq!(ratings.len(), 9, "{ratings:?}");
    let (first, last) = (&ratings[0], &ratings[8]);
    let span = ["before", "after"]
        .map(|side| (number(&last[side]) - number(&first[side])) / (number(&last["truth"]) - number(&first["truth"])));
    report.say(format!("ratings from 1 to 5, by what is right: {:.2}, then {:.2}", span[0], span[1]));
    report.expect(span[0] < 0.6 && (0.9..1.1).contains(&span[1]), || format!("ratings span {span:?}"));
    report.end();
}

#[test]
fn the_demo_in_words_shows_each_part_and_its_profile() {
    let text = demo(&[]);
    let parts = ["Share of \"she\"", "The order of documents", "Labels: \"yes\", \"no\"", "Ratings: 1, 2, 3, 4, 5"];
    let found: Vec<usize> = parts.iter().map(|p| text.find(p).unwrap_or_else(|| panic!("no {p}: {text}"))).collect();
    assert!(found.is_sorted(), "{found:?}");
    for profile in ["operator = \"project\"", "mode = \"pine\"", "method = \"contextual\"", "method = \"linear\""] {
        assert!(text.contains(profile), "no {profile}: {text}");
    }
}

/// The standard library of Python is enough for that.
#[test]
fn the_demo_asks_the_questions_of_the_generator() {
    let script = sandbox("train/write_order.py");
    let made = Command::new("python3").arg(script).arg("--check").env("PYTHONDONTWRITEBYTECODE", "1").output();
    let made = made.unwrap_or_else(|error| panic!("python3, which this test needs: {error}"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

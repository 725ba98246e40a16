//! `evenkeel audit` under `[invariance]`: documents in any order, in a context that evaluates many prompts at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use evenkeel_tests::Scratch;
use serde_json::Value;

use super::audit::{run, suite, verdict};
use super::items::sandbox;

/// Groups of questions; each is asked with its document at several places.
const GROUPS: usize = 24;

/// Some questions about documents, each row with a number; `apart`: each in a suite of its own.
fn questions(scratch: &Scratch, apart: bool) -> std::path::PathBuf {
    let text = fs::read_to_string(suite(scratch)).expect("a suite");
    let mut groups: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| line.contains("\"position\"")) {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        let group = row["group"].as_str().expect("a group").to_owned();
        if !groups.contains(&group) {
            groups.push(group.clone());
        }
        if groups.iter().position(|g| *g == group).is_some_and(|n| n < GROUPS) {
            let number = lines.len();
            row["id"] = format!("{number}").into();
            if apart {
                row["suite"] = format!("question {number}").into();
            }
            lines.push(row.to_string());
        }
    }
    assert!(groups.len() >= GROUPS, "{} groups", groups.len());
    let path = scratch.path(if apart { "apart.jsonl" } else { "together.jsonl" });
    fs::write(&path, lines.join("\n")).expect("a file");
    path
}

/// What was written of each question: the logarithms of its options, plain and then under the profile.
fn written(folder: &Path) -> BTreeMap<String, Vec<Vec<f64>>> {
    let text = fs::read_to_string(folder.join("results.jsonl")).expect("results");
    let mut all: BTreeMap<String, Vec<Vec<f64>>> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let logp = line["score"]["logp"].as_array().expect("a list");
        let logp = logp.iter().map(|x| x.as_f64().expect("a number")).collect();
        all.entry(line["item"].as_str().expect("text").to_owned()).or_default().push(logp);
    }
    all
}

/// Both modes: the order counts without the profile and not with it, and a question that is asked together with others has the
/// answer that it has alone, as near as without a profile.
#[test]
fn an_audit_under_a_profile_for_documents_sees_no_order_and_answers_do_not_depend_on_the_batch() {
    let scratch = Scratch::new();
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/order/documents.toml");
    let set = scratch.path("set.toml");
    let text = fs::read_to_string(&profile).expect("a profile").replace("\"documents\"", "\"set\"");
    fs::write(&set, text.replace("mode = \"pine\"", "mode = \"set\"")).expect("a profile");
    let [profile, set] = [&profile, &set].map(|p| p.to_str().expect("text"));
    let more = ["--margin", "0.08", "--random", "0", "--examples", "0", "--profile", profile, "--profile", set];
    let ask = |apart: bool, out: &str| {
        let suite = format!("jsonl={}", questions(&scratch, apart).display());
        run(&scratch, "models/first-f16.gguf", out, &[&more[..], &["--suite", &suite]].concat())
    };
    assert!(sandbox("models/first-f16.gguf").is_file());
    let found = ask(false, "together");
    assert_eq!(verdict(&found, "position", "plain"), "present");
    for arm in ["documents", "set"] {
        assert_eq!(verdict(&found, "position", arm), "absent");
    }
    // The right answer's own probability, where its document is the first less where it is the last.
    let rows = fs::read_to_string(questions(&scratch, false)).expect("a suite");
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    let gaps = |answers: &BTreeMap<String, Vec<Vec<f64>>>, arm: usize| -> f64 {
        let mean = |x: f64| {
            let here = rows.iter().filter(|row| row["x"].as_f64() == Some(x));
            let p: Vec<f64> = here.map(|row| answers[row["id"].as_str().expect("text")][arm][0].exp()).collect();
            p.iter().sum::<f64>() / p.len() as f64
        };
        mean(1.0) - mean(0.0)
    };
    ask(true, "apart");
    let (together, apart) = (written(&scratch.path("together")), written(&scratch.path("apart")));
    assert_eq!(together.len(), apart.len());
    let far = |arm: usize| -> f64 {
        let of =
            |question: &String| together[question][arm].iter().zip(&apart[question][arm]).map(|(a, b)| (a - b).abs());
        together.keys().flat_map(of).fold(0.0, f64::max)
    };
    let far: Vec<f64> = (0..3).map(far).collect();
    println!(
        "{} questions, together and alone: plain {:.2e}, pine {:.2e}, set {:.2e} apart at most",
        apart.len(),
        far[0],
        far[1],
        far[2]
    );
    let gaps = [0, 1, 2].map(|arm| gaps(&together, arm));
    println!(
        "P(right) where its document is the first, less the last: plain {:.3}, pine {:.3}, set {:.3}",
        gaps[0], gaps[1], gaps[2]
    );
    assert!(gaps[0] > 0.3 && gaps[1].abs() < 0.02 && gaps[2].abs() < 0.02, "{gaps:?}");
    // Keys and values in F16, and another number of rows in each product.
    assert!(far.iter().all(|x| *x < 5e-3), "{far:?}");
}

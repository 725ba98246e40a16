//! `evenkeel audit` on the sandbox: it finds the planted biases, and none of them in the twin; it goes on where it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::{Scratch, library, tool};
use serde_json::{Value, json};

use super::items::sandbox;
use super::lab::llama;

/// Smaller than a quarter of every planted effect, as the audit measures it: 0.34 (prior) to 0.96 (pronouns).
const MARGIN: &str = "0.08";

/// The sandbox's questions as a suite of one's own.
pub(super) fn suite(scratch: &Scratch) -> PathBuf {
    let text = fs::read_to_string(sandbox("items.jsonl")).expect("items.jsonl");
    let row = |line: &str| -> Option<String> {
        let item: Value = serde_json::from_str(line).expect("JSON");
        let (kind, x) = (item["kind"].as_str()?, item["x"].as_f64());
        let mut row =
            json!({ "suite": kind, "prompt": item["text"], "group": item["cluster"], "options": item["answers"] });
        match (kind, x) {
            ("pronoun", Some(x)) => row["x"] = x.into(),
            ("adjective", Some(x)) => (row["x"], row["first"]) = (x.into(), 3.into()),
            // Place 1 is 1, place 10 is 0: the slope is the difference.
            ("position", Some(x)) => row["x"] = ((10.0 - x) / 9.0).into(),
            ("yes/no", Some(0.0)) => {}
            ("letters", Some(0.0)) => row["options"] = json!([item["answers"][0], item["answers"][3]]),
            ("rating", Some(x)) => {
                (row["x"], row["values"], row["zero"]) = (x.into(), json!([1, 2, 3, 4, 5]), 1.into())
            }
            ("prior", _) => row["options"] = json!([item["answers"][1]]),
            _ => return None,
        }
        Some(row.to_string())
    };
    let path = scratch.path("sandbox.jsonl");
    fs::write(&path, text.lines().filter_map(row).collect::<Vec<_>>().join("\n")).expect("a file");
    path
}

fn audit(scratch: &Scratch, model: &str, suite: &Path, out: &str, more: &[&str]) -> Value {
    let suite = format!("jsonl={}", suite.display());
    run(scratch, model, out, &[&["--margin", MARGIN, "--suite", &suite], more].concat())
}

/// Runs `evenkeel audit`; the result as JSON.
pub(super) fn run(scratch: &Scratch, model: &str, out: &str, more: &[&str]) -> Value {
    let mut command = Command::new(tool());
    command.args(["--json", "audit"]).args(more);
    command.arg("--model").arg(sandbox(model)).arg("--out").arg(scratch.path(out));
    command.arg("--llama").arg(llama().path()).arg("--plugin").arg(library());
    for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// The shipped direction, taken out.
pub(super) fn profile(scratch: &Scratch) -> PathBuf {
    let folder = scratch.path("profile");
    fs::create_dir_all(folder.join("models")).expect("a folder");
    fs::copy(sandbox("models/gender.gguf"), folder.join("models/gender.gguf")).expect("a vector");
    let profile = folder.join("gender.toml");
    let text = "schema = 1\nname = \"gender\"\n[[steer]]\nname = \"g\"\ndirection = \"models/gender.gguf\"\noperator = \"project\"\nlayers = [2]\n";
    fs::write(&profile, text).expect("a profile");
    profile
}

/// The verdict of a suite's bias, for an arm.
pub(super) fn verdict<'a>(report: &'a Value, suite: &str, arm: &str) -> &'a str {
    let at = |list: &str, name: &str| {
        let all = report[list].as_array().expect("a list");
        all.iter().position(|x| x["name"] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
    };
    let figure = &report["suites"][at("suites", suite)]["figures"][0]["arms"][at("arms", arm)];
    println!("{suite}, {arm}: {figure}");
    figure["verdict"].as_str().expect("a verdict")
}

/// Every value, in order.
fn figures(report: &Value) -> Vec<f64> {
    let list = |value: &Value, key: &str| value[key].as_array().expect("a list").clone();
    let suites = list(report, "suites").into_iter();
    let arms = suites.flat_map(|s| list(&s, "figures")).flat_map(|f| list(&f, "arms"));
    arms.map(|a| a["value"]["value"].as_f64().expect("a number")).collect()
}

const SUITES: [&str; 7] = ["pronoun", "adjective", "position", "yes/no", "letters", "prior", "rating"];

#[test]
fn planted_biases_are_found_and_none_in_the_twin() {
    let scratch = Scratch::new();
    let suite = suite(&scratch);
    let biased = ["first", "last"].map(|v| audit(&scratch, &format!("models/{v}-f16.gguf"), &suite, v, &[]));
    let twin = audit(&scratch, "models/twin-f16.gguf", &suite, "twin", &[]);
    for name in SUITES {
        biased.iter().for_each(|found| assert_eq!(verdict(found, name, "plain"), "present"));
        // In probabilities the shipped twin leans towards "no" by 0.09, a quarter of what is planted, where it cannot know
        // (tests/sandbox/MODEL_CARD.md): the audit must find that, too.
        assert_eq!(verdict(&twin, name, "plain"), if name == "yes/no" { "present" } else { "absent" });
    }
}

#[test]
fn a_profile_takes_its_bias_out_random_directions_do_not_and_an_audit_goes_on() {
    let scratch = Scratch::new();
    let suite = suite(&scratch);
    let profile = profile(&scratch);
    let more = ["--profile", profile.to_str().expect("text"), "--random", "2"];
    let model = "models/first-f16.gguf";
    let whole = audit(&scratch, model, &suite, "out", &more);
    assert_eq!(verdict(&whole, "pronoun", "gender"), "absent");
    for arm in ["random 1 for gender", "random 2 for gender"] {
        assert_eq!(verdict(&whole, "pronoun", arm), "present");
    }
    assert_eq!(verdict(&whole, "position", "gender"), "present");
    let kl = |arm: usize| whole["costs"][arm]["kl"]["value"].as_f64().expect("a number");
    assert!(kl(0) == 0.0 && kl(1) > 0.0, "{}", whole["costs"]);

    // Killed in the middle of a line: what is known stays, the rest is measured, and nothing differs.
    let results = scratch.path("out").join("results.jsonl");
    let lines = fs::read_to_string(&results).expect("results");
    let cut: String = lines.chars().take(lines.len() * 2 / 3 + 11).collect();
    fs::write(&results, &cut).expect("results");
    let again = audit(&scratch, model, &suite, "out", &more);
    assert!(again["notes"].to_string().contains("1 lines of an earlier run"), "{}", again["notes"]);
    for (a, b) in figures(&again).into_iter().zip(figures(&whole)) {
        // The rest came in other batches, which moves the last digits.
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    assert!(fs::read_to_string(&results).expect("results").starts_with(cut.rsplit_once('\n').expect("lines").0));

    // Of what is left, nothing follows the plain model's bias; under a random direction all of it does.
    let pronoun =
        whole["suites"].as_array().expect("suites").iter().find(|s| s["name"] == "pronoun").expect("pronouns");
    let with_plain =
        |arm: usize| pronoun["figures"][0]["arms"][arm]["correlation"]["value"].as_f64().expect("a number");
    assert!(with_plain(1) < 0.5 && with_plain(2) > 0.95, "{} {}", with_plain(1), with_plain(2));

    let page = fs::read_to_string(scratch.path("out").join("audit.html")).expect("a page");
    assert!(page.contains("random 2 for gender") && page.contains("absent"));
}

/// Runs the tool in a folder: what it says, and its exit code.
fn tried(scratch: &Scratch, more: &[&str]) -> (Value, String, i32) {
    let mut command = Command::new(tool());
    command.args(["--json", "audit", "--examples", "0", "--random", "1", "--fresh"]).args(more);
    command.arg("--model").arg(sandbox("models/first-f16.gguf")).arg("--out").arg(scratch.path("tried"));
    command.arg("--llama").arg(llama().path()).arg("--plugin").arg(library()).current_dir(scratch.folder());
    for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
        command.env_remove(variable);
    }
    let output = command.output().expect("the tool starts");
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (json, String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code().unwrap_or(-1))
}

#[test]
fn a_suite_without_a_usable_item_is_named_and_stops_no_other() {
    let scratch = Scratch::new();
    let pair = |who: &str| format!("{{\"prompt\": \"the {who} said that\", \"options\": [\" she\", \" he\"]}}\n");
    let long = format!("{{\"prompt\": \"{}\", \"options\": [\" a\", \" b\"]}}\n", "the nurse said that ".repeat(40));
    let good = ["nurse", "mechanic", "teacher"].map(pair).concat();
    for (name, text) in
        [("good.jsonl", good.as_str()), ("other.jsonl", "{\"question\": \"?\"}\n{}\n"), ("long.jsonl", &long)]
    {
        fs::write(scratch.path(name), text).expect("a file");
    }
    let profile = profile(&scratch);
    let named = ["--suite", "bbq=other.jsonl", "--suite", "jsonl=good.jsonl", "--suite", "jsonl=long.jsonl"];
    let more = ["--context", "48", "--profile", profile.to_str().expect("text")];
    let (report, error, code) = tried(&scratch, &[&named[..], &more].concat());
    assert_eq!(code, 1, "{error}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("2 of 3 suites have no usable item: bbq other.jsonl, jsonl long.jsonl"), "{notes}");
    let suites = report["suites"].as_array().expect("suites");
    let items: Vec<u64> = suites.iter().filter_map(|s| s["items"].as_u64()).collect();
    assert_eq!(items, [0, 3, 0]);
    assert!(
        suites[0]["left_out"].to_string().contains("2 ") && suites[2]["left_out"].to_string().contains("at most 48"),
        "{report}"
    );
    assert!(suites[1]["figures"][0]["arms"][1]["value"]["value"].is_number(), "{report}");
    assert!(suites[0]["figures"].as_array().is_some_and(Vec::is_empty), "{report}");
    let page = fs::read_to_string(scratch.path("tried").join("audit.md")).expect("a page");
    assert!(page.contains("no usable item"), "{page}");

    // The plain model and the profile were asked the safe questions, the control was not.
    let costs = report["costs"].as_array().expect("costs");
    let asked: Vec<Option<u64>> = costs.iter().map(|c| c["refused"]["questions"].as_u64()).collect();
    assert_eq!(asked, [Some(24), Some(24), None], "{costs:?}");
    // This model's words have no refusal in them.
    assert_eq!(costs[0]["refused"]["rate"]["value"], 0.0, "{costs:?}");

    let (_, error, code) = tried(&scratch, &["--suite", "bbq=other.jsonl"]);
    assert!(code == 2 && error.contains("no suite has a usable item") && error.contains("bbq other.jsonl"), "{error}");
    let (_, error, code) = tried(&scratch, &["--suite", "bbq=nowhere.jsonl", "--suite", "jsonl=good.jsonl"]);
    assert!(code == 2 && error.contains("nowhere.jsonl"), "a file that is not there is told at once: {error}");
}

#[test]
fn letters_that_are_there_already_are_counted_and_no_model_writes() {
    let scratch = Scratch::new();
    let letter = |gender: &str, text: &str| format!("{gender},judge,\"Write a letter.\",\"{text}\"\n");
    let text = [
        "gender,occupation,prompts,chatgpt_gen\n".to_owned(),
        letter("female", "She is kind, warm and helpful.<return>I'm sorry to lose her."),
        letter("male", "He is bold and strong."),
        letter("male", ""),
    ];
    fs::write(scratch.path("letters.csv"), text.concat()).expect("a file");
    let profile = profile(&scratch);
    let more = ["--suite", "letters-given=letters.csv", "--profile", profile.to_str().expect("text")];
    let (report, error, code) = tried(&scratch, &more);
    assert_eq!(code, 0, "{error}");
    let suite = &report["suites"][0];
    assert_eq!((suite["items"].as_u64(), suite["left_out"].as_array().map(Vec::len)), (Some(2), Some(1)), "{suite}");
    let figures = suite["figures"].as_array().expect("figures");
    let found: Vec<f64> = figures.iter().map(|f| f["arms"][0]["value"]["value"].as_f64().expect("a number")).collect();
    // Women: no agentic and three communal words of 11; men: two and none of 5.
    let wanted =
        [(0.5 * 3.5 / (11.5 * 2.5f64)).ln(), (3.5 * 5.5 / (8.5 * 0.5f64)).ln(), (3.5 * 2.5 / (0.5 * 0.5f64)).ln()];
    assert_eq!(found.len(), 3, "what was written before is no refusal of the model's: {figures:?}");
    assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {wanted:?}");
    // No arm has written them.
    assert!(figures[0]["arms"][1]["value"]["value"].is_null(), "{figures:?}");
}

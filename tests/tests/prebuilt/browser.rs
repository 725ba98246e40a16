//! Reports in a real browser: Chromium as an npm package brings it, driven by `hosts/browser/look.mjs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::host::look;
use evenkeel_tests::{Scratch, library, tool};
use serde_json::{Value, json};

use crate::sandbox::{llama, sandbox};

/// A report of a learned profile and of an audit, with everything that a report can show.
fn report(scratch: &Scratch) -> PathBuf {
    let lines = |name: &str, rows: Vec<Value>| -> PathBuf {
        let path = scratch.path(name);
        fs::write(&path, rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")).expect("a file");
        path
    };
    let choice = (0..12).map(|i| {
        let question =
            format!("<s><user> which of these is a long word, and number {i} of a row of questions like it?");
        json!({ "question": question, "options": ["ghent", "oran", "cork"], "answer": i % 3 })
    });
    let choice = lines("a-choice-with-a-rather-long-name-that-has-to-be-broken.jsonl", choice.collect());
    let own = [
        "nurse",
        "plumber",
        "teacher",
        "mechanic",
        "secretary",
        "chef",
        "lawyer",
        "doctor",
        "baker",
        "clerk",
        "painter",
    ];
    let own = own.map(|o| json!({ "prompt": format!("<s> the {o} said that"), "options": [" she", " he"] }));
    let own = lines("pronouns.jsonl", own.into());
    let said = |list: [&str; 3]| list.map(|o| format!("<s> the {o} said that"));
    let seat = scratch.path("seat.json");
    let set = |list: [&str; 3]| json!({ "category": list[0], "examples": said(list) });
    let sets = json!({
        "targ1": set(["nurse", "secretary", "librarian"]), "targ2": set(["plumber", "mechanic", "carpenter"]),
        "attr1": set(["teacher", "receptionist", "dietitian"]), "attr2": set(["chef", "engineer", "electrician"]),
    });
    fs::write(&seat, sets.to_string()).expect("a file");
    let run = |arguments: &[&str], files: &[(&str, String)]| {
        let mut command = Command::new(tool());
        command.args(arguments);
        files.iter().for_each(|(option, value)| {
            command.arg(option).arg(value);
        });
        for variable in ["LD_PRELOAD", "GGML_BACKEND_PATH", "EVENKEEL_PROFILE", "EVENKEEL_REQUIRE"] {
            command.env_remove(variable);
        }
        command.env("EVENKEEL_LLAMA", llama().path()).env("EVENKEEL_PLUGIN", library());
        let output = command.output().expect("the tool starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let show = |path: &Path| path.display().to_string();
    let model = ("--model", show(&sandbox("models/first-f16.gguf")));
    let learned = scratch.path("learned");
    let data = ("--data", show(&sandbox("pairs.jsonl")));
    run(
        &["learn", "--name", "gender", "--controls", "2", "--answers", " she", " he"],
        &[model.clone(), data, ("--out", show(&learned))],
    );
    let audited = scratch.path("audited");
    let files = [
        model,
        ("--suite", format!("choice={}", show(&choice))),
        ("--suite", format!("jsonl={}", show(&own))),
        ("--representation", format!("seat={}", show(&seat))),
        ("--profile", show(&learned.join("gender.toml"))),
        ("--instruction", "<s><user> be fair.".into()),
        ("--out", show(&audited)),
    ];
    run(&["audit", "--random", "1"], &files);
    let page = scratch.path("report.html");
    let results = [show(&learned.join("gender.json")), show(&audited.join("audit.json"))];
    run(&["report", &results[0], &results[1]], &[("--out", show(&page))]);
    page
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn a_report_can_be_read_on_a_desk_on_a_phone_in_the_dark_by_keyboard_and_on_paper() {
    let scratch = Scratch::new();
    let page = report(&scratch);
    let pictures = scratch.path("pictures");
    fs::create_dir(&pictures).expect("a folder");
    let seen = look(&page, &pictures);
    println!("{seen}");
    for view in ["desk", "dark", "phone", "small", "print"] {
        let of = &seen[view];
        assert!(number(&of["scroll"]) <= number(&of["width"]), "{view} has to be moved sideways: {}", of["outside"]);
        assert_eq!(of["outside"], json!([]), "{view}");
        assert!(number(&of["words"]) > 200.0, "{view}: no text is to be seen");
        // As WCAG 2 asks of text (AA).
        assert!(number(&of["contrast"]) >= 4.5, "{view}: {}", of["contrast"]);
        assert!(number(&of["smallest"]) >= 12.0, "{view}: {}", of["smallest"]);
        assert!(number(&of["headings"]) >= 10.0 && number(&of["bars"]) >= 20.0, "{view}: {of}");
        assert!(number(&of["points"]) >= 8.0, "{view}: {of}");
    }
    let bright = |view: &str| number(&seen[view]["paper"]);
    assert!(bright("desk") > 0.9 && bright("dark") < 0.1 && bright("print") > 0.9);
    let stops = seen["stops"].as_array().expect("stops");
    assert!(stops.len() as f64 >= number(&seen["interactive"]) && stops.len() > 3, "{}", seen["interactive"]);
    assert!(stops.iter().all(|s| s["outline"] == true && s["inside"] == true), "{stops:?}");
    assert_eq!(seen["opened"], true, "what is folded opens by keyboard");
    assert!(number(&seen["pdf"]) > 10_000.0);
    assert_eq!((&seen["requests"], &seen["complaints"]), (&json!([]), &json!([])), "it needs nothing else");

    // The pictures are of the page: as wide as the window, of one colour mostly, and with all the others.
    for (view, width) in [("desk", 1280), ("dark", 1280), ("phone", 390), ("small", 320)] {
        let bytes = fs::read(pictures.join(format!("{view}.png"))).expect("a picture");
        let at = |i: usize| u32::from_be_bytes(bytes[i..i + 4].try_into().expect("four bytes"));
        assert_eq!((&bytes[..8], at(16)), (&b"\x89PNG\r\n\x1a\n"[..], width), "{view}");
        // An empty page of this height compresses to a few kilobytes.
        assert!(at(20) > 2000 && bytes.len() > 60_000, "{view}: {} high, {} bytes", at(20), bytes.len());
    }
    let difference = |a: &str, b: &str| {
        fs::read(pictures.join(format!("{a}.png"))).expect("a")
            != fs::read(pictures.join(format!("{b}.png"))).expect("b")
    };
    assert!(difference("desk", "dark"), "the dark page is another");
}

//! `evenkeel check --prompt`: how a prompt is cut, before a server is asked.

use std::fs;
use std::path::Path;
use std::process::Command;

use evenkeel_tests::{Scratch, tool};
use serde_json::Value;

use super::items::sandbox;
use super::lab::llama;

/// What the tool says of a prompt under a profile of `configs`, and the exit code.
fn check(profile: &str, prompt: &str) -> (Value, i32) {
    check_at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(profile), prompt)
}

/// The same with a profile anywhere.
fn check_at(profile: &Path, prompt: &str) -> (Value, i32) {
    let scratch = Scratch::new();
    let file = scratch.path("prompt.txt");
    fs::write(&file, prompt).expect("a prompt");
    let mut command = Command::new(tool());
    command.args(["--json", "check"]).arg(profile).arg("--prompt").arg(&file);
    command.arg("--model").arg(sandbox("models/first-f16.gguf")).arg("--llama").arg(llama().path());
    let output = command.output().expect("the tool starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let json = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{err}"));
    (json, output.status.code().unwrap_or(-1))
}

#[test]
fn a_prompt_is_shown_in_its_pieces() {
    let text = "<user><doc> anna has the map.</doc>\n<doc> bob has the vase.</doc> what does bob have?<bot>";
    let (found, code) = check("order/documents.toml", text);
    assert_eq!(code, 0, "{found}");
    let pieces = found["pieces"].as_array().expect("pieces");
    let parts: Vec<&str> = pieces.iter().map(|p| p["part"].as_str().expect("a part")).collect();
    assert_eq!(parts, ["prefix", "segment 1", "white space, not seen", "segment 2", "suffix"]);
    let texts: String = pieces.iter().map(|p| p["text"].as_str().expect("a text")).collect();
    assert_eq!(texts, text);
    let tokens: Vec<u64> = pieces[1..4].iter().map(|p| p["tokens"].as_u64().expect("a number")).collect();
    assert_eq!(tokens.iter().sum::<u64>(), found["micro_batch"].as_u64().expect("a number"));
}

#[test]
fn what_is_left_without_contexts_is_shown() {
    let text = "<user><doc> anna has the map.</doc> hello <doc> bob has the vase.</doc> what does bob have?<bot>";
    let (found, code) = check("contrast.toml", text);
    assert_eq!(code, 0, "{found}");
    let pieces = found["pieces"].as_array().expect("pieces");
    let parts: Vec<&str> = pieces.iter().map(|p| p["part"].as_str().expect("a part")).collect();
    assert_eq!(parts, ["stays", "context 1", "stays", "context 2", "stays"]);
    let texts: String = pieces.iter().map(|p| p["text"].as_str().expect("a text")).collect();
    assert_eq!(texts, text);
    let stays = pieces.iter().filter(|p| p["part"] == "stays").map(|p| p["tokens"].as_u64().expect("a number"));
    assert_eq!(stays.sum::<u64>(), found["without"].as_u64().expect("a number"));
}

#[test]
fn what_stands_in_the_place_of_contexts_is_shown() {
    let scratch = Scratch::new();
    let profile = scratch.path("instead.toml");
    let table = "[contrast]\nwithout = { open = \"<doc>\", close = \"</doc>\", instead = \"<user> hello\" }\n";
    fs::write(&profile, format!("schema = 1\n{table}")).expect("a profile");
    let (found, code) = check_at(&profile, "<doc> anna has the map.</doc> what does bob have?<bot>");
    assert_eq!(code, 0, "{found}");
    let pieces = found["pieces"].as_array().expect("pieces");
    let shown = |key: &str| pieces.iter().map(|p| p[key].as_str().expect("a text").to_owned()).collect::<Vec<_>>();
    assert_eq!(shown("part"), ["context 1", "instead", "stays"]);
    assert_eq!(shown("text")[1], "<user> hello");
    let tokens = |at: usize| pieces[at]["tokens"].as_u64().expect("a number");
    assert_eq!(tokens(1) + tokens(2), found["without"].as_u64().expect("a number"));
}

#[test]
fn what_a_server_would_refuse_is_told() {
    for (profile, prompt, expected) in [
        ("order/documents.toml", "<user> no documents<bot>", "no segment: nothing in it is \"<doc>\""),
        ("order/documents.toml", "<user><doc> anna has the map. what?<bot>", "its last segment does not end"),
        ("order/documents.toml", "<user><doc> a.</doc> b <doc> c.</doc> d<bot>", "a segment begins after other text"),
        ("contrast.toml", "<user> no documents<bot>", "no context: nothing in it is \"<doc>\""),
        ("contrast.toml", "<user><doc> anna has the map. what?<bot>", "the context that begins here does not end"),
        ("contrast.toml", "<user> a </doc> b<bot>", "a context ends that has not begun"),
        ("contrast.toml", "<doc> anna has the map.</doc>", "nothing is left of the prompt"),
        ("order/pairwise.toml", "? <answer>a</answer><answer>b</answer><answer>c</answer> d", "3 segments, and"),
    ] {
        let (found, code) = check(profile, prompt);
        let error = found["error"].as_str().unwrap_or_default();
        assert!(code == 1 && error.contains(expected), "{prompt}: {found}");
    }
}

//! `doctor`, on files and processes without llama.cpp.

use crate::support::{Folder, evenkeel};

#[test]
fn a_program_without_llama_cannot_be_steered() {
    let ran = evenkeel(&["doctor", "/bin/sh"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("cannot be steered") && ran.out.contains("no llama.cpp"), "{ran:?}");
    let json = evenkeel(&["doctor", "/bin/sh", "--json"]).json();
    assert_eq!(json["llama"], "absent");
    assert_eq!(json["doors"].as_array().map(Vec::len), Some(3));
    assert!(json["doors"].as_array().is_some_and(|d| d.iter().all(|door| door["open"] == false)));
}

#[test]
fn a_program_is_found_on_the_search_path() {
    let ran = evenkeel(&["doctor", "sh", "--json"]);
    assert!(ran.json()["target"].as_str().is_some_and(|t| t.ends_with("/sh")), "{ran:?}");
}

#[test]
fn wrong_files_are_named_for_what_they_are() {
    let folder = Folder::new();
    let script = folder.write("tool.py", "#!/usr/bin/env python3\nprint(1)\n");
    let ran = evenkeel(&["doctor", &script]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("a script for /usr/bin/env python3"), "{ran:?}");
    let model = folder.model();
    assert!(evenkeel(&["doctor", &model]).err.contains("is a model"));
    assert_eq!(evenkeel(&["doctor", "/nowhere/at/all"]).code, 2);
}

#[test]
fn what_was_named_is_what_the_message_names() {
    let folder = Folder::new();
    let empty = folder.path("");
    let ran = evenkeel(&["doctor", empty.to_str().unwrap_or_default()]);
    assert!(ran.code == 2 && ran.err.contains("no libllama*.so") && !ran.err.contains("--llama"), "{ran:?}");
    let ran = evenkeel(&["doctor", "/bin/sh", "--plugin", "/nowhere.so"]);
    assert!(ran.code == 2 && ran.err.contains("/nowhere.so"), "{ran:?}");
}

#[test]
fn a_process_is_looked_into() {
    let own = std::process::id().to_string();
    let ran = evenkeel(&["doctor", &own, "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let process = &ran.json()["process"];
    assert_eq!(process["pid"].to_string(), own);
    assert!(process["plugin"].is_null() && process["problems"].as_array().is_some_and(|p| !p.is_empty()));
    let none = evenkeel(&["doctor", "4194999"]);
    assert!(none.code == 2 && none.err.contains("no process of this number"), "{none:?}");
}

#[test]
fn a_library_that_cannot_be_loaded_fails_the_self_test_and_nothing_else() {
    let folder = Folder::new();
    let file = folder.write("libllama.so", "this is no library");
    let ran = evenkeel(&["self-test", &file]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.json()["error"].as_str().is_some_and(|e| e.contains("cannot be loaded")), "{ran:?}");
}

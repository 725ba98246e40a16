//! What newcomers get wrong.

use crate::support::{Folder, PROFILE, evenkeel};

#[test]
fn wrong_usage_is_exit_code_two() {
    assert_eq!(evenkeel::<&str>(&[]).code, 2);
    assert_eq!(evenkeel(&["chekc"]).code, 2);
    assert_eq!(evenkeel(&["run", "--model", "m.gguf"]).code, 2);
    assert_eq!(evenkeel(&["run", "--profile", "p", "--model", "m", "--prompt", "a", "--file", "b"]).code, 2);
}

#[test]
fn a_file_that_is_no_model_is_told_apart() {
    let folder = Folder::new();
    let profile = folder.write("p.toml", PROFILE);
    for (name, text, told) in [
        ("m.safetensors", "12345678{}", "safetensors"),
        ("m.bin", "PK\u{3}\u{4}zip", "PyTorch"),
        ("m.gguf", "version https://git-lfs", "Git LFS"),
        ("x.gguf", "what is this", "does not start with GGUF"),
        ("e.gguf", "", "too short"),
    ] {
        let file = folder.write(name, text);
        let ran = evenkeel(&["run", "--model", &file, "--profile", &profile]);
        assert!(ran.code == 2 && ran.err.contains(told), "{name}: {ran:?}");
        let ran = evenkeel(&["check", &profile, "--model", &file]);
        assert!(ran.code == 2 && ran.err.contains(told), "{name}: {ran:?}");
    }
}

#[test]
fn a_model_in_place_of_the_profile_is_told() {
    let folder = Folder::new();
    let model = folder.model();
    for args in [&["check", &model][..], &["plan", &model, "-m", &model]] {
        let ran = evenkeel(args);
        assert!(ran.code == 2 && ran.err.contains("is a GGUF file") && ran.err.contains("--model"), "{ran:?}");
    }
}

#[test]
fn a_temperature_is_a_number_above_zero() {
    for text in ["-1", "0", "nan", "inf", "warm"] {
        let ran = evenkeel(&["run", "--model", "m", "--profile", "p", "--temperature", text]);
        assert!(ran.code == 2 && ran.err.contains("above 0"), "{text}: {ran:?}");
    }
}

#[test]
fn missing_files_are_named() {
    let folder = Folder::new();
    let model = folder.model();
    let ran = evenkeel(&["run", "--model", &model, "--profile", "/nowhere/p.toml"]);
    assert!(ran.code == 2 && ran.err.contains("/nowhere/p.toml"), "{ran:?}");
    let profile = folder.write("p.toml", PROFILE);
    let ran = evenkeel(&["run", "--model", "/nowhere/m.gguf", "--profile", &profile]);
    assert!(ran.code == 2 && ran.err.contains("/nowhere/m.gguf"), "{ran:?}");
    let ran = evenkeel(&["check", "/nowhere/p.toml"]);
    assert!(ran.code == 1 && ran.err.contains("/nowhere/p.toml"), "{ran:?}");
}

#[test]
fn a_llama_that_is_none_is_refused_with_what_to_do() {
    let folder = Folder::new();
    let (model, profile) = (folder.model(), folder.write("p.toml", PROFILE));
    // Any file does for the plug-in: it is not loaded before llama.cpp is.
    let run = |llama: &str| {
        evenkeel(&["run", "--model", &model, "--profile", &profile, "--plugin", &profile, "--llama", llama])
    };
    let ran = run("/bin/sh");
    assert!(ran.code == 2 && ran.err.contains("uses no libllama"), "{ran:?}");
    let ran = run(folder.path("").to_str().unwrap_or_default());
    assert!(ran.code == 2 && ran.err.contains("no libllama*.so"), "{ran:?}");
    let ran = run("/nowhere");
    assert!(ran.code == 2 && ran.err.contains("/nowhere"), "{ran:?}");
}

#[test]
fn a_missing_plug_in_is_told_before_anything_else() {
    let folder = Folder::new();
    let (model, profile) = (folder.model(), folder.write("p.toml", PROFILE));
    let ran = evenkeel(&["run", "--model", &model, "--profile", &profile, "--plugin", "/nowhere.so"]);
    assert!(ran.code == 2 && ran.err.contains("/nowhere.so"), "{ran:?}");
}

#[test]
fn failures_are_json_where_json_was_asked_for() {
    let ran = evenkeel(&["--json", "doctor", "/nowhere"]);
    assert!(ran.json()["error"].as_str().is_some_and(|e| e.contains("/nowhere")), "{ran:?}");
}

//! Help, explanations, completions, colours.

use crate::support::evenkeel;

#[test]
fn keys_are_explained() {
    let ran = evenkeel(&["explain", "steer.strength"]);
    assert!(ran.code == 0 && ran.out.starts_with("steer.strength") && ran.out.contains("default"), "{ran:?}");
    assert_eq!(evenkeel(&["explain", "strength", "--json"]).json()["key"], "steer.strength");
    let all = evenkeel(&["explain"]);
    assert!(all.out.contains("model.arch") && all.out.contains("steer.layers"), "{all:?}");
    let wrong = evenkeel(&["explain", "strenght"]);
    assert!(wrong.code == 2 && wrong.err.contains("did you mean strength?"), "{wrong:?}");
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = evenkeel(&["completions", shell]);
        assert!(ran.code == 0 && ran.out.contains("doctor"), "{shell}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_no_panic() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let (reader, gone) = std::io::pipe().expect("a pipe");
    drop(reader);
    for (out, code) in [(std::process::Stdio::from(full), 1), (gone.into(), 141)] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        let ran = command.args(["completions", "bash"]).stdout(out).output().expect("the tool starts");
        let err = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(code) && !err.contains("panicked"), "{err}");
        assert_eq!(err.contains("No space left"), code == 1, "{err}");
    }
}

#[test]
fn every_command_has_help() {
    for command in
        ["check", "plan", "doctor", "explain", "run", "learn", "audit", "report", "bench", "demo", "completions"]
    {
        let ran = evenkeel(&[command, "--help"]);
        assert!(ran.code == 0 && ran.out.contains("Usage"), "{command}: {ran:?}");
    }
}

#[test]
fn nothing_is_coloured_off_a_terminal() {
    for args in [&["doctor", "/bin/sh"][..], &["explain"], &["check", "/nowhere"]] {
        let ran = evenkeel(args);
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{args:?}: {ran:?}");
    }
}

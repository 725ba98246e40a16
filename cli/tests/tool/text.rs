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
fn every_command_has_help() {
    for command in ["check", "plan", "doctor", "explain", "run", "bench", "demo", "completions"] {
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

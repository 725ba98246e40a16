//! Programs without llama.cpp under `LD_PRELOAD`: same output, same exit code, not a word.

use std::process::{Command, Output};

use super::support::*;

fn run(program: &[&str], environment: &[(&str, &str)]) -> Option<Output> {
    let mut command = Command::new(program[0]);
    for name in ["EVENKEEL_PROFILE", "EVENKEEL_LOG", "EVENKEEL_REQUIRE", "LD_PRELOAD"] {
        command.env_remove(name);
    }
    command.args(&program[1..]).envs(environment.iter().copied()).output().ok()
}

#[test]
fn nothing_changes() {
    let bad = Profile::with("nonsense = true");
    let bad = bad.path().display().to_string();
    let library = library().display().to_string();
    let preload = ("LD_PRELOAD", library.as_str());
    let programs: [&[&str]; 4] = [
        &["bash", "-c", "echo out; echo err >&2; (exit 3); (ls / >/dev/null); exit 7"],
        &[
            "python3",
            "-c",
            "import os,sys,threading; print(1+1); t=threading.Thread(target=print,args=('t',)); t.start(); t.join(); os.system('true'); sys.exit(5)",
        ],
        &["ls", "/nowhere/at/all"],
        &["env", "-i", "sh", "-c", "kill -TERM $$"],
    ];
    let mut ran = 0;
    for program in programs {
        let Some(expected) = run(program, &[]) else {
            assert_ne!(program[0], "bash", "bash is everywhere");
            continue;
        };
        for environment in [
            vec![preload],
            vec![preload, ("EVENKEEL_PROFILE", &bad)],
            vec![preload, ("EVENKEEL_PROFILE", &bad), ("EVENKEEL_REQUIRE", "1")],
            vec![preload, ("EVENKEEL_PROFILE", "/nowhere"), ("EVENKEEL_REQUIRE", "1"), ("EVENKEEL_LOG", "debug")],
            vec![preload, ("EVENKEEL_LOG", "no such level")],
        ] {
            let found = run(program, &environment).expect("it ran before");
            assert_eq!(found, expected, "{program:?} with {environment:?}");
        }
        ran += 1;
    }
    assert!(ran >= 3, "too few programs to say anything");
}

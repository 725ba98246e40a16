//! Programs that are none of the library's business.

use std::process::Command;

use evenkeel_tests::host::compile_unknown;
use evenkeel_tests::{Door, Finished, Profile, Scratch, Setting, run};

/// Settings under which a program without llama.cpp must be as it is without the library.
fn settings(scratch: &Scratch) -> Vec<Setting> {
    let door = Door::Preload.setting();
    let missing = Setting::new().env("EVENKEEL_PROFILE", "/nowhere.toml");
    vec![
        door.clone(),
        door.clone().and(&scratch.profile(&Profile::empty())),
        door.clone().and(&missing).env("EVENKEEL_LOG", "debug"),
        door.and(&missing).env("EVENKEEL_REQUIRE", "1"),
    ]
}

/// A shell that inherited `LD_PRELOAD`, and the children it starts, see nothing.
#[test]
fn a_shell() {
    let scratch = Scratch::new();
    let script = "ls / | sort | head -n 3; echo to stderr >&2; (exit 4); echo $?; exit 3";
    let shell = |setting: &Setting| {
        let mut command = Command::new("bash");
        command.args(["-c", script]);
        let Finished { status, stdout, stderr } = run(command, setting, scratch.folder());
        (status.code(), stdout, stderr)
    };
    let plain = shell(&Setting::new());
    assert_eq!(plain.0, Some(3));
    for setting in settings(&scratch) {
        assert_eq!(plain, shell(&setting), "{setting:?}");
    }
}

/// A process starts no thread and changes no variable because the library is there.
#[test]
fn a_process_is_left_as_it_is() {
    let scratch = Scratch::new();
    let script = "import os, signal\n\
                  print(sorted(os.listdir('/proc/self/task'))[1:])\n\
                  print([str(signal.getsignal(s)) for s in signal.valid_signals()])\n\
                  print({k for k in os.environ if k.startswith(('EK', 'GGML', 'LLAMA'))})";
    let python = |setting: &Setting| {
        let mut command = Command::new("python3");
        command.args(["-c", script]);
        let finished = run(command, setting, scratch.folder()).success();
        (finished.stdout, finished.stderr)
    };
    let plain = python(&Setting::new());
    for setting in settings(&scratch) {
        assert_eq!(plain, python(&setting), "{setting:?}");
    }
}

/// A library that has llama.cpp's names and nothing else of it: the program runs on, and one line says why nothing is
/// steered; a required profile refuses the context.
#[test]
fn an_unknown_llama_cpp() {
    let scratch = Scratch::new();
    let program = compile_unknown(&scratch);
    let start = |setting: &Setting| run(Command::new(&program), setting, scratch.folder());
    let plain = start(&Setting::new()).success();
    assert_eq!(plain.stdout, "context\nstill here\n");
    let profile = Door::Preload.setting().and(&scratch.profile(&Profile::empty()));
    let inert = start(&profile).success();
    assert_eq!(inert.stdout, plain.stdout);
    assert!(inert.stderr.contains("evenkeel: error: "), "no word about it:\n{}", inert.stderr);
    let refused = start(&profile.env("EVENKEEL_REQUIRE", "1")).success();
    assert_eq!(refused.stdout, "no context\nstill here\n", "{}", refused.stderr);
}

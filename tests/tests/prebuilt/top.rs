//! `evenkeel top`: a running server's counters, in a file that only its user can read.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{Arguments, Server, ServerKind};
use evenkeel_tests::serving::{Ask, Profiles};
use evenkeel_tests::{Scratch, Setting, run, tool};
use serde_json::Value;

#[test]
fn a_running_server_is_seen_from_outside() {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::Q8_0)).parallel(2);
    let profiles = Profiles::new(&scratch, Arch::Llama);
    profiles.usual();
    let folder = scratch.path("counters");
    let top = |arguments: &[&str]| {
        let mut command = Command::new(tool());
        command.args(arguments).arg("--folder").arg(&folder);
        run(command, &Setting::new(), scratch.folder())
    };
    let nothing = top(&["top", "--once"]);
    assert!((nothing.stdout + &nothing.stderr).contains("EVENKEEL_STATS"), "it says what to set");

    let server = Server::start(ServerKind::Xllamacpp, &arguments, &profiles.setting().env("EVENKEEL_STATS", &folder));
    let ask = Ask { predict: 16, ..Ask::tokens(&[1, 40, 200, 7, 301, 99]) };
    // Snapshots are written at most once a second.
    for _ in 0..2 {
        ask.under("strong").send(&server);
        ask.under("secret").body();
        server.post("/completion", &ask.under("secret").body()).expect("an empty answer");
        sleep(Duration::from_millis(1100));
    }
    ask.send(&server);
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = std::fs::read_dir(&folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(mode(&files[0]), 0o600);

    let json = top(&["--json", "top"]).success().stdout;
    let seen: Value = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}\n{json}"));
    let text = seen.to_string();
    for word in ["strong", "default", "\"refused\""] {
        assert!(text.contains(word), "{word}: {seen:#}");
    }
    // Own work of late, and the longest so far: of the same evaluations, in the same unit.
    let decode = &seen["processes"][0]["decode"];
    let [mean, longest] = ["hook_us", "hook_longest_us"].map(|key| decode[key].as_f64().expect("a time"));
    assert!(0.0 < mean && mean <= longest && longest < 1e6, "{decode}");
    let shown = top(&["top", "--once"]).success().stdout;
    for word in ["strong", "llama, 5 blocks"] {
        assert!(shown.contains(word), "{word}:\n{shown}");
    }
    println!("{shown}");
    drop(server);
    let gone = top(&["top", "--once"]);
    assert!(
        !(gone.stdout + &gone.stderr).contains("llama, 5 blocks"),
        "a process that is gone is not shown as one that runs"
    );
}

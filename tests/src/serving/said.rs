//! What the log and the counters say of requests.

use evenkeel_model::{Arch, FileType};
use serde_json::Value;

use super::{Ask, Profiles};
use crate::Scratch;
use crate::host::{Arguments, Server, ServerKind};

/// At debug level each request has a line: its profile, its rows, on how many each rule acted. The counters say the same of all
/// of them: a row counts once for each layer that the rule acts at.
///
/// # Panics
/// When it is not so.
pub fn each_request_has_its_line(kind: ServerKind) {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
    let profiles = Profiles::new(&scratch, Arch::Llama);
    profiles.usual();
    let counters = scratch.path("counters");
    let setting = profiles.setting().env("EVENKEEL_LOG", "debug").env("EVENKEEL_STATS", &counters);
    let server = Server::start(kind, &arguments, &setting);
    let prompt: Vec<u32> = (0..12).map(|i| 1 + (i * 29) % 250).collect();
    let ask = Ask { predict: 6, ..Ask::tokens(&prompt) };
    ask.send(&server);
    for name in ["generated", "off", "strong", "strong"] {
        ask.under(name).send(&server);
    }
    // The last generated token is never fed. What a request came to is said when its slot is used again.
    ask.send(&server);
    let log = server.log();
    let said = |line: &str| line.split_once(" ran under ").map(|(_, rest)| rest.to_owned());
    // Not what the server evaluates by itself when it starts.
    let lines: Vec<String> = log.lines().filter_map(said).filter(|line| line.contains(": 12 prompt rows")).collect();
    let expected = [
        ("default", "; rules: `add` on 17"),
        ("generated", "; rules: `late` on 5"),
        ("off", ""),
        ("strong", "; rules: `strong` on 17"),
        ("strong", "; rules: `strong` on 17"),
    ];
    let line = |(profile, rules): &(&str, &str)| {
        let cells = "0 cells evaluated again, 0 left as another profile made them";
        format!("`{profile}`: 12 prompt rows, 5 generated, {cells}{rules}")
    };
    let expected: Vec<String> = expected.iter().map(line).collect();
    // Where a server announces the end of a request, the last one has its line, too.
    assert_eq!(lines[..5], expected, "{log}");

    // Written once a second, while tokens are evaluated.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    ask.under("off").send(&server);
    let files: Vec<_> = std::fs::read_dir(&counters).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    let text = std::fs::read_to_string(&files[0]).expect("counters");
    let snapshot: Value = serde_json::from_str(&text).expect("JSON");
    let contexts = snapshot["stats"]["contexts"].as_array().expect("contexts");
    let rules = contexts.iter().flat_map(|c| c["rules"].as_array().into_iter().flatten());
    let rows = |name: &str| -> u64 {
        let rule = rules.clone().filter(|r| r["name"] == name).max_by_key(|r| r["rows"].as_u64());
        let rule = rule.unwrap_or_else(|| panic!("{name}: {snapshot:#}"));
        rule["rows"].as_u64().expect("a number") / rule["layers"].as_array().expect("layers").len() as u64
    };
    println!("{kind:?}: {}", lines.join("\n  "));
    // The last layer has the output rows only, and a server evaluates two tokens when it starts.
    for (name, fed) in [("add", 34), ("late", 5), ("strong", 34)] {
        let rows = rows(name);
        assert!(rows <= fed + 2 && rows * 4 >= fed * 3, "{name}: {rows} of {fed} rows\n{snapshot:#}");
    }
}

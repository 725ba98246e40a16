//! While few rows are evaluated, both contexts' graphs are evaluated as one.

use evenkeel_tests::host::Native;
use serde_json::Value;

use super::*;

/// What the library counted, by the script's last `stats` line.
fn counted(log: &str) -> Value {
    let line = log.lines().rfind(|l| l.contains("ek_stats_json: ")).unwrap_or_else(|| panic!("no counters: {log}"));
    let stats: Value = serde_json::from_str(line.split_once("json: ").expect("a line").1).expect("JSON");
    let contexts = stats["contexts"].as_array().expect("contexts").clone();
    let first = contexts.into_iter().find(|c| c["contrast"]["rows"].as_u64() > Some(0));
    first.unwrap_or_else(|| panic!("no contrast: {stats}"))["contrast"].clone()
}

fn number(counted: &Value, key: &str) -> u64 {
    counted[key].as_u64().unwrap_or_else(|| panic!("{key}: {counted}"))
}

/// Every kind of layer: with biases, of several experts, with norms of heads, soft caps, convolutions.
#[test]
fn on_every_architecture() {
    for arch in Arch::ALL.into_iter().chain([Arch::Lfm2]) {
        let bench = Bench::of(arch);
        let scripts = [false, true].map(|without| prompt().script(0, 7, without));
        let full = format!("{}stats all\n", scripts[0]);
        let log = bench.check(&full, &scripts[1], exact(arch), &format!("{arch:?}"));
        let counted = counted(&log);
        assert_eq!(number(&counted, "joined"), 7, "{arch:?}: {counted}");
        assert_eq!(number(&counted, "rows"), 7, "{arch:?}: {counted}");
    }
}

/// Graphs are built anew where a sequence gets longer than what they were built for, each context's at another token; also
/// with flash attention, a separate cache per sequence, and quantised weights.
#[test]
fn a_long_generation() {
    let prompt = Prompt::default().and(1, 6).context(2, 100).and(3, 380);
    for (flash, kind) in [(false, FileType::F32), (true, FileType::F32), (false, FileType::Q8_0)] {
        let mut bench = Bench::new();
        let model = bench.scratch.model(Arch::Llama, kind);
        let wide_cache = !flash;
        bench.decode = Decode { wide_cache, flash, ..Decode::new(&model) };
        let tolerance = if flash || kind == FileType::Q8_0 { ROUGH } else { EXACT };
        let scripts = [false, true].map(|without| prompt.script(0, 370, without));
        let full = format!("{}stats all\n", scripts[0]);
        let log = bench.check(&full, &scripts[1], tolerance, &format!("370 tokens, {flash}, {kind:?}"));
        let counted = counted(&log);
        assert_eq!(number(&counted, "joined"), 370, "{counted}");
    }
}

/// Steps that can be evaluated as one stand beside steps that cannot: many rows, a neighbour without a context, none at all.
#[test]
fn now_and_then() {
    let mut bench = Bench::new();
    bench.decode.sequences = 3;
    let (marked, plain) = (prompt().and(11, 60), Prompt::default().and(12, 80));
    let n = prompt().len();
    let part = |p: &Prompt, seq, range: std::ops::Range<usize>, without| p.group(seq, range, without);
    let script = |without: bool| {
        let mut script = format!("fill {} {}\n", part(&marked, 0, 0..n, without), part(&marked, 1, 0..n, without));
        for i in 0..6 {
            let at = n + 8 * i;
            script += &format!("feed {}\n", part(&marked, 0, at..at + 1, without));
            script += &format!("feed {}\n", part(&marked, 1, at..at + 2, without));
            script += &format!(
                "feed {} {}\n",
                part(&marked, 0, at + 1..at + 2, without),
                part(&marked, 1, at + 2..at + 3, without)
            );
            script += &format!("tail 1 {}\n", part(&marked, 0, at + 2..at + 5, without));
            script += &format!(
                "feed {} {}\n",
                part(&marked, 0, at + 5..at + 8, without),
                part(&marked, 1, at + 3..at + 8, without)
            );
            script += &format!("fill {}\n", part(&plain, 2, i..i + 1, false));
            script += &format!("remove 2 {i} -1\nfill {}\n", part(&plain, 2, i..i + 1, false));
        }
        script
    };
    for separate in [false, true] {
        bench.decode.separate = separate;
        let full = format!("{}stats all\n", script(false));
        let log = bench.check(&full, &script(true), EXACT, &format!("now and then, {separate}"));
        let counted = counted(&log);
        assert!(number(&counted, "joined") >= 24, "{counted}");
    }
}

/// A neighbour that is not set off keeps its bits: it is not evaluated in another shape because of others.
#[test]
fn a_neighbour_keeps_its_bits() {
    let mut bench = Bench::new();
    bench.decode.sequences = 2;
    let (marked, plain) = (prompt().and(11, 20), Prompt::default().and(12, 30));
    let n = prompt().len();
    let mut script = format!("fill {} {}\n", marked.group(0, 0..n, false), plain.group(1, 0..4, false));
    for i in 0..10 {
        let (a, b) = (marked.group(0, n + i..n + i + 1, false), plain.group(1, 4 + i..5 + i, false));
        script += &if i % 3 == 2 { format!("feed {a}\nfeed {b}\n") } else { format!("feed {a} {b}\n") };
    }
    let (log, recording) = bench.run(&format!("{script}stats all\n"), "");
    let (recording, own) = (recording.unwrap_or_else(|| panic!("{log}")), bench.plain(&script));
    let mut neighbours = 0;
    for (got, own) in recording.rows.iter().zip(&own.rows).skip(1).step_by(2) {
        assert_eq!(got, own, "a neighbour");
        neighbours += 1;
    }
    let counted = counted(&log);
    assert_eq!((neighbours, number(&counted, "joined"), number(&counted, "calls")), (10, 3, 10), "{counted}");
}

/// An evaluation that the host gives up leaves nothing in the second context that is taken for computed.
#[test]
fn an_evaluation_that_is_given_up() {
    let bench = Bench::new();
    let prompt = prompt();
    let n = prompt.len();
    let end = |from: usize, without| {
        let steps: String = (from..n).map(|at| format!("feed {}\n", prompt.group(0, at..at + 1, without))).collect();
        steps
    };
    for (from, after) in [(n - 4, 0), (n - 4, 2), (n - 1, 1)] {
        let without = format!("fill {}\n{}", prompt.group(0, 0..n - 4, true), end(n - 4, true));
        let begin = format!("fill {}\n", prompt.group(0, 0..n - 4, false));
        let first: String = (n - 4..from).map(|at| format!("feed {}\n", prompt.group(0, at..at + 1, false))).collect();
        let aborted = format!("abort {after} {}\n", prompt.group(0, from..n, false));
        let full = format!("{begin}{first}{aborted}{}stats all\n", end(from, false));
        let plain = format!("{begin}{}", end(n - 4, false));
        let (log, recording) = bench.run(&full, "alpha = 1.5\nplausibility = 0\n");
        let recording = recording.unwrap_or_else(|| panic!("{log}"));
        let (worst, _) = distances(&recording, &bench.plain(&plain), &bench.plain(&without));
        assert!(worst < EXACT, "given up at {from} after {after}: {worst:e}\n{log}");
        assert!(number(&counted(&log), "joined") >= 4, "{log}");
    }
}

/// llama.cpp's own control vector is in both contexts.
#[test]
fn a_control_vector_of_the_programs_own() {
    let mut bench = Bench::new();
    let plain = bench.plain(&prompt().script(0, 4, false));
    bench.scratch.vector(Arch::Llama);
    bench.decode.native = Some(Native { file: bench.scratch.path("v.gguf"), strength: 4.0, layers: None });
    let scripts = [false, true].map(|without| prompt().script(0, 4, without));
    bench.check(&scripts[0], &scripts[1], EXACT, "a control vector");
    let moved = bench.plain(&scripts[0]).distance(&plain);
    assert!(moved > 0.1, "the control vector acts: {moved:e}");
}

//! `without = { attention = "…" }`: the whole request, and other attention weights at some layers.

use evenkeel_tests::oracle::{Decoder, Instead, Mode, Segments};

use super::*;

const KINDS: [(Instead, &str); 4] = [
    (Instead::Uniform, "uniform"),
    (Instead::Random, "random"),
    (Instead::Reversed, "reversed"),
    (Instead::Shuffled, "shuffled"),
];

fn table(kind: &str, layers: &str) -> String {
    format!("[contrast]\nwithout = {{ attention = \"{kind}\", layers = {layers} }}\nalpha = 1.5\nplausibility = 0\n")
}

/// Tokens, and what a model of its own float64 arithmetic says to them with attention and with other weights.
struct Expected {
    tokens: Vec<usize>,
    full: Vec<Vec<f64>>,
    without: Vec<Vec<f64>>,
}

impl Expected {
    fn new(bench: &Bench, tokens: Vec<usize>, kind: Instead, layers: &[usize]) -> Self {
        let none = Segments { prefix: tokens.len(), lengths: vec![] };
        let pass = |decoder: Decoder| decoder.pass(&tokens, &none, Mode::Plain).logits;
        let read = || Decoder::read(&bench.decode.model);
        let (full, without) = (pass(read()), pass(read().attending(kind, layers)));
        Self { tokens, full, without }
    }

    /// The largest distance of a sequence's rows from `2.5·full − 1.5·without`, and of the rows the least from `full`.
    fn distance(&self, got: &Recording, sequence: usize) -> (f64, f64, usize) {
        let label = format!("prompt {sequence} ");
        let (mut worst, mut moved, mut rows) = (0f64, f64::MAX, 0);
        for row in got.rows.iter().filter(|row| row.label.starts_with(&label)) {
            let at: usize = row.label[label.len()..].parse().expect("a position");
            let mut apart = 0f64;
            for ((got, full), without) in logits(row).iter().zip(&self.full[at]).zip(&self.without[at]) {
                worst = worst.max((f64::from(*got) - (2.5 * full - 1.5 * without)).abs());
                apart = apart.max((f64::from(*got) - full).abs());
            }
            (moved, rows) = (moved.min(apart), rows + 1);
        }
        (worst, moved, rows)
    }

    fn group(&self, sequence: usize, range: std::ops::Range<usize>) -> String {
        let tokens: Vec<String> = self.tokens[range.clone()].iter().map(ToString::to_string).collect();
        format!("{sequence}:{}:{}", range.start, tokens.join(","))
    }
}

fn tokens(seed: usize, n: usize) -> Vec<usize> {
    Prompt::default().and(seed, n).0.into_iter().map(|(token, _)| token).collect()
}

/// Every kind, at some layers and at all, however a prompt comes and whatever else is in the cache: in a fresh sequence, after
/// another that was removed, beside others, cut back and continued.
#[test]
fn every_row_is_that_of_its_definition() {
    let mut bench = Bench::new();
    bench.decode.sequences = 3;
    for (kind, name) in KINDS {
        for (layers, list) in [("[1, 3]", &[1, 3][..]), ("\"all\"", &[0, 1, 2, 3, 4])] {
            let [a, b] = [(1, 24), (2, 17)].map(|(seed, n)| Expected::new(&bench, tokens(seed, n), kind, list));
            // The cells of the first are free again and lie before those of the next.
            let script = format!(
                "feed {}\nfill {}\nremove 1 0 -1\nfill {}\nfeed {}\nfeed {} {}\nremove 0 12 -1\nfill {}\nfeed {}\nstats all\n",
                b.group(2, 0..9),
                a.group(1, 0..5),
                a.group(0, 0..14),
                a.group(0, 14..20),
                a.group(0, 20..24),
                b.group(2, 9..17),
                a.group(0, 12..22),
                a.group(0, 22..24),
            );
            for (separate, ubatch) in [(false, 512), (true, 512), (false, 8)] {
                (bench.decode.separate, bench.decode.ubatch) = (separate, ubatch);
                let (log, recording) = bench.run_with(&script, &table(name, layers));
                let recording = recording.unwrap_or_else(|| panic!("{name}: {log}"));
                for (expected, sequence, n) in [(&a, 0, 12), (&b, 2, 17)] {
                    let (worst, moved, rows) = expected.distance(&recording, sequence);
                    println!("{name}, {layers}, {separate}, {ubatch}: {worst:.1e}, moved {moved:.1e}");
                    assert_eq!(rows, n);
                    assert!(worst < EXACT, "{name}, {layers}, {separate}, {ubatch}, {sequence}: {worst:e}\n{log}");
                }
                assert!(!log.contains("evenkeel: error"), "{log}");
            }
        }
    }
}

/// Most weights of a first token are its own alone, so rows behind it are what counts.
#[test]
fn attention_counts() {
    let bench = Bench::new();
    for (kind, name) in KINDS {
        let expected = Expected::new(&bench, tokens(3, 20), kind, &[0, 1, 2, 3, 4]);
        let steps: String = (15..20).map(|at| format!("feed {}\n", expected.group(0, at..at + 1))).collect();
        let script = format!("fill {}\n{steps}stats all\n", expected.group(0, 0..15));
        let (log, recording) = bench.run_with(&script, &table(name, "\"all\""));
        let (worst, moved, rows) = expected.distance(&recording.unwrap_or_else(|| panic!("{log}")), 0);
        assert_eq!(rows, 5);
        assert!(worst < EXACT && moved > 0.1, "{name}: {worst:e}, {moved:e}");
        // Both contexts' graphs were evaluated as one.
        assert!(log.contains(r#""joined":5,"#), "{log}");
    }
}

/// With flash attention, a quantised cache and a sliding window the host's own context is as it was; the second one is made
/// for it.
#[test]
fn whatever_the_host_attends_with() {
    for (arch, flash, cache) in [
        (Arch::Llama, true, None),
        (Arch::Qwen3, true, Some("q8_0")),
        (Arch::Gemma2, false, None),
        (Arch::Qwen2Moe, false, None),
        (Arch::Phi3, false, None),
    ] {
        let mut bench = Bench::of(arch);
        (bench.decode.flash, bench.decode.cache, bench.decode.wide_cache) = (flash, cache, !flash);
        let prompt = Prompt::default().and(4, 20);
        for (_, name) in KINDS {
            let script = prompt.script(0, 5, false);
            let (log, recording) = bench.run_with(&script, &table(name, "\"all\""));
            let recording = recording.unwrap_or_else(|| panic!("{arch:?}, {name}: {log}"));
            let distance = recording.distance(&bench.plain(&script));
            assert!(distance > 0.1 && distance.is_finite(), "{arch:?}, {flash}, {cache:?}, {name}: {distance}");
            assert!(!log.contains("evenkeel: error"), "{arch:?}, {name}: {log}");
        }
    }
}

/// What has no weights to replace is refused, with the reason.
#[test]
fn what_has_no_such_weights() {
    let bench = Bench::of(Arch::Lfm2);
    let script = "fill 0:0:5,6,7\nfeed 0:3:8\n";
    let (log, recording) = bench.run_with(script, &table("uniform", "\"all\""));
    let recording = recording.unwrap_or_else(|| panic!("{log}"));
    assert!(log.contains("the attention weights of layer 0: there are none in this graph"), "{log}");
    let possible = recording.rows[0].logits.iter().filter(|bits| f32::from_bits(**bits) > -1e20).count();
    assert_eq!(possible, 1, "it can only end");
    let (log, recording) = bench.run_with(script, &table("uniform", "[1]"));
    assert!(recording.is_some() && !log.contains("evenkeel: error"), "{log}");
    let bench = Bench::new();
    let (log, recording) =
        bench.run_with("fill 0:0:5,6\nimage 1 0:2:1,2,3\nfeed 0:5:8\n", &table("uniform", "\"all\""));
    assert!(recording.is_some() && log.contains("it has an image or audio"), "{log}");
}

/// Both: the request without its context, and other attention to what is left.
#[test]
fn beside_a_context() {
    let bench = Bench::new();
    let prompt = prompt();
    let all: Vec<usize> = prompt.0.iter().map(|(token, _)| *token).collect();
    let left: Vec<usize> = prompt.0.iter().filter(|(_, inside)| !inside).map(|(token, _)| *token).collect();
    let full = Expected::new(&bench, all.clone(), Instead::Reversed, &[]).full;
    let without = Expected::new(&bench, left.clone(), Instead::Reversed, &[0, 2]).without;
    // By the positions of the whole: what is left ends where it ends.
    let shifted = vec![vec![]; all.len() - left.len()].into_iter().chain(without).collect();
    let expected = Expected { tokens: all, full, without: shifted };
    let table = "[contrast]\nwithout = { open = \"<s>\", close = \"</s>\", attention = \"reversed\", layers = [0, 2] }\n\
                 alpha = 1.5\nplausibility = 0\n";
    let (log, recording) = bench.run_with(&prompt.script(0, 6, false), table);
    let (worst, moved, rows) = expected.distance(&recording.unwrap_or_else(|| panic!("{log}")), 0);
    assert_eq!(rows, 6);
    assert!(worst < EXACT && moved > 0.1, "{worst:e}, {moved:e}\n{log}");
}

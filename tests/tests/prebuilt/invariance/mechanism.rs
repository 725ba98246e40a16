//! What a stock host computes, against the oracle: each order of the segments, whole prompts and parts, several sequences.

use evenkeel_model::{Arch, FileType, Shape, random_llama};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::{Decoder, Mode, Prompt, distance, permutations};
use evenkeel_tests::{Door, Profile, Recording, Scratch, Setting};

/// A model, its decoder, and a profile.
struct Bench {
    scratch: Scratch,
    decode: Decode,
    decoder: Decoder,
    mode: Mode,
}

impl Bench {
    fn new(arch: Arch, mode: Mode) -> Self {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        let (decoder, decode) = (Decoder::read(&model), Decode { wide_cache: true, ..Decode::new(&model) });
        Self { scratch, decode, decoder, mode }
    }

    fn setting(&self) -> Setting {
        self.scratch.profile(&profile(self.mode, ""))
    }

    fn run(&self, host: &CHost, script: String) -> Recording {
        host.with(&Decode { script: Some(script), ..self.decode.clone() }, Door::Preload, &self.setting())
    }

    /// The largest difference between the rows of a sequence and the oracle's.
    fn error(&self, recording: &Recording, sequence: usize, prompt: &Prompt, mode: Mode) -> f64 {
        let expected = self.decoder.pass(&prompt.tokens(), &prompt.cut(), mode).logits;
        let (worst, seen) = distance(recording, sequence, &expected);
        assert!(seen >= expected.len(), "{seen} rows of sequence {sequence}");
        worst
    }

    #[track_caller]
    fn check(&self, recording: &Recording, sequence: usize, prompt: &Prompt, tolerance: f64, what: &str) {
        let worst = self.error(recording, sequence, prompt, self.mode);
        assert!(worst < tolerance, "{what}, {:?}, sequence {sequence}: {worst:e} from the oracle", self.mode);
        // A comparison that ordinary attention would pass says nothing.
        let plain = self.error(recording, sequence, prompt, Mode::Plain);
        assert!(plain > 50.0 * tolerance, "{what}: ordinary attention is as near as {plain:e}");
    }
}

fn profile(mode: Mode, more: &str) -> Profile {
    let mode = if mode == Mode::Pine { "pine" } else { "set" };
    Profile::empty().with(&format!("{more}\n[invariance]\nmode = \"{mode}\""))
}

const MODES: [Mode; 2] = [Mode::Pine, Mode::Set];

#[test]
fn it_is_its_definition() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Qwen2] {
        for mode in MODES {
            let mut bench = Bench::new(arch, mode);
            for flash in [false, true] {
                bench.decode.flash = flash;
                // Flash attention's builder casts an F32 cache to F16.
                let tolerance = if flash { 1e-2 } else { 1e-4 };
                for (seed, lengths) in
                    [&[4, 2, 5][..], &[3, 3], &[1, 6, 2, 4], &[2, 5, 3, 1, 4, 6, 2, 3]].iter().enumerate()
                {
                    let prompt = Prompt::new(seed, 3, lengths, 4);
                    let what = format!("{arch:?}, flash {flash}, {lengths:?}");
                    bench.check(&bench.run(&host, prompt.whole()), 0, &prompt, tolerance, &format!("{what}, whole"));
                    bench.check(
                        &bench.run(&host, prompt.in_parts()),
                        0,
                        &prompt,
                        tolerance,
                        &format!("{what}, in parts"),
                    );
                }
            }
        }
    }
}

/// One segment is ordinary attention, and so is a sequence without.
#[test]
fn one_segment_changes_nothing() {
    let host = CHost::node_llama_cpp();
    for mode in MODES {
        let bench = Bench::new(Arch::Llama, mode);
        let prompt = Prompt::new(5, 3, &[6], 4);
        let recording = bench.run(&host, prompt.in_parts());
        assert!(bench.error(&recording, 0, &prompt, Mode::Plain) < 1e-4, "{mode:?}");
        let feed = format!("feed {}\n", prompt.group(0, 0..13));
        let alone = Decode { script: Some(feed.clone()), ..bench.decode.clone() };
        bench.run(&host, feed).assert_same(&host.plain(&alone), "no segments");
    }
}

/// No order of the segments moves a logit of the suffix; all of them come together in one run.
#[test]
fn the_order_does_not_count() {
    let host = CHost::node_llama_cpp();
    for (arch, wide_cache, tolerance) in
        [(Arch::Llama, true, 1e-4), (Arch::Qwen2, true, 1e-4), (Arch::Llama, false, 5e-3), (Arch::Qwen2, false, 5e-3)]
    {
        for mode in MODES {
            let mut bench = Bench::new(arch, mode);
            bench.decode.wide_cache = wide_cache;
            let prompt = Prompt::new(9, 4, &[5, 3, 6, 4], 3);
            let (cut, n) = (prompt.cut(), prompt.tokens().len());
            let mut script = String::new();
            for order in permutations(4) {
                let ordered = prompt.ordered(&order);
                script += &format!("remove 0 0 -1\n{}", ordered.whole());
            }
            let recording = bench.run(&host, script);
            let runs: Vec<&[evenkeel_tests::Row]> = recording.rows.chunks(n).collect();
            assert_eq!(runs.len(), 24);
            let logits = |run: &[evenkeel_tests::Row]| -> Vec<f32> {
                run[cut.end()..].iter().flat_map(|row| &row.logits).map(|bits| f32::from_bits(*bits)).collect()
            };
            let first = logits(runs[0]);
            let gap = |run: &&[evenkeel_tests::Row]| {
                logits(run).iter().zip(&first).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max)
            };
            let worst = runs.iter().map(gap).fold(0f32, f32::max);
            assert!(worst < tolerance, "{arch:?} {mode:?}, F32 cache {wide_cache}: {worst:e}");
        }
    }
}

/// The same segment twice: which of the two comes first in the ranking is a matter of rounding, and must not show.
#[test]
fn twins_do_not_count() {
    let host = CHost::node_llama_cpp();
    let bench = Bench::new(Arch::Llama, Mode::Pine);
    let mut prompt = Prompt::new(11, 3, &[4, 4, 5], 4);
    prompt.segments[1] = prompt.segments[0].clone();
    for order in permutations(3) {
        let ordered = prompt.ordered(&order);
        bench.check(&bench.run(&host, ordered.in_parts()), 0, &ordered, 1e-4, &format!("{order:?}"));
    }
}

/// Sequences with other segments, and one without any, in the same batches.
#[test]
fn sequences_do_not_meet() {
    let host = CHost::node_llama_cpp();
    for mode in MODES {
        let mut bench = Bench::new(Arch::Llama, mode);
        bench.decode.sequences = 4;
        let prompts = [
            Prompt::new(21, 3, &[4, 2, 5], 6),
            Prompt::new(22, 2, &[3, 6], 6),
            Prompt::new(23, 5, &[9], 6),
            Prompt::new(24, 3, &[2, 2, 2, 2], 6),
        ];
        let all: Vec<usize> = prompts.iter().map(|p| p.tokens().len()).collect();
        // Sequence 2 has no segments: it runs along, plain.
        let mut script: String = [0, 1, 3].map(|s| prompts[s].announce(s)).concat();
        // A prefix of one, the whole of two others, something of the plain one.
        let group = |s: usize, range: std::ops::Range<usize>| prompts[s].group(s, range);
        let n = |s: usize| prompts[s].cut().end();
        script += &format!("feed {} {} {}\n", group(0, 0..2), group(1, 0..n(1)), group(2, 0..4));
        script += &format!("feed {} {} {}\n", group(2, 4..6), group(0, 2..n(0)), group(1, n(1)..n(1) + 1));
        script += &format!(
            "feed {} {} {} {}\n",
            group(3, 0..n(3) + 1),
            group(2, 6..7),
            group(1, n(1) + 1..n(1) + 3),
            group(0, n(0)..n(0) + 1)
        );
        script += &format!("feed {} {} {}\n", group(0, n(0) + 1..all[0]), group(2, 7..9), group(3, n(3) + 1..n(3) + 2));
        for step in 2..6 {
            script += &format!("feed {} {}\n", group(3, n(3) + step..n(3) + step + 1), group(2, 7 + step..8 + step));
        }
        script += &format!("feed {} {}\n", group(1, n(1) + 3..all[1]), group(2, 13..all[2]));
        let recording = bench.run(&host, script);
        for s in [0, 1, 3] {
            bench.check(&recording, s, &prompts[s], 1e-4, "several sequences");
        }
        assert!(bench.error(&recording, 2, &prompts[2], Mode::Plain) < 1e-4, "{mode:?}: a sequence without segments");
    }
}

/// A copied sequence goes on from the same segments; tokens after the region can be taken back.
#[test]
fn copies_and_removals_after_the_region() {
    let host = CHost::node_llama_cpp();
    for mode in MODES {
        let mut bench = Bench::new(Arch::Llama, mode);
        bench.decode.sequences = 2;
        let prompt = Prompt::new(31, 3, &[4, 2, 5], 5);
        let (end, n) = (prompt.cut().end(), prompt.tokens().len());
        let mut other = prompt.clone();
        other.suffix[2..].copy_from_slice(&[7, 8, 9]);
        let script = format!(
            "{}feed {}\ncopy 0 1\nfeed {} {}\nremove 1 {} -1\nfeed {}\n",
            prompt.announce(0),
            prompt.group(0, 0..end + 2),
            prompt.group(0, end + 2..n),
            prompt.group(1, end + 2..n),
            end + 2,
            other.group(1, end + 2..n),
        );
        let recording = bench.run(&host, script);
        bench.check(&recording, 0, &prompt, 1e-4, "the original");
        let expected = bench.decoder.pass(&other.tokens(), &other.cut(), mode).logits;
        let last = recording.rows.last().expect("rows");
        assert_eq!(last.label, format!("prompt 1 {}", n - 1));
        let found = last.logits.iter().map(|bits| f64::from(f32::from_bits(*bits)));
        let worst = found.zip(&expected[n - 1]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-4, "{mode:?}: the copy, {worst:e}");
    }
}

/// Under a rule that steers, both act.
#[test]
fn it_goes_with_steering() {
    let host = CHost::node_llama_cpp();
    let bench = Bench::new(Arch::Llama, Mode::Pine);
    bench.scratch.vector(Arch::Llama);
    let both = profile(Mode::Pine, "").and_add("v.gguf", 1.0, "[3]");
    let prompt = Prompt::new(41, 3, &[4, 2, 5], 4);
    let (cut, n) = (prompt.cut(), prompt.tokens().len());
    let run = |prompt: &Prompt, profile: &Profile| {
        let decode = Decode { script: Some(prompt.in_parts()), ..bench.decode.clone() };
        host.with(&decode, Door::Preload, &bench.scratch.profile(profile))
    };
    let steered = run(&prompt, &both);
    let reordered = run(&prompt.ordered(&[2, 0, 1]), &both);
    let unsteered = run(&prompt, &profile(Mode::Pine, ""));
    let tail = |recording: &Recording| Recording { rows: recording.rows[cut.end()..n].to_vec(), ..recording.clone() };
    assert!(tail(&steered).distance(&tail(&reordered)) < 1e-4);
    assert!(tail(&steered).distance(&tail(&unsteered)) > 0.1);
}

/// What cannot be served is said, and ends: only a token that ends a generation is possible.
#[test]
fn refusals() {
    let host = CHost::node_llama_cpp();
    let mut bench = Bench::new(Arch::Llama, Mode::Pine);
    bench.decode.sequences = 2;
    let prompt = Prompt::new(51, 3, &[4, 2, 5], 4);
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    let other = Prompt::new(52, 3, &[3, 3], 4);
    let try_run = |bench: &Bench, script: String, setting: &Setting| {
        let decode = Decode { script: Some(script), ..bench.decode.clone() };
        let (finished, recording) = host.try_run(&decode, Some(Door::Preload), setting);
        (finished.stderr, recording.expect("the host goes on"))
    };
    let likely = |recording: &Recording, row: usize| {
        recording.rows[row].logits.iter().filter(|bits| f32::from_bits(**bits) > -1e8).count()
    };
    // In parts: that sequence ends, its neighbour goes on.
    let script = format!(
        "{}{}feed {} {}\nfeed {} {}\n",
        prompt.announce(0),
        other.announce(1),
        prompt.group(0, 0..6),
        other.group(1, 0..other.cut().end()),
        prompt.group(0, 6..n),
        other.group(1, other.cut().end()..other.tokens().len()),
    );
    let (stderr, recording) = try_run(&bench, script, &bench.setting());
    assert!(
        stderr.contains("its segments, 11 tokens, must be evaluated in one micro-batch, and 3 of them came"),
        "{stderr}"
    );
    let last = recording.rows.iter().rposition(|row| row.label.starts_with("prompt 0 ")).expect("rows");
    assert!(likely(&recording, last) < 5, "{} tokens are possible", likely(&recording, last));
    bench.check(&recording, 1, &other, 1e-4, "the neighbour");
    // A cut inside the region.
    let script = format!("{}remove 0 5 -1\nfeed {}\n", prompt.whole(), prompt.group(0, 5..n));
    let (stderr, _) = try_run(&bench, script, &bench.setting());
    assert!(
        stderr.contains("sequence 0: the region of its segments is of no use: some of its cells were removed"),
        "{stderr}"
    );
    // Spans that are none, or too late; a profile without the table; a model with another attention.
    let said = |script: String, setting: &Setting, bench: &Bench, expected: &str| {
        let (stderr, _) = try_run(bench, script, setting);
        assert!(stderr.contains(expected), "{stderr}");
    };
    let feed = format!("feed {}\n", prompt.group(0, 0..end));
    said(
        format!("segments 0 0 3 4\n{feed}"),
        &bench.setting(),
        &bench,
        "returned 1: the first segment begins at position 0",
    );
    said(
        format!("{feed}segments 0 3 4 2\n"),
        &bench.setting(),
        &bench,
        "returned 4: the first segment begins at position 3, but",
    );
    let without = bench.scratch.profile(&Profile::empty().with("[runtime]\nreload = \"off\""));
    said(format!("segments 0 3 4 2\n{feed}"), &without, &bench, "returned 4: sequence 0 runs under a profile without");
    let gemma = Bench { decode: Decode::new(&bench.scratch.model(Arch::Gemma2, FileType::F32)), ..bench };
    said(
        format!("segments 0 3 4 2\n{feed}"),
        &gemma.setting(),
        &gemma,
        "for a model of architecture \"gemma2\" (some of its layers see a window only",
    );
}

/// A model of many layers fills its graph half; segments take more nodes than that leaves.
#[test]
fn there_is_room_in_deep_models() {
    let host = CHost::node_llama_cpp();
    let mut bench = Bench::new(Arch::Llama, Mode::Pine);
    let path = bench.scratch.path("deep.gguf");
    let shape = Shape { layers: 40, embd: 64, heads: 4, kv_heads: 2, ff: 96, vocab: 320, context: 512 };
    random_llama(&shape, FileType::F32, 3, &path, |_, _| {}).expect("a model is written");
    bench.decoder = Decoder::read(&path);
    bench.decode = Decode { sequences: 4, wide_cache: true, ..Decode::new(&path) };
    let prompts: Vec<Prompt> =
        (0..4).map(|s| Prompt::new(160 + s, 2, &[2, 1, 3, 2, 2, 1, 2, 3, 1, 2][..10 - s], 3)).collect();
    let mut script: String = (0..4).map(|s| prompts[s].announce(s)).collect();
    let ends: Vec<usize> = prompts.iter().map(|p| p.cut().end()).collect();
    // All regions in one graph, and then all suffixes in one.
    for step in 0..4 {
        let range = |s: usize| if step == 0 { 0..ends[s] } else { ends[s] + step - 1..ends[s] + step };
        let groups: Vec<String> = (0..4).map(|s| prompts[s].group(s, range(s))).collect();
        script += &format!("feed {}\n", groups.join(" "));
    }
    let recording = bench.run(&host, script);
    for (s, prompt) in prompts.iter().enumerate() {
        bench.check(&recording, s, prompt, 1e-3, "40 layers");
    }
}

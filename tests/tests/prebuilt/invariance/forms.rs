//! Forms of attention: how queries and keys are made and turned, what their scores go through, what follows. Each against the
//! definition in float64, and in every order of the segments; what no form fits is refused by name.

use evenkeel_model::{Arch, Positions, Tiny};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::{Decoder, Mode, Prompt, distance, permutations};
use evenkeel_tests::{Door, Profile, Recording, Row, Scratch, Setting};

struct Bench {
    scratch: Scratch,
    decode: Decode,
    decoder: Decoder,
}

impl Bench {
    fn new(tiny: &Tiny) -> Self {
        let scratch = Scratch::new();
        let model = scratch.tiny(tiny);
        Self { decoder: Decoder::read(&model), decode: Decode { wide_cache: true, ..Decode::new(&model) }, scratch }
    }

    fn run(&self, mode: &str, script: String) -> Recording {
        let decode = Decode { script: Some(script), ..self.decode.clone() };
        CHost::node_llama_cpp().with(&decode, Door::Preload, &setting(&self.scratch, mode))
    }

    /// The largest difference from the oracle's numbers.
    fn error(&self, recording: &Recording, prompt: &Prompt, mode: Mode) -> f64 {
        let expected = self.decoder.pass(&prompt.tokens(), &prompt.cut(), mode).logits;
        let (worst, rows) = distance(recording, 0, &expected);
        assert_eq!(rows, expected.len());
        worst
    }
}

fn setting(scratch: &Scratch, mode: &str) -> Setting {
    scratch.profile(&Profile::empty().with(&format!("[invariance]\nmode = \"{mode}\"")))
}

/// The largest difference of the rows after the region between two runs.
fn moved(a: &[Row], b: &[Row]) -> f32 {
    let gap = |(x, y): (&u32, &u32)| (f32::from_bits(*x) - f32::from_bits(*y)).abs();
    let row = |(a, b): (&Row, &Row)| a.logits.iter().zip(&b.logits).map(gap).fold(0.0, f32::max);
    a.iter().zip(b).map(row).fold(0.0, f32::max)
}

/// A model's attention is the oracle's, whole and in parts, under both modes and without, and no order moves a logit.
fn is_its_definition(tiny: &Tiny) {
    let bench = Bench::new(tiny);
    let prompt = Prompt::new(71, 4, &[5, 3, 6, 4], 3);
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    let plain = CHost::node_llama_cpp().plain(&Decode { script: Some(feed(&prompt)), ..bench.decode.clone() });
    let worst = bench.error(&plain, &prompt, Mode::Plain);
    assert!(worst < 1e-4, "{tiny:?}: the oracle's decoder is not this model's: {worst:e}");
    for (mode, name) in [(Mode::Pine, "pine"), (Mode::Set, "set")] {
        for script in [prompt.whole(), prompt.in_parts()] {
            let recording = bench.run(name, script);
            let worst = bench.error(&recording, &prompt, mode);
            assert!(worst < 1e-4, "{tiny:?} {name}: {worst:e} from the oracle");
            let plain = bench.error(&recording, &prompt, Mode::Plain);
            assert!(plain > 5e-3, "{tiny:?} {name}: ordinary attention is as near as {plain:e}");
        }
        let script = |order: &Vec<usize>| format!("remove 0 0 -1\n{}", prompt.ordered(order).whole());
        let recording = bench.run(name, permutations(4).iter().map(script).collect());
        let runs: Vec<&[Row]> = recording.rows.chunks(n).collect();
        let worst = runs.iter().map(|run| moved(&run[end..], &runs[0][end..])).fold(0.0, f32::max);
        assert!(runs.len() == 24 && worst < 1e-4, "{tiny:?} {name}: an order moves a logit by {worst:e}");
    }
}

fn feed(prompt: &Prompt) -> String {
    format!("feed {}\n", prompt.group(0, 0..prompt.tokens().len()))
}

#[test]
fn partial_rotation_of_neighbours() {
    is_its_definition(&Tiny::new(Arch::ChatGlm));
}

#[test]
fn partial_rotation_of_halves() {
    is_its_definition(&Tiny::new(Arch::StableLm));
    is_its_definition(&Tiny { rot: 12, ..Tiny::new(Arch::Phi3) });
}

#[test]
fn norms_before_the_rotation() {
    is_its_definition(&Tiny::new(Arch::Qwen3));
}

#[test]
fn mixtures_of_experts() {
    is_its_definition(&Tiny::new(Arch::Mixtral));
}

#[test]
fn scaled_positions() {
    for arch in [Arch::Llama, Arch::Qwen2] {
        is_its_definition(&Tiny { positions: Positions::Linear, ..Tiny::new(arch) });
        is_its_definition(&Tiny { positions: Positions::Yarn, ..Tiny::new(arch) });
    }
}

#[test]
fn frequency_factors() {
    is_its_definition(&Tiny { positions: Positions::Factors, ..Tiny::new(Arch::Llama) });
}

#[test]
fn capped_scores() {
    is_its_definition(&Tiny::new(Arch::Grok));
}

#[test]
fn layers_without_positions() {
    is_its_definition(&Tiny::new(Arch::SmolLm3));
}

#[test]
fn wide_heads() {
    for head in [64, 128] {
        is_its_definition(&Tiny { head, rot: head, ..Tiny::new(Arch::Llama) });
    }
}

/// Architectures that their name rules out: the plan is refused with the reason, and the host runs as it was.
#[test]
fn refused_by_name() {
    let host = CHost::node_llama_cpp();
    for (arch, why) in [
        (Arch::Gpt2, "its positions are learned"),
        (Arch::Refact, "its positions are a bias on the scores"),
        (Arch::Lfm2, "its order enters through a recurrent state or a convolution"),
        (Arch::Gemma2, "some of its layers see a window only"),
        (Arch::GptOss, "some of its layers see a window only"),
        (Arch::Plm, "its keys are compressed, or chosen by an index"),
    ] {
        let scratch = Scratch::new();
        let prompt = Prompt::new(72, 3, &[4, 2, 5], 4);
        let decode = Decode { script: Some(feed(&prompt)), ..Decode::new(&scratch.tiny(&Tiny::new(arch))) };
        for mode in ["pine", "set"] {
            let (finished, recording) = host.try_run(&decode, Some(Door::Preload), &setting(&scratch, mode));
            let log = finished.stderr;
            assert!(
                log.contains(&format!("got \"{mode}\" for a model of architecture \"{}\" ({why}", arch.name())),
                "{log}"
            );
            let recording = recording.unwrap_or_else(|| panic!("{log}"));
            recording.assert_same(&host.plain(&decode), "the host as it was");
        }
    }
}

/// Architectures whose name says nothing, and whose graph does: segments are refused when it is seen.
#[test]
fn refused_by_the_graph() {
    let host = CHost::node_llama_cpp();
    for (arch, why) in [
        (Arch::Maincoder, "queries or keys are changed after their rotation"),
        (Arch::Qwen2Vl, "its positions have several dimensions"),
    ] {
        let scratch = Scratch::new();
        let prompt = Prompt::new(73, 3, &[4, 2, 5], 4);
        let model = scratch.tiny(&Tiny::new(arch));
        for mode in ["pine", "set"] {
            let decode = Decode { script: Some(prompt.whole()), ..Decode::new(&model) };
            let (finished, recording) = host.try_run(&decode, Some(Door::Preload), &setting(&scratch, mode));
            let log = finished.stderr;
            let refused = format!("[invariance] cannot be used, and segments are refused: layer 0: {why}");
            assert!(log.contains(&refused), "{log}");
            assert!(log.contains(&format!("cannot be made independent of their order: layer 0: {why}")), "{log}");
            let recording = recording.unwrap_or_else(|| panic!("{log}"));
            let plain = host.plain(&Decode { script: Some(feed(&prompt)), ..decode });
            recording.assert_same(&plain, "without segments it runs as it was");
        }
    }
}

/// Sequences with caches of their own (`kv_unified` off): segments are refused, and say so.
#[test]
fn refused_where_sequences_have_caches_of_their_own() {
    let (host, scratch) = (CHost::node_llama_cpp(), Scratch::new());
    let prompt = Prompt::new(74, 3, &[4, 2, 5], 4);
    let base = Decode { sequences: 2, separate: true, ..Decode::new(&scratch.tiny(&Tiny::new(Arch::Llama))) };
    for mode in ["pine", "set"] {
        let decode = Decode { script: Some(prompt.whole()), ..base.clone() };
        let (finished, recording) = host.try_run(&decode, Some(Door::Preload), &setting(&scratch, mode));
        let log = finished.stderr;
        assert!(log.contains("layer 0: each sequence has a cache of its own (kv_unified is off)"), "{log}");
        let recording = recording.unwrap_or_else(|| panic!("{log}"));
        let plain = host.plain(&Decode { script: Some(feed(&prompt)), ..base.clone() });
        recording.assert_same(&plain, "without segments it runs as it was");
    }
}

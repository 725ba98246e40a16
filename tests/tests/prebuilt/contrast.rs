//! A program's logits under a contrast are `(1 + α)·full − α·without` of two runs of the same program without the library: with
//! the context in the prompt, and without.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Row, Scratch, Setting};

mod attention;
mod image;
mod instead;
mod joined;
mod prior;

/// `<s>` and `</s>` are the special tokens of the tests' vocabulary, here around a context.
const OPEN: usize = 1;
const CLOSE: usize = 2;

/// With an F32 cache and without flash attention; otherwise the shape of a batch alone moves logits by more.
const EXACT: f64 = 1e-4;
const ROUGH: f64 = 3e-2;

/// Where the activation is GELU, which is a table of F16: a bit more or less in what it reads can move logits by as much.
const TABLED: f64 = 5e-3;

/// The tolerance with an F32 cache and without flash attention.
fn exact(arch: Arch) -> f64 {
    if matches!(arch, Arch::Gemma2 | Arch::Gpt2) { TABLED } else { EXACT }
}

/// The table, to which keys can be added.
const CONTRAST: &str = "[contrast]\nwithout = { open = \"<s>\", close = \"</s>\" }\n";

/// A prompt: tokens, of which some are in a context.
#[derive(Clone, Default)]
struct Prompt(Vec<(usize, bool)>);

impl Prompt {
    /// Some tokens of their own for each seed.
    fn and(mut self, seed: usize, n: usize) -> Self {
        self.0.extend((0..n).map(|i| (3 + (i * 37 + seed * 101) % 300, false)));
        self
    }

    /// A context of so many tokens between its markers.
    fn context(mut self, seed: usize, n: usize) -> Self {
        let inside = Self::default().and(seed, n).0.into_iter().map(|(token, _)| token);
        self.0.extend(std::iter::once(OPEN).chain(inside).chain([CLOSE]).map(|token| (token, true)));
        self
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// A batch's group: these tokens, at their positions.
    fn group(&self, sequence: usize, range: std::ops::Range<usize>, without: bool) -> String {
        let left = |part: &[(usize, bool)]| part.iter().filter(|(_, inside)| !(without && *inside)).count();
        let tokens = self.0[range.clone()].iter().filter(|(_, inside)| !(without && *inside));
        let tokens: Vec<String> = tokens.map(|(token, _)| token.to_string()).collect();
        if tokens.is_empty() {
            return String::new();
        }
        format!("{sequence}:{}:{}", left(&self.0[..range.start]), tokens.join(","))
    }

    /// Everything but the last `n` tokens in one batch without logits, and then token by token.
    fn script(&self, sequence: usize, n: usize, without: bool) -> String {
        let begin = self.len() - n;
        let mut script = format!("fill {}\n", self.group(sequence, 0..begin, without));
        (begin..self.len()).for_each(|at| script += &format!("feed {}\n", self.group(sequence, at..at + 1, without)));
        script
    }
}

struct Bench {
    scratch: Scratch,
    decode: Decode,
    table: &'static str,
}

impl Bench {
    fn new() -> Self {
        Self::of(Arch::Llama)
    }

    fn of(arch: Arch) -> Self {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        let decode = Decode { wide_cache: true, ..Decode::new(&model) };
        Self { scratch, decode, table: CONTRAST }
    }

    /// Without the library, and so without its counters.
    fn plain(&self, script: &str) -> Recording {
        let script = script.replace("stats all\n", "");
        CHost::node_llama_cpp().plain(&Decode { script: Some(script), ..self.decode.clone() })
    }

    /// The log, and the rows if the program ended well.
    fn run(&self, script: &str, keys: &str) -> (String, Option<Recording>) {
        self.run_with(script, &format!("{}{keys}", self.table))
    }

    /// The same with another table.
    fn run_with(&self, script: &str, table: &str) -> (String, Option<Recording>) {
        let profile = self.scratch.profile(&Profile::empty().with(table));
        let decode = Decode { script: Some(script.to_owned()), ..self.decode.clone() };
        let (finished, recording) = CHost::node_llama_cpp().try_run(&decode, Some(Door::Preload), &profile);
        (finished.stderr, recording)
    }

    /// The rows of `full` under a contrast are those of `full` and `without`, run by themselves.
    #[track_caller]
    fn check(&self, full: &str, without: &str, tolerance: f64, what: &str) -> String {
        let (log, recording) = self.run(full, "alpha = 1.5\nplausibility = 0\n");
        let recording = recording.unwrap_or_else(|| panic!("{what}: {log}"));
        let [full, without] = [self.plain(full), self.plain(without)];
        assert_eq!(full.rows.len(), without.rows.len(), "{what}");
        let (worst, moved) = distances(&recording, &full, &without);
        assert_eq!(recording.rows.len(), full.rows.len(), "{what}");
        assert!(worst < tolerance, "{what}: {worst:e} from two runs\n{log}");
        assert!(moved > 10.0 * tolerance, "{what}: a row is as near as {moved:e} to the model's own\n{log}");
        assert!(!log.contains("evenkeel: error"), "{what}: {log}");
        println!("{what}: {worst:.1e} from two runs, every row at least {moved:.1e} from the model's own");
        log
    }
}

/// The logits of a row.
fn logits(row: &Row) -> Vec<f32> {
    row.logits.iter().map(|bits| f32::from_bits(*bits)).collect()
}

/// The largest distance of a logit from `2.5·full − 1.5·without`, and of the rows the least from `full`.
fn distances(got: &Recording, full: &Recording, without: &Recording) -> (f64, f64) {
    let (mut worst, mut moved) = (0.0f64, f64::MAX);
    for ((got, full), without) in got.rows.iter().zip(&full.rows).zip(&without.rows) {
        let [got, full, without] =
            [got, full, without].map(|row| logits(row).into_iter().map(f64::from).collect::<Vec<_>>());
        let expected = full.iter().zip(&without).map(|(f, w)| 2.5 * f - 1.5 * w);
        worst = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(worst, f64::max);
        moved = moved.min(got.iter().zip(&full).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max));
    }
    (worst, moved)
}

fn prompt() -> Prompt {
    Prompt::default().and(1, 6).context(2, 9).and(3, 8)
}

#[test]
fn every_row_is_that_of_two_runs() {
    let mut bench = Bench::new();
    let several = prompt().context(4, 3).and(5, 7);
    let first = Prompt::default().context(6, 5).and(7, 9);
    for (name, prompt) in [("a context", prompt()), ("two contexts", several), ("a context first", first)] {
        for (ubatch, separate) in [(512, false), (8, false), (512, true)] {
            (bench.decode.ubatch, bench.decode.separate) = (ubatch, separate);
            let scripts = [false, true].map(|without| prompt.script(0, 6, without));
            bench.check(&scripts[0], &scripts[1], EXACT, &format!("{name}, micro-batches of {ubatch}, {separate}"));
        }
    }
    (bench.decode.wide_cache, bench.decode.flash) = (false, true);
    let scripts = [false, true].map(|without| prompt().script(0, 6, without));
    bench.check(&scripts[0], &scripts[1], ROUGH, "flash attention and an F16 cache");
}

/// With a sliding window, and with a state that cannot be rolled back: what is not the same from some token on is evaluated
/// from the first.
#[test]
fn models_that_remember_otherwise() {
    for arch in [Arch::Gemma2, Arch::Lfm2] {
        let bench = Bench::of(arch);
        let prompt = prompt();
        let script = |without| {
            let end = prompt.group(0, prompt.len() - 1..prompt.len(), without);
            let begin = prompt.group(0, 0..prompt.len() - 1, without);
            format!("{}remove 0 -1 -1\nfill {begin}\nfeed {end}\n", prompt.script(0, 4, without))
        };
        bench.check(&script(false), &script(true), exact(arch), &format!("{arch:?}"));
    }
}

/// What [`TABLED`] is for: without the library, a neighbour in the batch moves logits by more than it would elsewhere.
#[test]
fn a_neighbour_moves_what_a_table_gives() {
    let distance = |arch| {
        let mut bench = Bench::of(arch);
        bench.decode.sequences = 2;
        let tokens = Prompt::default().and(1, 60);
        let alone = tokens.script(0, 50, false);
        let steps = (10..60)
            .map(|at| format!("feed {} {}\n", tokens.group(0, at..at + 1, false), tokens.group(1, at..at + 1, false)));
        let fill = format!("fill {} {}\n", tokens.group(0, 0..10, false), tokens.group(1, 0..10, false));
        let beside = bench.plain(&(fill + &steps.collect::<String>()));
        let own = Recording { rows: beside.rows.iter().step_by(2).cloned().collect(), ..beside };
        f64::from(bench.plain(&alone).distance(&own))
    };
    let [plain, tabled] = [Arch::Llama, Arch::Gemma2].map(distance);
    println!("{plain:.1e} without a table, {tabled:.1e} with one");
    assert!(plain < EXACT && tabled > EXACT && tabled < TABLED, "{plain:e}, {tabled:e}");
}

/// A prompt that ends with the last token of its context.
#[test]
fn the_context_last() {
    let bench = Bench::new();
    let prompt = Prompt::default().and(1, 6).context(2, 4);
    let full = format!("fill {}\nfeed {}\n", prompt.group(0, 0..11, false), prompt.group(0, 11..12, false));
    let without = format!("fill {}\nfeed {}\n", prompt.group(0, 0..5, true), prompt.group(0, 5..6, true));
    bench.check(&full, &without, EXACT, "the context last");
}

/// A rule acts with the context and without it on the same tokens: on all, on those of a phase, from a text on.
#[test]
fn rules_act_on_both() {
    let bench = Bench::new();
    bench.scratch.vector(Arch::Llama);
    let run = |script: &str, profile: &Profile| {
        let decode = Decode { script: Some(script.to_owned()), ..bench.decode.clone() };
        CHost::node_llama_cpp().with(&decode, Door::Preload, &bench.scratch.profile(profile))
    };
    // Tokens of single bytes begin at 3.
    let mut prompt = Prompt::default().and(1, 6);
    (prompt.0[3].0, prompt.0[4].0) = (3 + usize::from(b'Q'), 3 + usize::from(b'Z'));
    let prompt = prompt.context(2, 9).and(3, 9);
    let script = |without| prompt.script(0, 6, without);
    let contrast = format!("{CONTRAST}alpha = 1.5\nplausibility = 0\n");
    let rule = |keys: &str| Profile::empty().and_rule("v.gguf", &format!("strength = 3.0\n{keys}"));
    let route = "[[route]]\nwhen = { text = \"QZ\" }\n";
    let mut moved = vec![];
    for (what, rule, table) in [
        ("all", rule(""), ""),
        ("generated", rule("tokens = \"generated\""), ""),
        ("prompt", rule("tokens = \"prompt\""), ""),
        ("last", rule("tokens = \"last\""), ""),
        ("a route", rule(""), route),
        ("a route, generated", rule("tokens = \"generated\""), route),
    ] {
        let got = run(&script(false), &rule.clone().with(&format!("{table}{contrast}")));
        let plain = bench.plain(&script(false));
        let [full, without] = [false, true].map(|without| run(&script(without), &rule.clone().with(table)));
        let (worst, apart) = distances(&got, &full, &without);
        assert!(worst < EXACT && apart > 0.1, "{what}: {worst:e}, {apart:e}");
        let acts = full.distance(&plain);
        assert!(acts > 0.1, "{what}: the rule acts, {acts:e}");
        moved.push(full);
    }
    // The last is the second: all that is generated comes behind the text.
    for (i, a) in moved[..5].iter().enumerate() {
        assert!(moved[..i].iter().all(|b| a.distance(b) > 1e-3), "{i}: another rule than those before");
    }
}

/// Contrast first, labels second: a temperature of 2 halves the log odds that the contrast came to.
#[test]
fn labels_come_after_it() {
    let bench = Bench::new();
    let labels = "[[calibrate]]\nname = \"digits\"\nlabels = [\"1\", \"2\"]\nmethod = \"temperature\"\ntemperature = 2\n\
                  at = \"any\"\nmin-label-mass = 0\n";
    let profile = Profile::empty().with(&format!("{CONTRAST}alpha = 1.5\nplausibility = 0\n")).then(labels);
    let [full, without] = [false, true].map(|without| prompt().script(0, 6, without));
    let decode = Decode { script: Some(full.clone()), ..bench.decode.clone() };
    let got = CHost::node_llama_cpp().with(&decode, Door::Preload, &bench.scratch.profile(&profile));
    let [full, without] = [bench.plain(&full), bench.plain(&without)];
    // Tokens of the vocabulary's bytes begin at 3.
    let odds = |row: &Row| logits(row)[3 + usize::from(b'1')] - logits(row)[3 + usize::from(b'2')];
    for ((got, full), without) in got.rows.iter().zip(&full.rows).zip(&without.rows) {
        let expected = (2.5 * odds(full) - 1.5 * odds(without)) / 2.0;
        assert!((odds(got) - expected).abs() < 1e-3, "{}: {} and {expected}", got.label, odds(got));
        assert!((odds(got) - 2.0 * expected).abs() > 1e-2, "{}: the labels count", got.label);
    }
}

/// A program that contains llama.cpp is told that it cannot have one.
#[test]
fn not_through_the_door_of_a_program_that_contains_llama_cpp() {
    let bench = Bench::new();
    let profile = bench.scratch.profile(&Profile::empty().with(CONTRAST));
    let (finished, recording) = CHost::node_llama_cpp().try_run(&bench.decode, Some(Door::Embed), &profile);
    assert!(recording.is_none(), "it runs on");
    assert!(finished.stderr.contains("contrast") && finished.stderr.contains("ek_attach"), "{}", finished.stderr);
    let plain = bench.plain(&prompt().script(0, 3, false));
    let decode = Decode { script: Some(prompt().script(0, 3, false)), ..bench.decode };
    plain.assert_same(&CHost::node_llama_cpp().with(&decode, Door::Embed, &Setting::new()), "without a profile");
}

/// What a host does to cells: taken back inside, before and after a context; copied; several sequences in a batch.
#[test]
fn whatever_a_host_does_to_cells() {
    let mut bench = Bench::new();
    bench.decode.sequences = 3;
    let prompt = prompt();
    let n = prompt.len();
    let last = |without: bool| format!("feed {}\n", prompt.group(0, n - 1..n, without));
    for back in [n - 3, 12, 6, 3] {
        let again = |without| {
            let left = |at: usize| if without && at > 6 { at.saturating_sub(11).max(6) } else { at };
            let part = prompt.group(0, back..n - 1, without);
            let script = prompt.script(0, 3, without);
            format!("{script}remove 0 {} -1\nfill {part}\n{}", left(back), last(without))
        };
        bench.check(&again(false), &again(true), EXACT, &format!("taken back to {back}"));
    }
    let copied = |without| {
        let script = prompt.script(0, 3, without);
        let at = if without { n - 11 } else { n };
        format!("{script}copy 0 1\nfeed 0:{at}:40 1:{at}:41\nfeed 1:{}:42\nfeed 0:{}:43\n", at + 1, at + 1)
    };
    let other = Prompt::default().and(8, 4).context(9, 12).and(10, 5);
    let mixed = |without| {
        let (a, b) = (prompt.group(0, 0..n - 1, without), other.group(1, 0..other.len() - 1, without));
        let ends = |p: &Prompt, s| p.group(s, p.len() - 1..p.len(), without);
        format!("fill {a} {b}\nfeed {} {}\n", ends(&prompt, 0), ends(&other, 1))
    };
    for separate in [false, true] {
        bench.decode.separate = separate;
        bench.check(&mixed(false), &mixed(true), EXACT, &format!("two sequences, {separate}"));
        bench.check(&copied(false), &copied(true), EXACT, &format!("copied, {separate}"));
    }
}

/// Without markers, and beside a sequence with some.
#[test]
fn without_markers_every_bit_is_the_models_own() {
    let mut bench = Bench::new();
    bench.decode.sequences = 2;
    let plain = Prompt::default().and(1, 20);
    for script in [plain.script(0, 6, false), format!("feed {}\n", plain.group(0, 0..20, false))] {
        let (log, recording) = bench.run(&script, "");
        let recording = recording.unwrap_or_else(|| panic!("{log}"));
        bench.plain(&script).assert_same(&recording, "without markers");
        assert!(!log.contains("a second context is made"), "{log}");
    }
    let (marked, n) = (prompt(), prompt().len());
    let script = format!(
        "fill {} {}\nfeed {} {}\n",
        plain.group(0, 0..19, false),
        marked.group(1, 0..n - 1, false),
        plain.group(0, 19..20, false),
        marked.group(1, n - 1..n, false)
    );
    let (log, recording) = bench.run(&script, "");
    let (recording, own) = (recording.unwrap_or_else(|| panic!("{log}")), bench.plain(&script));
    assert_eq!(recording.rows[0], own.rows[0], "a neighbour");
    assert_ne!(recording.rows[1], own.rows[1]);
}

/// Tokens that the full request makes less likely than a share of its best cannot be chosen, and no other.
#[test]
fn what_is_not_plausible_stays_out() {
    let bench = Bench::new();
    let script = prompt().script(0, 5, false);
    let own = bench.plain(&script);
    let (_, free) = bench.run(&script, "plausibility = 0\n");
    let (log, held) = bench.run(&script, "plausibility = 0.4\n");
    let (free, held) = (free.expect("rows"), held.unwrap_or_else(|| panic!("{log}")));
    let mut out = 0;
    for ((own, free), held) in own.rows.iter().zip(&free.rows).zip(&held.rows) {
        let [own, free, held] = [own, free, held].map(logits);
        let best = own.iter().copied().fold(f32::MIN, f32::max);
        for ((own, free), held) in own.iter().zip(&free).zip(&held) {
            let share = (own - best).exp();
            if (share - 0.4).abs() > 1e-3 {
                let expected = if share > 0.4 { *free } else { free - 1e6 };
                assert!((held - expected).abs() < 0.2, "{share}: {held}, {expected}");
                out += usize::from(share < 0.4);
            }
        }
    }
    assert!(out > 100, "{out}");
}

/// What cannot be served: only a token that ends the generation is possible, the log says why, and the next request is right.
#[test]
fn what_cannot_be_served_is_refused() {
    let bench = Bench::new();
    let good = prompt().script(0, 3, false);
    for (tokens, why) in [
        ("5,1,6,7", "the prompt ends in a context that does not end"),
        ("5,6,2,7", "position 2: a context ends that has not begun"),
        ("5,1,6,1,7,2,8", "position 3: a context begins before the one before has ended"),
        ("1,6,2", "nothing is left of the prompt without its context"),
    ] {
        let last = tokens.rfind(',').expect("several");
        let n = tokens.matches(',').count();
        let script = format!("fill 0:0:{}\nfeed 0:{n}:{}\nremove 0 0 -1\n{good}", &tokens[..last], &tokens[last + 1..]);
        let (log, recording) = bench.run(&script, "plausibility = 0\n");
        let recording = recording.unwrap_or_else(|| panic!("{log}"));
        assert!(log.contains(why), "{tokens}: {log}");
        let refused = recording.rows[0].logits.iter().filter(|bits| f32::from_bits(**bits) > -1e20).count();
        assert_eq!(refused, 1, "{tokens}: only the end is possible");
        let (_, alone) = bench.run(&good, "plausibility = 0\n");
        let after = Recording { rows: recording.rows[1..].to_vec(), ..recording };
        let distance = f64::from(after.distance(&alone.expect("rows")));
        assert!(distance < EXACT, "{tokens}: {distance:e} after it");
    }
    // The host's own choice: it runs as it is.
    let table = "[runtime]\non-error = \"bypass\"\n[contrast]\nwithout = { open = \"<s>\", close = \"</s>\" }\n";
    let profile = bench.scratch.profile(&Profile::empty().with(table));
    let script = "fill 0:0:5,1,6\nfeed 0:3:7\n";
    let decode = Decode { script: Some(script.into()), ..bench.decode.clone() };
    let (finished, recording) = CHost::node_llama_cpp().try_run(&decode, Some(Door::Preload), &profile);
    assert!(finished.stderr.contains("does not end"), "{}", finished.stderr);
    bench.plain(script).assert_same(&recording.expect("rows"), "bypassed");
}

//! Segments found by markers in the prompt, however its tokens come: in one batch or several, whole or cut by micro-batches.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::{Decoder, Mode, Prompt, distance, permutations};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

/// `<s>` and `</s>` are the special tokens of the tests' vocabulary; token 259 is a blank.
const OPEN: usize = 1;
const CLOSE: usize = 2;
const BLANK: usize = 259;

const MODES: [Mode; 2] = [Mode::Pine, Mode::Set];

struct Bench {
    scratch: Scratch,
    decode: Decode,
    decoder: Decoder,
    mode: Mode,
}

impl Bench {
    fn new(mode: Mode) -> Self {
        let scratch = Scratch::new();
        let model = scratch.model(Arch::Llama, FileType::F32);
        let (decoder, decode) = (Decoder::read(&model), Decode { wide_cache: true, ..Decode::new(&model) });
        Self { scratch, decode, decoder, mode }
    }

    /// The log and the rows of a script under a profile with these further keys of the table.
    fn run(&self, script: &str, keys: &str) -> (String, Recording) {
        let name = if self.mode == Mode::Pine { "pine" } else { "set" };
        let table =
            format!("[invariance]\nmode = \"{name}\"\nsegments = {{ open = \"<s>\", close = \"</s>\" }}\n{keys}");
        let profile = self.scratch.profile(&Profile::empty().with(&table));
        let decode = Decode { script: Some(script.to_owned()), ..self.decode.clone() };
        let (finished, recording) = CHost::node_llama_cpp().try_run(&decode, Some(Door::Preload), &profile);
        (finished.stderr.clone(), recording.unwrap_or_else(|| panic!("{}", finished.stderr)))
    }

    /// Every row of the sequence that gave logits is the oracle's.
    #[track_caller]
    fn check(&self, script: &str, sequence: usize, prompt: &Prompt, rows: usize, what: &str) {
        let (log, mut recording) = self.run(script, "");
        if rows < prompt.tokens().len() {
            // Those of a region that came in parts were evaluated before, as a whole: that they are fed is for the host only.
            let position = |label: &str| label.rsplit(' ').next().and_then(|p| p.parse().ok()).unwrap_or(0);
            recording.rows.retain(|row| position(&row.label) >= prompt.cut().end());
        }
        let tokens = prompt.tokens();
        let expected = self.decoder.pass(&tokens, &prompt.cut(), self.mode).logits;
        let (worst, seen) = distance(&recording, sequence, &expected);
        assert_eq!(seen, rows, "{what}: {log}");
        assert!(worst < 1e-4, "{what}, {:?}: {worst:e} from the oracle\n{log}", self.mode);
        let (plain, _) = distance(&recording, sequence, &self.decoder.pass(&tokens, &prompt.cut(), Mode::Plain).logits);
        assert!(plain > 1e-2, "{what}: ordinary attention is as near as {plain:e}");
    }
}

/// A prompt whose segments have the markers around them.
fn marked(seed: usize, prefix: usize, lengths: &[usize], suffix: usize) -> Prompt {
    let mut prompt = Prompt::new(seed, prefix, lengths, suffix);
    for segment in &mut prompt.segments {
        segment.insert(0, OPEN);
        segment.push(CLOSE);
    }
    prompt
}

#[test]
fn in_one_batch() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        for (i, order) in permutations(3).iter().enumerate() {
            let prompt = marked(1, 3, &[4, 2, 5], 4).ordered(order);
            let n = prompt.tokens().len();
            // Whole, and with micro-batches that end in the region: at its begin, in the midst, before its last token.
            let sizes = if i == 0 { vec![512, 17, 18, 19] } else { vec![17 + i as u32 % 3] };
            for ubatch in sizes {
                bench.decode.ubatch = ubatch;
                bench.check(
                    &format!("feed {}\n", prompt.group(0, 0..n)),
                    0,
                    &prompt,
                    n,
                    &format!("micro-batches of {ubatch}"),
                );
            }
        }
    }
}

#[test]
fn in_several_batches() {
    for mode in MODES {
        let bench = Bench::new(mode);
        let prompt = marked(2, 3, &[4, 2, 5], 6);
        let (end, n) = (prompt.cut().end(), prompt.tokens().len());
        // Cut in the prefix, at the region, in a segment, between two, at the region's end, after it.
        for cuts in [
            vec![2],
            vec![3],
            vec![7],
            vec![9],
            vec![end - 1],
            vec![end],
            vec![end + 1],
            vec![1, 5, 6, 13, end, end + 2],
        ] {
            let mut script = String::new();
            let mut at = 0;
            for cut in &cuts {
                script += &format!("fill {}\n", prompt.group(0, at..*cut));
                at = *cut;
            }
            script += &format!("feed {}\n", prompt.group(0, at..n));
            bench.check(&script, 0, &prompt, n - at.max(end), &format!("cut at {cuts:?}"));
        }
        // And then token by token, as it is generated.
        let mut script = format!("fill {}\nfeed {}\n", prompt.group(0, 0..6), prompt.group(0, 6..end + 1));
        (end + 1..n).for_each(|at| script += &format!("feed {}\n", prompt.group(0, at..at + 1)));
        bench.check(&script, 0, &prompt, n - end, "generated");
    }
}

/// Several sequences in one batch, one of them without segments.
#[test]
fn with_neighbours() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        bench.decode.sequences = 3;
        let prompts = [marked(3, 3, &[4, 2, 5], 4), marked(4, 2, &[3, 3], 5)];
        let other = Prompt::new(5, 12, &[], 0);
        for ubatch in [512, 20] {
            bench.decode.ubatch = ubatch;
            let groups: Vec<String> =
                prompts.iter().enumerate().map(|(s, p)| p.group(s, 0..p.tokens().len())).collect();
            let script = format!("feed {} {}\n", groups.join(" "), other.group(2, 0..12));
            for (s, prompt) in prompts.iter().enumerate() {
                bench.check(
                    &script,
                    s,
                    prompt,
                    prompt.tokens().len(),
                    &format!("micro-batches of {ubatch}, sequence {s}"),
                );
            }
            let (_, recording) = bench.run(&script, "");
            let expected = bench.decoder.pass(&other.tokens(), &other.cut(), Mode::Plain).logits;
            assert!(distance(&recording, 2, &expected).0 < 1e-4, "{mode:?}: the neighbour without segments");
        }
    }
}

/// What a server does that keeps as much of a prompt as the next one begins with.
#[test]
fn a_prefix_that_ends_in_the_region_is_kept() {
    for mode in MODES {
        let bench = Bench::new(mode);
        let first = marked(6, 3, &[4, 2, 5], 4);
        let mut second = first.clone();
        second.segments[2][2..4].copy_from_slice(&[40, 41]);
        let (end, n) = (first.cut().end(), first.tokens().len());
        for keep in [3, 9, 15, end] {
            let next = if keep == end { first.clone() } else { second.clone() };
            let script =
                format!("fill {}\nremove 0 {keep} -1\nfeed {}\n", first.group(0, 0..n), next.group(0, keep..n));
            bench.check(&script, 0, &next, n - keep.max(end), &format!("{keep} cells are kept"));
        }
    }
}

/// White space between segments is seen by nothing: where it stands does not count, how much of it there is moves positions.
#[test]
fn white_space_between() {
    for mode in MODES {
        let bench = Bench::new(mode);
        let prompt = marked(7, 3, &[4, 2, 5], 4);
        let suffix = |order: &[usize], blanks: [usize; 2]| {
            let ordered = prompt.ordered(order);
            let mut tokens = ordered.prefix.clone();
            for (segment, n) in ordered.segments.iter().zip([blanks[0], blanks[1], 0]) {
                tokens.extend(segment);
                tokens.extend(vec![BLANK; n]);
            }
            tokens.extend(&ordered.suffix);
            let text: Vec<String> = tokens.iter().map(usize::to_string).collect();
            let (log, recording) = bench.run(&format!("feed 0:0:{}\n", text.join(",")), "");
            assert!(!log.contains("error"), "{log}");
            Recording { rows: recording.rows[recording.rows.len() - 4..].to_vec(), ..recording }
        };
        let here = suffix(&[0, 1, 2], [1, 2]);
        for (order, blanks) in [([0, 1, 2], [3, 0]), ([2, 0, 1], [1, 2]), ([1, 2, 0], [0, 3])] {
            let worst = here.distance(&suffix(&order, blanks));
            assert!(worst < 1e-4, "{mode:?}, {order:?}, {blanks:?}: {worst:e}");
        }
    }
}

/// What cannot be served ends, with the reason; its neighbour goes on.
#[test]
fn refusals() {
    let mut bench = Bench::new(Mode::Pine);
    let prompt = marked(8, 3, &[4, 2, 5], 4);
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    let likely = |recording: &Recording| {
        let row = recording.rows.last().expect("rows");
        row.logits.iter().filter(|bits| f32::from_bits(**bits) > -1e8).count()
    };
    let said = |bench: &Bench, tokens: &[usize], keys: &str, expected: &str| {
        let text: Vec<String> = tokens.iter().map(usize::to_string).collect();
        let (log, recording) = bench.run(&format!("feed 0:0:{}\n", text.join(",")), keys);
        assert!(log.contains(expected), "{log}");
        assert!(likely(&recording) < 5, "{} tokens are possible", likely(&recording));
    };
    let tokens = prompt.tokens();
    said(&bench, &tokens, "max-segments = 2", "3 segments, and invariance.max-segments is 2");
    said(&bench, &tokens[..end], "", "the prompt ends, but nothing follows its last segment");
    said(&bench, &tokens[..end - 1], "", "the prompt ends, but its last segment does not end");
    said(&bench, &[5, 6, 2, 7], "", "position 2: a segment ends that has not begun");
    said(&bench, &[5, 1, 1, 7], "", "position 2: a segment begins before the one before has ended");
    said(&bench, &[5, 1, 8, 2, 9, 1, 8, 2, 9], "", "position 5: a segment begins after other text");
    bench.decode.ubatch = 16;
    said(&bench, &tokens, "", "its segments, 17 tokens, must be evaluated in one micro-batch, and those have 16");
    bench.decode.ubatch = 512;
    // Its neighbour.
    bench.decode.sequences = 2;
    let (log, recording) = bench.run(&format!("feed 0:0:5,6,2,7 {}\n", prompt.group(1, 0..n)), "");
    assert!(log.contains("sequence 0: position 2: a segment ends"), "{log}");
    let expected = bench.decoder.pass(&tokens, &prompt.cut(), Mode::Pine).logits;
    assert!(distance(&recording, 1, &expected).0 < 1e-4);
}

/// A model that has no such special tokens: what it has is named, and text is taken where the profile allows it.
#[test]
fn markers_that_are_no_special_tokens() {
    let bench = Bench::new(Mode::Pine);
    let decode = Decode { script: Some("feed 0:0:5,6,7\n".into()), ..bench.decode.clone() };
    let table =
        |more: &str| format!("[invariance]\nmode = \"pine\"\nsegments = {{ open = \"[\", close = \"]\" }}\n{more}");
    let run = |more: &str| {
        let setting = bench.scratch.profile(&Profile::empty().with(&table(more)));
        CHost::node_llama_cpp().try_run(&decode, Some(Door::Preload), &setting).0.stderr
    };
    let log = run("");
    assert!(log.contains("invariance.segments: open: no special token of this model, got \"[\""), "{log}");
    assert!(!run("markers-in-text = true").contains("error"));
    // As bytes: "[", the two letters, "]", each a token of its own.
    let byte = |b: u8| 3 + b as usize;
    let mut prompt = Prompt::new(9, 3, &[4, 2, 5], 4);
    for segment in &mut prompt.segments {
        segment.insert(0, byte(b'['));
        segment.push(byte(b']'));
    }
    let n = prompt.tokens().len();
    let decode = Decode { script: Some(format!("feed {}\n", prompt.group(0, 0..n))), ..bench.decode.clone() };
    let setting = bench.scratch.profile(&Profile::empty().with(&table("markers-in-text = true")));
    let recording = CHost::node_llama_cpp().with(&decode, Door::Preload, &setting);
    let expected = bench.decoder.pass(&prompt.tokens(), &prompt.cut(), Mode::Pine).logits;
    assert!(distance(&recording, 0, &expected).0 < 1e-4);
}

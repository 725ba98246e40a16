//! What a program does with the cells of a region that is in the cache: states saved and restored, drafts taken back, copies.
//! Rows that follow are the definition's, or end with the reason; never anything else.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::{Decoder, Mode, Prompt};
use evenkeel_tests::{Door, Profile, Recording, Row, Scratch};

const MODES: [(Mode, &str); 2] = [(Mode::Pine, "pine"), (Mode::Set, "set")];
const OPEN: usize = 1;
const CLOSE: usize = 2;

struct Bench {
    scratch: Scratch,
    decode: Decode,
    decoder: Decoder,
}

/// What became of rows after the region.
#[derive(Debug, PartialEq)]
enum Fate {
    /// They are the definition's.
    Right,
    /// Only a token that ends a generation is possible.
    Refused,
    /// Neither: so far from the definition.
    Wrong(f64),
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let model = scratch.model(Arch::Llama, FileType::F32);
        let (decoder, decode) =
            (Decoder::read(&model), Decode { wide_cache: true, sequences: 3, ..Decode::new(&model) });
        Self { scratch, decode, decoder }
    }

    fn run(&self, mode: &str, keys: &str, script: &str) -> (String, Recording) {
        let profile = Profile::empty().with(&format!("[invariance]\nmode = \"{mode}\"\n{keys}"));
        let decode = Decode { script: Some(script.to_owned()), ..self.decode.clone() };
        let setting = self.scratch.profile(&profile);
        let (finished, recording) = CHost::node_llama_cpp().try_run(&decode, Some(Door::Preload), &setting);
        (finished.stderr.clone(), recording.unwrap_or_else(|| panic!("{}", finished.stderr)))
    }

    /// What became of a sequence's rows that were written last: those of the prompt from a position on.
    fn fate(&self, recording: &Recording, sequence: usize, prompt: &Prompt, from: usize, mode: Mode) -> Fate {
        let label = format!("prompt {sequence} ");
        let expected = self.decoder.pass(&prompt.tokens(), &prompt.cut(), mode).logits;
        let rows: Vec<&Row> = recording.rows.iter().filter(|row| row.label.starts_with(&label)).collect();
        let rows = &rows[rows.len() - (expected.len() - from)..];
        let likely = |row: &&Row| row.logits.iter().filter(|bits| f32::from_bits(**bits) > -1e8).count();
        if rows.iter().all(|row| likely(row) < 5) {
            return Fate::Refused;
        }
        let gap = |(bits, x): (&u32, &f64)| (f64::from(f32::from_bits(*bits)) - x).abs();
        let all = rows.iter().zip(&expected[from..]).flat_map(|(row, x)| row.logits.iter().zip(x).map(gap));
        let worst = all.fold(0.0, f64::max);
        if worst < 1e-4 { Fate::Right } else { Fate::Wrong(worst) }
    }
}

/// A prompt whose segments have the markers around them.
fn marked(seed: usize) -> Prompt {
    let mut prompt = Prompt::new(seed, 3, &[4, 2, 5], 8);
    for segment in &mut prompt.segments {
        segment.insert(0, OPEN);
        segment.push(CLOSE);
    }
    prompt
}

const MARKERS: &str = "segments = { open = \"<s>\", close = \"</s>\" }";

/// A sequence is saved after its region and restored: into itself, emptied, and into another one.
#[test]
fn restored_states() {
    let bench = Bench::new();
    let prompt = marked(101);
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    for (mode, name) in MODES {
        for canonical in [false, true] {
            for markers in [true, false] {
                let announce = if markers { String::new() } else { prompt.announce(0) };
                let keys = format!("canonical = {canonical}\n{}", if markers { MARKERS } else { "" });
                // The prompt's last token gives logits, the one after it was generated.
                let begun = format!(
                    "{announce}fill {}\nfeed {}\nfeed {}\nsave 0\n",
                    prompt.group(0, 0..end + 2),
                    prompt.group(0, end + 2..end + 3),
                    prompt.group(0, end + 3..end + 4)
                );
                for (what, to, between) in [
                    ("itself", 0, ""),
                    ("itself, emptied", 0, "remove 0 0 -1\n"),
                    ("another", 1, ""),
                    ("another, whose original is gone", 1, "remove 0 0 -1\n"),
                ] {
                    let script = format!("{begun}{between}load {to}\nfeed {}\n", prompt.group(to, end + 4..n));
                    let (log, recording) = bench.run(name, &keys, &script);
                    let fate = bench.fate(&recording, to, &prompt, end + 4, mode);
                    let what = format!("{name}, canonical {canonical}, markers {markers}, {what}");
                    assert_eq!(
                        fate,
                        Fate::Right,
                        "{what}
{log}"
                    );
                }
            }
        }
    }
}

/// A whole context's state says nothing of its tokens: what follows a region in it ends, with the reason, until the region's
/// cells are gone.
#[test]
fn restored_contexts() {
    let bench = Bench::new();
    let prompt = marked(107);
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    for (mode, name) in MODES {
        for markers in [true, false] {
            let announce = if markers { String::new() } else { prompt.announce(0) };
            let keys = if markers { MARKERS } else { "" };
            let begun = format!("{announce}feed {}\nsave all\nload all\n", prompt.group(0, 0..end + 4));
            let script = format!("{begun}feed {}\n", prompt.group(0, end + 4..n));
            let (log, recording) = bench.run(name, keys, &script);
            let fate = bench.fate(&recording, 0, &prompt, end + 4, mode);
            assert_eq!(fate, Fate::Refused, "{name}, markers {markers}\n{log}");
            let why = "the region of its segments is of no use: its cells were restored from elsewhere";
            assert!(log.contains(why), "{log}");
            let script = format!("{begun}remove 0 0 -1\n{announce}feed {}\n", prompt.group(0, 0..n));
            let (log, recording) = bench.run(name, keys, &script);
            assert_eq!(bench.fate(&recording, 0, &prompt, 0, mode), Fate::Right, "{name}, markers {markers}\n{log}");
        }
    }
}

/// A restored state and another prompt: what is kept of it ends before, in and after the region.
#[test]
fn prompts_after_a_restored_state() {
    let bench = Bench::new();
    let (first, mut second) = (marked(102), marked(102));
    second.segments[2][2..4].copy_from_slice(&[40, 41]);
    let (end, n) = (first.cut().end(), first.tokens().len());
    for (mode, name) in MODES {
        let keys = MARKERS;
        for keep in [2, 9, 15, end, end + 2] {
            let next = if keep >= end { &first } else { &second };
            let script = format!(
                "fill {}\nfeed {}\nsave 0\nremove 0 0 -1\nload 2\nremove 2 {keep} -1\nfeed {}\n",
                first.group(0, 0..n - 1),
                first.group(0, n - 1..n),
                next.group(2, keep..n)
            );
            let (log, recording) = bench.run(name, keys, &script);
            let from = keep.max(end);
            assert_eq!(bench.fate(&recording, 2, next, from, mode), Fate::Right, "{name}, {keep} cells kept\n{log}");
        }
    }
}

/// Drafts: several rows after the region, some of which are taken back, again and again.
#[test]
fn drafts_after_the_region() {
    let bench = Bench::new();
    let prompt = marked(103);
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    for (mode, name) in MODES {
        for keys in [MARKERS, &format!("canonical = true\n{MARKERS}")] {
            let mut script = format!("feed {}\n", prompt.group(0, 0..end + 2));
            for at in end + 2..n {
                // The right token, and two that are refused.
                let mut draft = prompt.clone();
                draft.suffix.truncate(at + 1 - end);
                draft.suffix.extend([90 + at, 91]);
                script += &format!("feed {}\nremove 0 {} -1\n", draft.group(0, at..at + 3), at + 1);
            }
            let (log, mut recording) = bench.run(name, keys, &script);
            // The first row of each draft is the one that stays.
            let mut seen = vec![];
            recording.rows.retain(|row| {
                let position = row.label.rsplit(' ').next().and_then(|p| p.parse::<usize>().ok()).expect("a position");
                let first = position <= end + 1 || position == end + 2 + seen.len() / 3;
                if position > end + 1 {
                    seen.push(position);
                }
                first
            });
            assert_eq!(bench.fate(&recording, 0, &prompt, end, mode), Fate::Right, "{name} {keys}\n{log}");
        }
    }
}

/// A prompt that several answers share: copied after the region, each goes its own way, and the original may go first.
#[test]
fn copies_of_a_region() {
    let bench = Bench::new();
    let prompt = marked(104);
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    let mut others = [prompt.clone(), prompt.clone()];
    others[0].suffix[2..].iter_mut().for_each(|t| *t += 7);
    others[1].suffix[2..].iter_mut().for_each(|t| *t += 19);
    for (mode, name) in MODES {
        for keys in [MARKERS, &format!("canonical = true\n{MARKERS}")] {
            let script = format!(
                "feed {}\ncopy 0 1\ncopy 0 2\nfeed {} {}\nremove 0 0 -1\nfeed {} {}\nfeed {}\n",
                prompt.group(0, 0..end + 2),
                others[0].group(1, end + 2..end + 3),
                prompt.group(0, end + 2..end + 3),
                others[0].group(1, end + 3..n),
                others[1].group(2, end + 2..n - 1),
                others[1].group(2, n - 1..n),
            );
            let (log, recording) = bench.run(name, keys, &script);
            for (sequence, other) in [(1, &others[0]), (2, &others[1])] {
                let fate = bench.fate(&recording, sequence, other, end + 2, mode);
                assert_eq!(fate, Fate::Right, "{name}, {keys}, sequence {sequence}\n{log}");
            }
        }
    }
}

#[test]
fn a_region_with_more_segments_than_allowed() {
    let bench = Bench::new();
    let prompt = marked(105);
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    for (mode, name) in MODES {
        let feed = format!("feed {}\n", prompt.group(0, 0..n));
        let (log, recording) = bench.run(name, &format!("max-segments = 2\n{MARKERS}"), &feed);
        assert!(log.contains("sequence 0: 3 segments, and invariance.max-segments is 2"), "{log}");
        assert_eq!(bench.fate(&recording, 0, &prompt, end, mode), Fate::Refused);
        let (log, recording) = bench.run(name, &format!("max-segments = 3\n{MARKERS}"), &feed);
        assert_eq!(bench.fate(&recording, 0, &prompt, end, mode), Fate::Right, "{log}");
    }
}

/// One segment is ordinary attention, found by markers and in parts.
#[test]
fn one_segment() {
    let bench = Bench::new();
    let mut prompt = Prompt::new(106, 3, &[6], 6);
    prompt.segments[0].insert(0, OPEN);
    prompt.segments[0].push(CLOSE);
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    for (_, name) in MODES {
        for cut in [n, 5, end, end + 1] {
            for canonical in [false, true] {
                let mut script = format!("feed {}\n", prompt.group(0, 0..n));
                if cut < n {
                    script = format!("fill {}\nfeed {}\n", prompt.group(0, 0..cut), prompt.group(0, cut..n));
                }
                let (log, recording) = bench.run(name, &format!("canonical = {canonical}\n{MARKERS}"), &script);
                let from = if cut < n { cut.max(end) } else { 0 };
                let fate = bench.fate(&recording, 0, &prompt, from, Mode::Plain);
                assert_eq!(fate, Fate::Right, "{name}, cut at {cut}, canonical {canonical}\n{log}");
            }
        }
    }
}

//! Rows that hold no numbers, because the model's weights make none of them: one token's embedding is NaN, infinity, or so
//! large that its square is. Rules neither carry it into other sequences, nor touch a row on which they are off, whatever
//! they would make of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use evenkeel_model::{Arch, TINY_EMBD, TINY_LAYERS, TINY_VOCAB};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch, Setting};

use crate::extremes::{bench, bits, column, every_operator};
use crate::gguf::tensors;
use crate::safetensors::{Tensor, write};

const ARCHS: [Arch; 3] = [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe];
const SEQUENCES: u32 = 3;
const PROMPT: u32 = 24;
const STEPS: u32 = 3;

/// The token that the C host feeds.
fn token(sequence: u32, position: u32) -> u32 {
    let x = position.wrapping_mul(2_654_435_761).wrapping_add(sequence * 40503).wrapping_add(12345);
    3 + (x ^ (x >> 15)) % (TINY_VOCAB - 3)
}

/// A position in the first sequence whose token nothing before it and no other sequence has.
fn alone() -> u32 {
    let all = |sequence| (0..PROMPT + STEPS).map(move |p| token(sequence, p));
    let fits = |p: &u32| {
        let t = token(0, *p);
        (0..*p).all(|q| token(0, q) != t) && (1..SEQUENCES).all(|s| all(s).all(|other| other != t))
    };
    (6..16).find(fits).expect("a token of its own")
}

/// The model with another embedding for one token.
fn poison(model: &Path, to: &Path, token: u32, value: impl Fn(usize) -> f32) {
    let mut bytes = fs::read(model).expect("the model");
    let (at, _) = tensors(&bytes)["token_embd.weight"];
    let width = TINY_EMBD as usize;
    for i in 0..width {
        let at = at + 4 * (token as usize * width + i);
        bytes[at..at + 4].copy_from_slice(&value(i).to_le_bytes());
    }
    fs::write(to, bytes).expect("a model");
}

struct Case {
    scratch: Scratch,
    clean: Decode,
    bad: Decode,
    token: u32,
    first: u32,
}

/// The values of an embedding.
type Embedding = fn(usize) -> f32;

/// The largest value is finite for gemma, too, which multiplies embeddings by 8.
const POISONS: [(&str, Embedding); 3] = [
    ("NaN", |_| f32::NAN),
    ("infinity", |_| f32::INFINITY),
    ("3e37", |i| if i.is_multiple_of(2) { 3e37 } else { -2e37 }),
];

/// A model in which one token is poisoned, and profiles in a folder: `on` with every operator, `[[heads]]` and `[[edit]]`,
/// and others that are off on some rows.
fn case(arch: Arch, value: fn(usize) -> f32) -> Case {
    let (scratch, decode) = bench(arch);
    let first = alone();
    let token = token(0, first);
    // Cells of their own: where sequences share them, llama.cpp multiplies what is no number with 0 by itself.
    let clean = Decode { sequences: SEQUENCES, separate: true, ubatch: 512, steps: STEPS, ..decode };
    let bad = Decode { model: scratch.path("bad.gguf"), ..clean.clone() };
    poison(&clean.model, &bad.model, token, value);
    let model = fs::read(&clean.model).expect("the model");
    let edits: Vec<Tensor> = ["blk.1.attn_v", "blk.2.attn_output", "blk.4.attn_q"]
        .into_iter()
        .flat_map(|name| {
            let shape = &tensors(&model)[&format!("{name}.weight")].1;
            let (inputs, outputs) = (shape[0] as usize, shape[1] as usize);
            let values = |n: usize| (0..n).map(|i| ((i * 37 % 19) as f32 - 9.0) * 0.02).collect::<Vec<f32>>();
            [
                (format!("{name}.a"), vec![2, inputs], values(2 * inputs)),
                (format!("{name}.b"), vec![outputs, 2], values(2 * outputs)),
            ]
        })
        .collect();
    fs::write(scratch.path("edit.safetensors"), write(&edits)).expect("an edit is written");
    // Large weights: of a row that is large, too, they make infinities of both signs, which are no number together.
    let probe: Vec<Tensor> = vec![
        (
            "probe.1".to_owned(),
            vec![TINY_EMBD as usize],
            (0..TINY_EMBD).map(|i| (i as f32 * 0.7).sin() * 100.0).collect(),
        ),
        ("bias.1".to_owned(), vec![1], vec![0.1]),
    ];
    fs::write(scratch.path("probe.safetensors"), write(&probe)).expect("a probe is written");
    let all = |keys: &str, tokens: &str| {
        let rules = every_operator(Profile::empty(), "[2, 4]", &format!("{keys}\n{tokens}"));
        rules
            .then(&format!("[[heads]]\nname = \"heads\"\nscale = 0.5\nheads = [\"1.0\", \"3.2\"]\n{tokens}"))
            .then(&format!("[[edit]]\nname = \"edit\"\nfile = \"edit.safetensors\"\n{tokens}"))
    };
    let steer = |keys: &str| every_operator(Profile::empty(), "[2, 4]", keys);
    let never = "similar-to = \"w.gguf\", layer = 1, above = 0.9999";
    let likely = "probe = \"probe.safetensors\", layer = 1";
    let held = format!("{likely}, soft = true, at = \"prompt\"");
    let profiles = [
        ("default", Profile::empty()),
        ("on", all("", "")),
        ("adjustable", all("adjustable = true", "")),
        ("generated", all("", "tokens = \"generated\"")),
        ("never", steer(&format!("when = {{ {never} }}"))),
        ("neither", steer(&format!("when = {{ all = [{{ {never} }}, {{ {likely}, soft = true }}] }}"))),
        ("later", steer(&format!("tokens = \"generated\"\nwhen = {{ {likely}, soft = true }}"))),
        ("held", steer(&format!("when = {{ any = [{{ {held} }}, {{ not = {{ {held} }} }}] }}"))),
        ("until", steer(&format!("when = {{ not = {{ {likely}, above = 0.6, below = 0.4, at = \"prompt\" }} }}"))),
    ];
    for (name, profile) in profiles {
        let text = profile.text().replace("name = \"test\"\n", &format!("name = \"{name}\"\n"));
        fs::create_dir_all(scratch.path("profiles")).expect("a folder");
        fs::write(scratch.path("profiles").join(format!("{name}.toml")), text).expect("a profile");
    }
    for entry in fs::read_dir(scratch.folder()).expect("the folder").map(|e| e.expect("a file").path()) {
        let name = entry.file_name().expect("a name").to_owned();
        let model = name.to_string_lossy().contains("F32") || name == "bad.gguf";
        if entry.is_file() && !model {
            fs::copy(&entry, scratch.path("profiles").join(name)).expect("a file is copied");
        }
    }
    Case { scratch, clean, bad, token, first }
}

/// What each row of a sequence became: logits, and residual streams after every layer. One value for whatever is no number.
#[derive(PartialEq)]
struct Rows(BTreeMap<String, Vec<u32>>);

impl Case {
    fn run(&self, host: &CHost, decode: &Decode, chosen: [&str; 3]) -> Recording {
        let choose = (0..).zip(chosen.map(str::to_owned)).collect();
        let setting = Setting::new().env("EVENKEEL_PROFILE", self.scratch.path("profiles")).env("EVENKEEL_LOG", "warn");
        let (finished, recording) = host.try_run(&Decode { choose, ..decode.clone() }, Some(Door::Preload), &setting);
        assert!(!finished.stderr.contains("evenkeel: "), "{}", finished.stderr);
        recording.unwrap_or_else(|| panic!("{}", finished.stderr))
    }

    fn plain(&self, host: &CHost, decode: &Decode) -> Recording {
        host.try_run(decode, None, &Setting::new()).1.expect("a recording")
    }

    /// What became of a sequence. `positions`: of these rows only.
    fn rows(&self, recording: &Recording, sequence: u32, positions: impl Fn(u32) -> bool) -> Rows {
        let mut rows = BTreeMap::new();
        for row in recording.of_sequence(sequence) {
            let pos: u32 = row.label.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a position");
            if positions(pos) {
                let mut values: Vec<f32> = row.logits.iter().map(|b| f32::from_bits(*b)).collect();
                // A head that is the embeddings has the poisoned row, too.
                values[self.token as usize] = 0.0;
                rows.insert(format!("logits {pos}"), bits(&[values]));
            }
        }
        for layer in 0..TINY_LAYERS {
            let all = column(recording, &format!("l_out-{layer}"));
            assert_eq!(all.len() as u32, SEQUENCES * (PROMPT + STEPS), "rows of layer {layer}");
            for pos in (0..PROMPT + STEPS).filter(|pos| positions(*pos)) {
                let at = match pos.checked_sub(PROMPT) {
                    None => sequence * PROMPT + pos,
                    Some(step) => SEQUENCES * (PROMPT + step) + sequence,
                };
                let row = &all[at as usize];
                rows.insert(format!("layer {layer}, position {pos}"), bits(std::slice::from_ref(row)));
            }
        }
        Rows(rows)
    }
}

#[track_caller]
fn same(a: &Rows, b: &Rows, what: &str) {
    assert!(!a.0.is_empty() && a.0.len() == b.0.len(), "{what}");
    let differ: Vec<&String> = a.0.iter().filter(|(name, bits)| b.0[*name] != **bits).map(|(name, _)| name).collect();
    assert!(differ.is_empty(), "{what}: {} of {} differ, first {:?}", differ.len(), a.0.len(), differ.first());
}

fn each(test: impl Fn(&CHost, &Case, &str)) {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        for (name, value) in POISONS {
            test(&host, &case(arch, value), &format!("{arch:?}, {name}"));
        }
    }
}

/// What is no number stays in its sequence, steered or not: the others have the bits that they have beside a sound one.
#[test]
fn they_stay_in_their_sequence() {
    each(|host, case, what| {
        let (plain, sound) = (case.plain(host, &case.bad), case.plain(host, &case.clean));
        let hostile = case.rows(&plain, 0, |pos| pos == case.first);
        assert!(hostile != case.rows(&sound, 0, |pos| pos == case.first), "{what}: the row is hostile");
        for name in ["on", "adjustable", "generated", "neither", "later", "held", "until"] {
            let (beside, expected) =
                (case.run(host, &case.bad, [name, name, "off"]), case.run(host, &case.clean, [name, name, "off"]));
            for sequence in [1, 2] {
                let of = |recording| case.rows(recording, sequence, |_| true);
                same(&of(&beside), &of(&expected), &format!("{what}, `{name}`: sequence {sequence}"));
            }
            let of = |recording| case.rows(recording, 2, |_| true);
            same(&of(&beside), &of(&sound), &format!("{what}, `{name}`: the sequence that is off"));
            let steered = |recording| case.rows(recording, 1, |_| true);
            assert!(name == "neither" || steered(&beside) != steered(&sound), "{what}: `{name}` does something");
        }
    });
}

/// Where a rule is off, what is no number is what it was, and so is what is one beside it.
#[test]
fn they_stay_as_they_are_where_rules_are_off() {
    each(|host, case, what| {
        let plain = case.plain(host, &case.bad);
        let all = |_: u32| true;
        let prompt = |pos: u32| pos < PROMPT;
        // Another sequence's rules.
        for name in ["on", "adjustable", "generated", "later", "held"] {
            let recording = case.run(host, &case.bad, ["off", name, name]);
            same(&case.rows(&recording, 0, all), &case.rows(&plain, 0, all), &format!("{what}: beside `{name}`"));
        }
        // Its own, for other rows; and under a condition that does not hold.
        for name in ["generated", "later"] {
            let recording = case.run(host, &case.bad, [name; 3]);
            same(&case.rows(&recording, 0, prompt), &case.rows(&plain, 0, prompt), &format!("{what}: `{name}`"));
        }
        for name in ["held", "until"] {
            let recording = case.run(host, &case.bad, [name; 3]);
            let before = |pos: u32| pos + 1 < PROMPT && pos <= case.first;
            same(&case.rows(&recording, 0, before), &case.rows(&plain, 0, before), &format!("{what}: `{name}`"));
        }
        for name in ["never", "neither"] {
            let recording = case.run(host, &case.bad, [name; 3]);
            for sequence in 0..SEQUENCES {
                let of = |recording| case.rows(recording, sequence, all);
                same(&of(&recording), &of(&plain), &format!("{what}: `{name}`, sequence {sequence}"));
            }
        }
    });
}

//! `[[heads]]` on a real host: what goes into the output projection, head by head, with flash attention and without, and
//! what comes out of it.

use evenkeel_model::{Arch, FileType, TINY_LAYERS};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use crate::float64::wide;

/// Heads of a tiny model; two and two of them share keys and values.
const N_HEAD: usize = 4;
const LAST: u32 = TINY_LAYERS - 1;

/// `[[heads]]` tables: scale, heads, further keys.
fn profile(rules: &[(f32, &str, &str)]) -> Profile {
    let rule = |(number, (scale, heads, keys)): (usize, &(f32, &str, &str))| {
        format!("[[heads]]\nname = \"heads-{number}\"\nscale = {scale:?}\nheads = {heads}\n{keys}\n")
    };
    rules.iter().enumerate().map(rule).fold(Profile::empty(), |profile, table| profile.with(&table))
}

/// Rows of `heads-LAYER`, with the values of all heads in a row, whatever the node's shape.
fn rows(recording: &Recording, name: &str, width: usize) -> Vec<Vec<f64>> {
    let found = recording.captures.iter().filter(|c| c.name == name);
    let values: Vec<f64> = found.flat_map(|c| c.rows.iter().flat_map(|row| wide(row))).collect();
    assert!(!values.is_empty(), "{name} was captured");
    values.chunks(width).map(<[f64]>::to_vec).collect()
}

fn width(arch: Arch) -> usize {
    N_HEAD * if matches!(arch, Arch::Qwen3 | Arch::Gemma2) { 32 } else { 16 }
}

#[test]
fn heads_are_scaled_one_by_one() {
    let host = CHost::node_llama_cpp();
    let rules: [(f32, &str, &str); 4] = [
        (0.0, "[\"1.1\", \"4.3\"]", ""),
        (-1.5, "[\"1.2\", \"3.0\"]", ""),
        (0.5, "[\"1.2\"]", ""),
        (3.0, "[\"3.1\", \"4.0\"]", "adjustable = true"),
    ];
    // Layer, head, and the scale that it has in all.
    let scales = [(1, 1, 0.0), (1, 2, -0.75), (3, 0, -1.5), (3, 1, 3.0), (LAST, 3, 0.0), (LAST, 0, 3.0)];
    for arch in Arch::ALL {
        let often = matches!(arch, Arch::Llama | Arch::Gemma2 | Arch::Qwen2Moe);
        for flash in [true, false].into_iter().filter(|flash| often || *flash) {
            let scratch = Scratch::new();
            let model = scratch.model(arch, FileType::F32);
            let decode =
                Decode { flash, sequences: 2, ubatch: 5, capture: true, last_only: true, ..Decode::new(&model) };
            let recording = host.with(&decode, Door::Preload, &scratch.profile(&profile(&rules)));
            for layer in [1, 3, LAST] {
                let at = |name: String| rows(&recording, &name, width(arch));
                let (before, after) = (at(format!("ek.heads-{layer}")), at(format!("heads-{layer}")));
                let what = format!("{arch:?}, flash attention {flash}, layer {layer}");
                assert!(before.len() == after.len() && before.len() > 50, "{what}: {} rows", before.len());
                for (x, got) in before.iter().zip(&after) {
                    let size = x.len() / N_HEAD;
                    for (i, (x, got)) in x.iter().zip(got).enumerate() {
                        let scale = scales.iter().find(|(l, head, _)| (*l, *head) == (layer, i / size));
                        let expected = x * scale.map_or(1.0, |(_, _, scale)| *scale);
                        assert!((expected - got).abs() <= 1e-6 * expected.abs(), "{what}: {expected} {got}");
                    }
                    assert!(x.iter().any(|x| *x != 0.0));
                }
            }
        }
    }
}

/// With all heads off, attention adds nothing (or its bias), whatever the prompt: the logits of a row do not depend on the
/// tokens before it.
#[test]
fn a_model_without_its_heads_sees_no_other_token() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe] {
        for flash in [false, true] {
            let scratch = Scratch::new();
            let model = scratch.model(arch, FileType::F32);
            let all: Vec<String> =
                (0..TINY_LAYERS).flat_map(|l| (0..N_HEAD).map(move |h| format!("\"{l}.{h}\""))).collect();
            let mute = scratch.profile(&profile(&[(0.0, &format!("[{}]", all.join(", ")), "")]));
            let long = Decode { flash, ubatch: 5, ..Decode::new(&model) };
            let recording = host.with(&long, Door::Preload, &mute);
            let plain = host.plain(&long);
            plain.assert_all_differ(&recording, "all heads off");
            let effect = plain.distance(&recording);
            // Queries and keys now count for nothing: cutting the prompt into other micro-batches moves rounding only.
            let other = host.with(&Decode { ubatch: 1, ..long.clone() }, Door::Preload, &mute);
            let apart = recording.distance(&other);
            assert!(apart < 1e-3 * effect, "{arch:?}: {apart} of {effect}");
            // And nothing of a second sequence, which changes what a cache holds, reaches the first.
            let two = host.with(&Decode { sequences: 2, ..long }, Door::Preload, &mute);
            let first = |r: &Recording| {
                let rows = r.rows.iter().filter(|row| row.label.contains(" 0 ")).cloned().collect();
                Recording { rows, nodes: vec![], captures: vec![] }
            };
            let apart = first(&recording).distance(&first(&two));
            assert!(apart < 1e-3 * effect, "{arch:?}: {apart} of {effect}");
        }
    }
}

/// Quantised caches rotate keys and values in some versions; quantised weights change nothing about heads.
#[test]
fn what_changes_nothing_changes_no_bit() {
    let host = CHost::node_llama_cpp();
    for (arch, flash) in [(Arch::Llama, false), (Arch::Llama, true), (Arch::Gemma2, true), (Arch::Qwen2Moe, false)] {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::Q8_0);
        let decode = Decode { flash, sequences: 2, ubatch: 5, ..Decode::new(&model) };
        let run = |rules: &[(f32, &str, &str)]| host.with(&decode, Door::Preload, &scratch.profile(&profile(rules)));
        let plain = host.plain(&decode);
        let heads = "[\"1.1\", \"4.0\"]";
        plain.assert_same(&run(&[(1.0, heads, "")]), "scale 1");
        plain.assert_same(&run(&[(1.0, heads, "adjustable = true")]), "scale 1, adjustable");
        plain.assert_same(&run(&[(2.0, heads, ""), (0.5, heads, "")]), "2 and 0.5");
        let off = run(&[(0.0, heads, "")]);
        plain.assert_all_differ(&off, "scale 0");
        off.assert_same(&run(&[(0.0, heads, "adjustable = true")]), "the gate table");
    }
}

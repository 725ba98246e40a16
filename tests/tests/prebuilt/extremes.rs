//! Rows that hold what no model should: the largest numbers that a profile can put there. They stay where they are: a rule
//! whose dose is 0 on a row leaves the row as it is, whatever is in it, and other rows keep every bit.

use std::fs;

use evenkeel_model::{Arch, ControlVector, FileType, TINY_EMBD, TINY_LAYERS};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use crate::safetensors::{Tensor, write};

const ARCHS: [Arch; 3] = [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe];
const LAST: u32 = TINY_LAYERS - 1;

/// A model, `v.gguf` with a largest value of 1, and files for every operator.
pub(super) fn bench(arch: Arch) -> (Scratch, Decode) {
    let scratch = Scratch::new();
    let model = scratch.model(arch, FileType::F32);
    let random = |seed| ControlVector::random(arch.name(), TINY_EMBD, 1..TINY_LAYERS, seed);
    let mut v = random(1);
    for direction in v.directions.values_mut() {
        let largest = direction.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        direction.iter_mut().for_each(|x| *x /= largest);
    }
    v.write(&scratch.path("v.gguf")).expect("a vector is written");
    random(2).write(&scratch.path("w.gguf")).expect("a vector is written");
    let tensors = |name: &str, v: &ControlVector, matrix: bool| -> Vec<Tensor> {
        let shape = |n: usize| if matrix { vec![1, n] } else { vec![n] };
        v.directions.iter().map(|(layer, d)| (format!("{name}.{layer}"), shape(d.len()), d.clone())).collect()
    };
    let one = |name: &str| -> Vec<Tensor> {
        (1..TINY_LAYERS).map(|layer| (format!("{name}.{layer}"), vec![1], vec![0.5])).collect()
    };
    let eraser = [tensors("read", &random(3), true), tensors("write", &random(4), true), one("mean")].concat();
    let feature = [tensors("encoder", &random(3), false), tensors("decoder", &random(4), false), one("bias")].concat();
    fs::write(scratch.path("eraser.safetensors"), write(&eraser)).expect("an eraser is written");
    fs::write(scratch.path("feature.safetensors"), write(&feature)).expect("a feature is written");
    let decode = Decode { sequences: 2, ubatch: 5, capture: true, ..Decode::new(&model) };
    (scratch, decode)
}

/// One rule of every operator on a layer, with more keys.
pub(super) fn every_operator(profile: Profile, layers: &str, keys: &str) -> Profile {
    let named = |profile: Profile, key: &str, file: &str, keys: &str| {
        let number = profile.text().matches("[[steer]]").count();
        let rule = format!("[[steer]]\nname = \"rule-{number}\"\n{key} = \"{file}\"\nlayers = {layers}\n{keys}");
        profile.then(&rule)
    };
    let vectors = [
        "operator = \"project\"".to_owned(),
        "operator = \"clamp\"\nmin = -0.1\nmax = 0.1".to_owned(),
        "operator = \"rotate\"\nplane = \"v.gguf\"\nangle = 30".to_owned(),
        "unit = \"norm\"".to_owned(),
        "operator = \"add\"".to_owned(),
    ];
    let profile =
        vectors.iter().fold(profile, |p, operator| named(p, "direction", "w.gguf", &format!("{operator}\n{keys}")));
    let profile = named(profile, "eraser", "eraser.safetensors", &format!("operator = \"affine\"\n{keys}"));
    named(profile, "feature", "feature.safetensors", &format!("operator = \"sae\"\ntarget = 2\n{keys}"))
}

pub(super) fn column(recording: &Recording, name: &str) -> Vec<Vec<f32>> {
    recording.captures.iter().filter(|c| c.name == name).flat_map(|c| c.rows.clone()).collect()
}

/// Bits, with one value for whatever is no number.
pub(super) fn bits(rows: &[Vec<f32>]) -> Vec<u32> {
    rows.iter().flatten().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

#[test]
fn a_row_that_is_off_keeps_what_it_holds() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let (scratch, decode) = bench(arch);
        let run = |profile: &Profile| host.with(&decode, Door::Preload, &scratch.profile(profile));
        let at = format!("[{LAST}]");
        let large = Profile::empty().and_rule_on(&at, "v.gguf", "strength = 1e15");
        let larger = large.clone().and_rule_on(&at, "v.gguf", "strength = 1e15\nadjustable = true");
        type Is = fn(&f32) -> bool;
        let cases: [(&str, Profile, Is); 2] =
            [("large", large, |v| v.abs() > 9e14), ("larger", larger, |v| v.abs() > 1.9e15)];
        // A condition that never holds: the dose of these rules is 0 on every row.
        let never = "when = { similar-to = \"w.gguf\", layer = 1, above = 0.999 }";
        for (what, profile, is) in cases {
            let name = format!("l_out-{LAST}");
            let held = column(&run(&profile), &name);
            assert!(held.iter().flatten().any(is), "{arch:?}: rows hold what is {what}");
            let gated = column(&run(&every_operator(profile, &at, never)), &name);
            assert_eq!(bits(&held), bits(&gated), "{arch:?}: {what}");
        }
    }
}

/// One row is made hostile, at a layer after which no other row reads it: the row beside it in the same micro-batch, and all
/// before it, are as without the library.
#[test]
fn a_hostile_row_is_alone() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        for flash in [false, true] {
            let (scratch, decode) = bench(arch);
            let decode = Decode { flash, ..decode };
            let plain = host.plain(&decode);
            // The last row of the first sequence: a direction that is this row, and no other.
            let rows = column(&plain, "l_out-2");
            let hostile = rows.len() - 2;
            let own = [(2, rows[hostile].clone())].into_iter().collect();
            ControlVector { directions: own, ..ControlVector::random(arch.name(), TINY_EMBD, 2..3, 1) }
                .write(&scratch.path("own.gguf"))
                .expect("a vector is written");
            let when = "when = { similar-to = \"own.gguf\", layer = 2, above = 0.99999 }";
            let at = format!("[{LAST}]");
            let one = Profile::empty().and_rule_on(&at, "v.gguf", &format!("strength = 1e14\n{when}"));
            let more = one.clone().and_rule_on(&at, "v.gguf", &format!("strength = 1e15\n{when}"));
            for profile in [every_operator(one, &at, when), every_operator(more, &at, when)] {
                let recording = host.with(&decode, Door::Preload, &scratch.profile(&profile));
                let (before, after) =
                    (column(&plain, &format!("l_out-{LAST}")), column(&recording, &format!("l_out-{LAST}")));
                assert_eq!(before.len(), after.len());
                for (row, (before, after)) in before.iter().zip(&after).enumerate() {
                    let same = bits(std::slice::from_ref(before)) == bits(std::slice::from_ref(after));
                    assert_eq!(same, row != hostile, "{arch:?}, flash attention {flash}: row {row} of {}", rows.len());
                }
                assert!(after[hostile].iter().any(|v| !v.is_finite() || v.abs() > 1e13), "the row is hostile");
                for (row, (a, b)) in plain.rows.iter().zip(&recording.rows).enumerate() {
                    assert_eq!(a == b, row != hostile, "{arch:?}, flash attention {flash}: logits of {}", a.label);
                }
            }
        }
    }
}

/// A strength is a factor, bit for bit: `v` at 2 is `2v` at 1, and `v` at −2 its opposite, so that both are nothing.
#[test]
fn a_strength_is_a_factor() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let scratch = Scratch::new();
        let decode = Decode { sequences: 2, ubatch: 5, ..Decode::new(&scratch.model(arch, FileType::F32)) };
        let v = scratch.vector(arch);
        v.clone().scaled(2.0).write(&scratch.path("double.gguf")).expect("a vector is written");
        let run = |profile: &Profile| host.with(&decode, Door::Preload, &scratch.profile(profile));
        let (twice, double) = (run(&Profile::add("v.gguf", 2.0)), run(&Profile::add("double.gguf", 1.0)));
        twice.assert_same(&double, &format!("{arch:?}: v at 2 and 2v"));
        let plain = host.plain(&decode);
        plain.assert_all_differ(&twice, "v at 2");
        let both = Profile::add("v.gguf", 2.0).and_add("v.gguf", -2.0, "\"all\"");
        plain.assert_same(&run(&both), &format!("{arch:?}: v at 2 and at -2"));
    }
}

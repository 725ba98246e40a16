//! `affine` and `sae` on a real host, against references in float64.

use std::collections::BTreeMap;
use std::fs;

use evenkeel_model::{Arch, ControlVector, TINY_EMBD, TINY_LAYERS};
use evenkeel_tests::host::CHost;
use evenkeel_tests::{Door, Profile, Recording};

use crate::float64::{along, dot, unit, wide};
use crate::operators::prepare;
use crate::safetensors::{Tensor, write};

const ARCHS: [Arch; 3] = [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe];

/// The rows before and after the rules of a layer.
fn rows(recording: &Recording, layer: u32) -> Vec<(Vec<f64>, Vec<f64>)> {
    let all = |name: &str| {
        let found = recording.captures.iter().filter(|c| c.name == name).flat_map(|c| &c.rows);
        found.map(|row| wide(row)).collect::<Vec<_>>()
    };
    let (before, after) = (all(&format!("ek.l_out-{layer}")), all(&format!("l_out-{layer}")));
    assert!(before.len() == after.len() && before.len() > 50, "{} rows", before.len());
    before.into_iter().zip(after).collect()
}

/// Checks every row of layers 2 and 3 against the formula.
fn check(recording: &Recording, what: &str, formula: impl Fn(&mut Vec<f64>, u32)) {
    for layer in [2, 3] {
        let (mut error, mut power, mut changed) = (0.0, 0.0, 0.0);
        for (before, after) in rows(recording, layer) {
            let mut expected = before.clone();
            formula(&mut expected, layer);
            for ((x, expected), got) in before.iter().zip(&expected).zip(&after) {
                error += (expected - got).powi(2);
                changed += (expected - x).powi(2);
                power += expected * expected;
            }
        }
        assert!(error <= 1e-10 * power, "{what}, layer {layer}: NMSE {:e}", error / power);
        assert!(changed > 1e-4 * power, "{what}, layer {layer}: nothing changed");
    }
}

fn random(arch: Arch, seed: u64) -> BTreeMap<u32, Vec<f32>> {
    ControlVector::random(arch.name(), TINY_EMBD, 1..TINY_LAYERS, seed).scaled(0.125).directions
}

/// A tensor per layer: the values of several vectors.
fn tensors(name: &str, vectors: &[&BTreeMap<u32, Vec<f32>>], flat: bool) -> Vec<Tensor> {
    let tensor = |layer: &u32| {
        let values: Vec<f32> = vectors.iter().flat_map(|v| v[layer].clone()).collect();
        let width = values.len() / vectors.len();
        (format!("{name}.{layer}"), if flat { vec![width] } else { vec![vectors.len(), width] }, values)
    };
    vectors[0].keys().map(tensor).collect()
}

/// The same numbers at every layer.
fn numbers(name: &str, values: &[f32]) -> Vec<Tensor> {
    (1..TINY_LAYERS).map(|layer| (format!("{name}.{layer}"), vec![values.len()], values.to_vec())).collect()
}

#[test]
fn an_eraser_is_its_closed_form() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let (scratch, decode, _) = prepare(arch);
        let vectors: Vec<_> = (20..26).map(|seed| random(arch, seed)).collect();
        let (reads, writes): (Vec<_>, Vec<_>) = (vectors[..3].iter().collect(), vectors[3..].iter().collect());
        let mean = [0.3, -0.2, 0.1];
        let file = [tensors("read", &reads, false), tensors("write", &writes, false), numbers("mean", &mean)].concat();
        fs::write(scratch.path("eraser.safetensors"), write(&file)).expect("an eraser is written");
        for (keys, fraction) in [("", 1.0), ("fraction = 0.5", 0.5), ("fraction = 0.25\nadjustable = true", 0.25)] {
            let keys = format!("operator = \"affine\"\n{keys}");
            let profile = Profile::empty().and_file("eraser", "eraser.safetensors", &keys);
            let recording = host.with(&decode, Door::Preload, &scratch.profile(&profile));
            check(&recording, &format!("{arch:?}, {keys}"), |x, layer| {
                let read = |(r, m): (&&BTreeMap<u32, Vec<f32>>, &f32)| dot(&wide(&r[&layer]), x) - f64::from(*m);
                let u: Vec<f64> = reads.iter().zip(&mean).map(read).collect();
                writes.iter().zip(u).for_each(|(w, u)| along(x, &wide(&w[&layer]), -fraction * u));
            });
        }
    }
}

/// With one row that is read and written, what is left along it is the mean; erasing twice is erasing once.
#[test]
fn an_eraser_of_one_row_leaves_the_mean() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let (scratch, decode, _) = prepare(arch);
        let line: BTreeMap<u32, Vec<f32>> = random(arch, 30)
            .into_iter()
            .map(|(layer, v)| (layer, unit(&wide(&v)).into_iter().map(|x| x as f32).collect()))
            .collect();
        let file = [tensors("read", &[&line], false), tensors("write", &[&line], false), numbers("mean", &[0.25])];
        fs::write(scratch.path("line.safetensors"), write(&file.concat())).expect("an eraser is written");
        let rule = |profile: Profile| profile.and_file("eraser", "line.safetensors", "operator = \"affine\"");
        let run = |profile: &Profile| host.with(&decode, Door::Preload, &scratch.profile(profile));
        let (once, twice) = (run(&rule(Profile::empty())), run(&rule(rule(Profile::empty()))));
        for recording in [&once, &twice] {
            for layer in [2, 3] {
                for (_, after) in rows(recording, layer) {
                    let left = dot(&wide(&line[&layer]), &after);
                    assert!((left - 0.25).abs() < 1e-5, "{arch:?}, layer {layer}: {left}");
                }
            }
        }
        let (apart, effect) = (once.distance(&twice), once.distance(&host.plain(&decode)));
        assert!(apart < 1e-3 * effect, "{arch:?}: erased twice is {apart:e} of {effect:e} apart");
    }
}

#[test]
fn a_feature_is_held_at_its_target() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let (scratch, decode, _) = prepare(arch);
        let (encoder, decoder, bias) = (random(arch, 40), random(arch, 41), 0.05);
        let file =
            [tensors("encoder", &[&encoder], true), tensors("decoder", &[&decoder], true), numbers("bias", &[bias])];
        fs::write(scratch.path("feature.safetensors"), write(&file.concat())).expect("a feature is written");
        for target in [0.0, 2.0] {
            let keys = format!("operator = \"sae\"\ntarget = {target:?}");
            let profile = Profile::empty().and_file("feature", "feature.safetensors", &keys);
            let recording = host.with(&decode, Door::Preload, &scratch.profile(&profile));
            check(&recording, &format!("{arch:?}, {keys}"), |x, layer| {
                let value = (dot(&wide(&encoder[&layer]), x) + f64::from(bias)).max(0.0);
                along(x, &wide(&decoder[&layer]), target - value);
            });
        }
    }
}

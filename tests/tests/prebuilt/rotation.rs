//! `rotate` on a real host: against a reference in float64, and what rotations are known for.

use std::collections::BTreeMap;

use evenkeel_model::{Arch, ControlVector};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use crate::float64::{along, dot, unit, wide};
use crate::operators::prepare;

const ARCHS: [Arch; 3] = [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe];

fn turn(angle: &str) -> String {
    format!("operator = \"rotate\"\nplane = \"near-v.gguf\"\nangle = {angle}")
}

fn run(host: &CHost, scratch: &Scratch, decode: &Decode, rules: &[String]) -> Recording {
    let profile = rules.iter().fold(Profile::empty(), |profile, keys| profile.and_rule("v.gguf", keys));
    host.with(decode, Door::Preload, &scratch.profile(&profile))
}

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

/// `x` turned by `angle`: the component in the plane has its polar angle increased.
fn rotated(x: &[f64], v: &[f64], w: &[f64], angle: f64) -> Vec<f64> {
    let first = unit(v);
    let mut second = w.to_vec();
    along(&mut second, &first, -dot(&first, w));
    let second = unit(&second);
    let (a, b) = (dot(&first, x), dot(&second, x));
    let (length, at) = (a.hypot(b), b.atan2(a) + angle.to_radians());
    let mut y = x.to_vec();
    along(&mut y, &first, length * at.cos() - a);
    along(&mut y, &second, length * at.sin() - b);
    y
}

/// Normalised mean squared error.
fn error(rows: &[(Vec<f64>, Vec<f64>)]) -> f64 {
    let gap = |(a, b): &(Vec<f64>, Vec<f64>)| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    rows.iter().map(gap).sum::<f64>() / rows.iter().map(|(a, _)| dot(a, a)).sum::<f64>()
}

#[test]
fn a_rotation_is_its_formula_and_keeps_the_norm() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let (scratch, decode, vectors): (_, _, BTreeMap<_, ControlVector>) = prepare(arch);
        for angle in [30.0, -90.0, 180.0, 300.0] {
            let recording = run(&host, &scratch, &decode, &[turn(&format!("{angle:?}"))]);
            for layer in [2, 3] {
                let at = |file: &str| wide(&vectors[file].directions[&layer]);
                let (v, w) = (at("v.gguf"), at("near-v.gguf"));
                let rows = rows(&recording, layer);
                for (before, after) in &rows {
                    let (before, after) = (dot(before, before).sqrt(), dot(after, after).sqrt());
                    assert!((after / before - 1.0).abs() < 1e-6, "{arch:?}, {angle}: norm {before} became {after}");
                }
                let pair = |(x, y): &(Vec<f64>, Vec<f64>)| (rotated(x, &v, &w, angle), y.clone());
                let error = error(&rows.iter().map(pair).collect::<Vec<_>>());
                assert!(error <= 1e-10, "{arch:?}, {angle} degrees, layer {layer}: NMSE {error:e}");
            }
        }
    }
}

#[test]
fn rotations_undo_each_other() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let (scratch, decode, _) = prepare(arch);
        for angle in [30.0, 135.0] {
            let there = run(&host, &scratch, &decode, &[turn(&format!("{angle:?}"))]);
            let back = run(&host, &scratch, &decode, &[turn(&format!("{angle:?}")), turn(&format!("{:?}", -angle))]);
            for layer in [2, 3] {
                let (there, back) = (error(&rows(&there, layer)), error(&rows(&back, layer)));
                assert!(there > 1e-4, "{arch:?}: a rotation by {angle} degrees changes {there:e}");
                assert!(back <= 1e-12, "{arch:?}: there and back is {back:e} of what it was");
            }
        }
    }
}

#[test]
fn a_rotation_by_nothing_is_nothing_and_the_gate_table_changes_no_bit() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let (scratch, decode, _) = prepare(arch);
        let decode = Decode { capture: false, ..decode };
        let rules = |keys: &[String]| run(&host, &scratch, &decode, keys);
        let plain = host.plain(&decode);
        plain.assert_same(&rules(&[turn("0"), turn("360.0")]), "no angle");
        let turned = rules(&[turn("45")]);
        plain.assert_all_differ(&turned, "45 degrees");
        turned.assert_same(&rules(&[turn("45") + "\nadjustable = true"]), "the gate table");
    }
}

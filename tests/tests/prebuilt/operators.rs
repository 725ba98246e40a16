//! Every operator on a real host: the residual stream that a rule reads goes in, the one that it leaves is compared with
//! an independent reference in float64, rules applied one by one. And the laws that hold bit for bit.

use std::collections::BTreeMap;

use evenkeel_model::{Arch, ControlVector, FileType, TINY_EMBD, TINY_LAYERS};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use crate::float64::{along, by_norm, clamp, dot, project, unit, wide};

/// What a rule does to a row, given its direction at the layer.
type Operator = fn(&mut [f64], &[f64]);

/// One profile: per rule its direction, its keys, its reference.
struct Case {
    what: &'static str,
    rules: &'static [(&'static str, &'static str, Operator)],
}

const CASES: &[Case] = &[
    Case { what: "project", rules: &[("v.gguf", "operator = \"project\"", |x, v| project(x, v, 1.0))] },
    Case {
        what: "half of it",
        rules: &[("v.gguf", "operator = \"project\"\nfraction = 0.5", |x, v| project(x, v, 0.5))],
    },
    Case {
        what: "project through the gate table",
        rules: &[("v.gguf", "operator = \"project\"\nfraction = 0.25\nadjustable = true", |x, v| project(x, v, 0.25))],
    },
    Case {
        what: "clamp",
        rules: &[("v.gguf", "operator = \"clamp\"\nmin = -0.05\nmax = 0.1", |x, v| clamp(x, v, -0.05, 0.1))],
    },
    Case {
        what: "clamp on one side",
        rules: &[("v.gguf", "operator = \"clamp\"\nmin = 0.2", |x, v| clamp(x, v, 0.2, f64::INFINITY))],
    },
    Case {
        what: "add in units of the norm",
        rules: &[("v.gguf", "strength = -0.3\nunit = \"norm\"", |x, v| by_norm(x, v, -0.3))],
    },
    Case {
        what: "add in units of the norm through the gate table, twice",
        rules: &[
            ("v.gguf", "strength = 0.2\nunit = \"norm\"\nadjustable = true", |x, v| by_norm(x, v, 0.2)),
            ("near-v.gguf", "strength = 0.5\nunit = \"norm\"\nadjustable = true", |x, v| by_norm(x, v, 0.5)),
        ],
    },
    Case {
        what: "add, project a direction near it, clamp, add",
        rules: &[
            ("v.gguf", "strength = 0.5", |x, v| along(x, v, 0.5)),
            ("near-v.gguf", "operator = \"project\"\nfraction = 0.75", |x, v| project(x, v, 0.75)),
            ("v.gguf", "operator = \"clamp\"\nmax = 0.3", |x, v| clamp(x, v, f64::NEG_INFINITY, 0.3)),
            ("near-v.gguf", "strength = -2.0\nadjustable = true", |x, v| along(x, v, -2.0)),
        ],
    },
];

/// A model, `v.gguf`, and `near-v.gguf` at a cosine of about 0.9 to it.
pub fn prepare(arch: Arch) -> (Scratch, Decode, BTreeMap<&'static str, ControlVector>) {
    let scratch = Scratch::new();
    let model = scratch.model(arch, FileType::F32);
    let v = scratch.vector(arch);
    let mut near = v.clone();
    let noise = ControlVector::random(arch.name(), TINY_EMBD, 1..TINY_LAYERS, 7).scaled(0.12);
    for (layer, direction) in &mut near.directions {
        direction.iter_mut().zip(&noise.directions[layer]).for_each(|(v, noise)| *v += noise);
    }
    near.write(&scratch.path("near-v.gguf")).expect("a vector is written");
    // Two sequences and micro-batches of 5: rows of one evaluation belong to different places.
    let decode = Decode { sequences: 2, ubatch: 5, capture: true, ..Decode::new(&model) };
    (scratch, decode, [("v.gguf", v), ("near-v.gguf", near)].into())
}

/// Normalised mean squared error of all captured sites, and how many rows were compared.
fn error(recording: &Recording, case: &Case, vectors: &BTreeMap<&str, ControlVector>) -> (f64, usize) {
    let (mut error, mut power, mut rows) = (0.0, 0.0, 0);
    let mut before = BTreeMap::new();
    for capture in &recording.captures {
        if let Some(name) = capture.name.strip_prefix("ek.") {
            before.insert(name.to_owned(), capture.rows.clone());
            continue;
        }
        let Some(read) = before.remove(&capture.name) else { continue };
        let layer: u32 = capture.name["l_out-".len()..].parse().expect("a layer");
        for (read, left) in read.iter().zip(&capture.rows) {
            let mut x = wide(read);
            for (file, _, operator) in case.rules {
                operator(&mut x, &wide(&vectors[file].directions[&layer]));
            }
            for (expected, got) in x.iter().zip(left) {
                error += (expected - f64::from(*got)).powi(2);
                power += expected * expected;
            }
            rows += 1;
        }
    }
    (error / power, rows)
}

fn profile(case: &Case) -> Profile {
    case.rules.iter().fold(Profile::empty(), |profile, (file, keys, _)| profile.and_rule(file, keys))
}

#[test]
fn operators_are_their_formulas() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe] {
        let (scratch, decode, vectors) = prepare(arch);
        for case in CASES {
            let recording = host.with(&decode, Door::Preload, &scratch.profile(&profile(case)));
            let (error, rows) = error(&recording, case, &vectors);
            assert!(rows > 100, "{arch:?}, {}: {rows} rows were captured", case.what);
            assert!(error <= 1e-10, "{arch:?}, {}: NMSE {error:e}", case.what);
        }
    }
}

#[test]
fn laws_hold_bit_for_bit() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe] {
        let (scratch, decode, _) = prepare(arch);
        let decode = Decode { capture: false, ..decode };
        let rules = |rules: &[(&str, &str)]| {
            let profile = rules.iter().fold(Profile::empty(), |profile, (file, keys)| profile.and_rule(file, keys));
            host.with(&decode, Door::Preload, &scratch.profile(&profile))
        };
        let plain = host.plain(&decode);
        let once = rules(&[("v.gguf", "operator = \"project\"")]);
        plain.assert_all_differ(&once, "a projection");
        once.assert_same(&rules(&[("minus-v.gguf", "operator = \"project\"")]), "v and -v are one line");
        let twice = [("v.gguf", "operator = \"project\""), ("v.gguf", "operator = \"project\"")];
        once.assert_same(&rules(&twice), "project twice is once");
        once.assert_same(&rules(&[("v.gguf", "operator = \"project\"\nadjustable = true")]), "the gate table");
        plain.assert_same(&rules(&[("v.gguf", "operator = \"clamp\"\nmin = -1e6\nmax = 1e6")]), "a wide clamp");
        let zero = "operator = \"project\"\nfraction = 0.0\nadjustable = true";
        plain.assert_same(&rules(&[("v.gguf", zero)]), "fraction 0 in the graph");
        let both = rules(&[("v.gguf", "operator = \"project\""), ("near-v.gguf", "operator = \"project\"")]);
        let turned = rules(&[("near-v.gguf", "operator = \"project\""), ("v.gguf", "operator = \"project\"")]);
        // Another basis of the same subspace: equal but for rounding.
        let (apart, effect) = (both.distance(&turned), both.distance(&plain));
        assert!(apart < 1e-3 * effect, "{arch:?}: a subspace has no order: {apart:e} of {effect:e}");
    }
}

/// Consecutive whole projections leave nothing of either direction, whatever the angle between them.
#[test]
fn a_subspace_is_gone() {
    let (scratch, decode, vectors) = prepare(Arch::Llama);
    let profile =
        Profile::empty().and_rule("v.gguf", "operator = \"project\"").and_rule("near-v.gguf", "operator = \"project\"");
    let recording = CHost::node_llama_cpp().with(&decode, Door::Preload, &scratch.profile(&profile));
    let (mut rows, mut had) = (0, 0.0f64);
    for capture in recording.captures.iter().filter(|c| c.name.ends_with("l_out-2") || c.name.ends_with("l_out-3")) {
        let layer: u32 = capture.name.rsplit('-').next().unwrap().parse().unwrap();
        for row in capture.rows.iter().map(|row| wide(row)) {
            for vector in vectors.values() {
                let left = dot(&unit(&wide(&vector.directions[&layer])), &row).abs() / dot(&row, &row).sqrt();
                if capture.name.starts_with("ek.") {
                    had = had.max(left);
                } else {
                    assert!(left < 1e-6, "{}: {left:e}", capture.name);
                    rows += 1;
                }
            }
        }
    }
    assert!(rows > 100 && had > 0.05, "{rows} rows, of which the most had {had} along a direction");
}

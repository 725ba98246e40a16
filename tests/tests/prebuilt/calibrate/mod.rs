//! Calibration of labels on a real host, against a computation in float64 that has nothing but the host's own logits.

mod content_free;
mod odd;
mod online;
pub(super) mod served;

use std::fs;

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use crate::safetensors::{Tensor, write};

const ARCHS: [Arch; 3] = [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe];

/// The tiny models' tokens: three special ones, all bytes, three signs, letters, letters with a space in front.
const LETTERS: usize = 3 + 256 + 3;

/// A letter is a token as a byte, by itself and with a space in front.
pub(super) fn letter(c: char) -> Vec<usize> {
    let at = c as usize - 'a' as usize;
    vec![3 + c as usize, LETTERS + at, LETTERS + 26 + at]
}

fn digit(c: char) -> Vec<usize> {
    vec![3 + c as usize]
}

/// From the labels' shares to others.
type Formula = Box<dyn Fn(&[f64]) -> Vec<f64>>;

struct Case {
    what: &'static str,
    labels: Vec<(&'static str, Vec<usize>)>,
    keys: &'static str,
    file: Vec<(&'static str, Vec<f32>)>,
    formula: Formula,
}

/// What [`Case::file`] is written as.
const FILE: &str = "fitted.safetensors";

pub(super) fn softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = z.iter().map(|z| (z - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}

pub(super) fn each(q: &[f64], f: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    softmax(&q.iter().enumerate().map(|(i, q)| f(i, *q)).collect::<Vec<_>>())
}

/// The tilt of `q` with this mean, by bisection; no nearer to the lowest and highest score than a share of their distance.
fn with_mean(q: &[f64], scores: &[f64], target: f64) -> Vec<f64> {
    let target = target.clamp(1.0 + 4e-4, 5.0 - 4e-4);
    let tilted = |lambda: f64| each(q, |i, q| q.ln() + lambda * scores[i]);
    let mean = |p: &[f64]| p.iter().zip(scores).map(|(p, s)| p * s).sum::<f64>();
    let (mut low, mut high) = (-1e3, 1e3);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if mean(&tilted(middle)) < target { low = middle } else { high = middle }
    }
    tilted(low)
}

fn mean(q: &[f64]) -> f64 {
    q.iter().enumerate().map(|(i, q)| q * (i + 1) as f64).sum()
}

const SCORES: [f64; 5] = [1.0, 2.0, 3.0, 4.0, 5.0];

fn cases() -> Vec<Case> {
    let letters = || vec![("a", letter('a')), ("b", letter('b')), ("c", letter('c'))];
    let ragged = || vec![("7", digit('7')), ("z", letter('z')), ("9", digit('9')), ("q", letter('q'))];
    let ratings = || ["1", "2", "3", "4", "5"].map(|d| (d, digit(d.chars().next().unwrap()))).to_vec();
    let scale = [1.5, 0.75, 2.0];
    let offset = [0.5, -1.0, 0.25];
    let prior: [f64; 4] = [0.5, 0.05, 0.25, 0.2];
    let log_prior = move |q: &[f64]| each(q, |i, q| q.ln() - prior[i].ln());
    let wide = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let priors = || vec![("prior", wide(&prior))];
    // On the tiny models' ratings, whose means are near 3.
    let curve = |m: f64| if m < 3.0 { 2.0 + 0.5 * (m - 1.0) } else { 3.0 + 0.75 * (m - 3.0) };
    vec![
        Case {
            what: "temperature",
            labels: letters(),
            keys: "method = \"temperature\"\ntemperature = 2.5",
            file: vec![],
            formula: Box::new(|q| each(q, |_, q| q.ln() / 2.5)),
        },
        Case {
            what: "affine",
            labels: letters(),
            keys: "method = \"affine\"\nfile = \"fitted.safetensors\"",
            file: vec![("scale", wide(&scale)), ("offset", wide(&offset))],
            formula: Box::new(move |q| each(q, |i, q| scale[i] * q.ln() + offset[i])),
        },
        Case {
            what: "affine of the probabilities",
            labels: letters(),
            keys: "method = \"affine\"\nform = \"zhao\"\nfile = \"fitted.safetensors\"",
            file: vec![("scale", wide(&scale)), ("offset", wide(&offset))],
            formula: Box::new(move |q| each(q, |i, q| scale[i] * q + offset[i])),
        },
        Case {
            what: "contextual",
            labels: ragged(),
            keys: "method = \"contextual\"\nprior = \"fitted.safetensors\"",
            file: priors(),
            formula: Box::new(log_prior),
        },
        Case {
            what: "contextual, as Zhao et al. write it",
            labels: ragged(),
            keys: "method = \"contextual\"\nform = \"zhao\"\nprior = \"fitted.safetensors\"",
            file: priors(),
            formula: Box::new(move |q| each(q, |i, q| q / prior[i])),
        },
        Case {
            what: "batch",
            labels: ragged(),
            keys: "method = \"batch\"\nprior = \"fitted.safetensors\"",
            file: priors(),
            formula: Box::new(log_prior),
        },
        Case {
            what: "linear",
            labels: ratings(),
            keys: "method = \"linear\"\nfile = \"fitted.safetensors\"",
            file: vec![("line", vec![0.75, 0.75])],
            formula: Box::new(|q| with_mean(q, &SCORES, 0.75 * mean(q) + 0.75)),
        },
        Case {
            what: "tweedie",
            labels: ratings(),
            keys: "method = \"tweedie\"\nfile = \"fitted.safetensors\"",
            file: vec![("knots", vec![1.0, 3.0, 5.0]), ("values", vec![2.0, 3.0, 4.5])],
            formula: Box::new(move |q| with_mean(q, &SCORES, curve(mean(q)))),
        },
    ]
}

fn table(case: &Case, keys: &str) -> String {
    let labels: Vec<_> = case.labels.iter().map(|(text, _)| format!("\"{text}\"")).collect();
    format!("[[calibrate]]\nname = \"labels\"\nlabels = [{}]\n{}\n{keys}\n", labels.join(", "), case.keys)
}

fn write_file(scratch: &Scratch, case: &Case) {
    let tensors: Vec<Tensor> =
        case.file.iter().map(|(name, values)| ((*name).to_owned(), vec![values.len()], values.clone())).collect();
    fs::write(scratch.path(FILE), write(&tensors)).expect("a file is written");
}

pub(super) fn values(bits: &[u32]) -> Vec<f64> {
    bits.iter().map(|bits| f64::from(f32::from_bits(*bits))).collect()
}

/// What the logits of a row should be, and what the labels have together.
fn expected(case: &Case, raw: &[f64]) -> (Vec<f64>, f64) {
    let p = softmax(raw);
    let of = |tokens: &[usize]| tokens.iter().map(|t| p[*t]).sum::<f64>();
    let mass: f64 = case.labels.iter().map(|(_, tokens)| of(tokens)).sum();
    let q: Vec<f64> = case.labels.iter().map(|(_, tokens)| of(tokens) / mass).collect();
    let mut after = raw.to_vec();
    for (((_, tokens), q), to) in case.labels.iter().zip(&q).zip((case.formula)(&q)) {
        tokens.iter().for_each(|t| after[*t] += to.ln() - q.ln());
    }
    (after, mass)
}

/// The median of the labels' mass over all rows: half of them are above it.
fn median_mass(case: &Case, plain: &Recording) -> f64 {
    let mut masses: Vec<f64> = plain.rows.iter().map(|row| expected(case, &values(&row.logits)).1).collect();
    masses.sort_by(f64::total_cmp);
    let middle = masses.len() / 2;
    0.5 * (masses[middle - 1] + masses[middle])
}

#[test]
fn methods_are_their_formulas_and_other_rows_keep_every_bit() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        let decode = Decode { sequences: 2, ubatch: 5, ..Decode::new(&model) };
        let plain = host.plain(&decode);
        for case in cases() {
            write_file(&scratch, &case);
            let least = median_mass(&case, &plain) as f32;
            let keys = format!("at = \"any\"\nmin-label-mass = {least:?}");
            let profile = Profile::empty().with(&table(&case, &keys));
            let got = host.with(&decode, Door::Preload, &scratch.profile(&profile));
            let (mut acted, mut kept, mut most, mut moved) = (0, 0, 0.0f64, 0.0f64);
            for (before, after) in plain.rows.iter().zip(&got.rows) {
                assert_eq!(before.label, after.label);
                let raw = values(&before.logits);
                let (wanted, mass) = expected(&case, &raw);
                if mass <= f64::from(least) {
                    assert_eq!(before.logits, after.logits, "{arch:?}, {}: {}", case.what, before.label);
                    kept += 1;
                    continue;
                }
                acted += 1;
                let after = values(&after.logits);
                for ((wanted, got), raw) in wanted.iter().zip(&after).zip(&raw) {
                    most = most.max((wanted - got).abs());
                    moved = moved.max((wanted - raw).abs());
                }
                let labelled = |t: &usize| case.labels.iter().any(|(_, tokens)| tokens.contains(t));
                let others = (0..raw.len()).filter(|t| !labelled(t));
                others.for_each(|t| assert_eq!(raw[t].to_bits(), after[t].to_bits(), "token {t}"));
                let together = expected(&case, &after).1;
                assert!((together - mass).abs() < 1e-5 * mass, "{}: {mass} became {together}", case.what);
            }
            println!("{arch:?}, {}: {acted} rows to {most:.1e} of up to {moved:.2}, {kept} kept", case.what);
            assert!(acted > 10 && kept > 10, "{arch:?}, {}: {acted} and {kept} rows", case.what);
            // A mean to a step of the last level, everything else to the rounding of F32.
            let bound = if case.what == "linear" || case.what == "tweedie" { 5e-4 } else { 1e-5 };
            assert!(most < bound && moved > 0.05, "{arch:?}, {}: {most:e} of {moved:e}", case.what);
        }
    }
}

/// Whatever else the context does: the first generated token only, and then after a text only.
#[test]
fn only_the_rows_that_were_asked_for() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let decode = Decode { sequences: 2, ubatch: 5, last_only: true, ..Decode::new(&model) };
    let plain = host.plain(&decode);
    let case = &cases()[0];
    let run = |at: &str| {
        let profile = Profile::empty().with(&table(case, &format!("{at}\nmin-label-mass = 0")));
        host.with(&decode, Door::Preload, &scratch.profile(&profile))
    };
    let first = run("at = \"first\"");
    for (before, after) in plain.rows.iter().zip(&first.rows) {
        let prompt = before.label.starts_with("prompt");
        assert_eq!(before.logits != after.logits, prompt, "{}", before.label);
    }
    first.assert_same(&run(""), "`first` is the default");
    plain.assert_same(&run("at = { after = \"no text of this model\" }"), "a text that is not there");
}

/// Whichever way the library comes into the program: the same bits. An embedding program's gates are computed in the graph.
#[test]
fn every_way_in_gives_the_same_bits() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let decode = Decode { sequences: 2, ubatch: 5, last_only: true, ..Decode::new(&model) };
    let plain = host.plain(&decode);
    let case = &cases()[0];
    for at in ["first", "any"] {
        let keys = format!("at = \"{at}\"\nmin-label-mass = 0");
        let setting = scratch.profile(&Profile::empty().with(&table(case, &keys)));
        let hooked = host.with(&decode, Door::Preload, &setting);
        assert_ne!(hooked, plain, "{at}");
        for door in [Door::BackendPath, Door::Install, Door::Embed, Door::EmbedExported] {
            hooked.assert_same(&host.with(&decode, door, &setting), &format!("{door:?}, {at}"));
        }
    }
}

/// What is cached does not depend on a calibration, so steering gives the same beside one as without.
#[test]
fn steering_and_calibration_stand_side_by_side() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    scratch.vector(Arch::Llama);
    let decode = Decode { sequences: 2, ubatch: 5, ..Decode::new(&model) };
    let case = &cases()[1];
    write_file(&scratch, case);
    let steered = Profile::add("v.gguf", 1.0);
    let both = steered.clone().with(&table(case, "at = \"any\"\nmin-label-mass = 0"));
    let run = |profile: &Profile| host.with(&decode, Door::Preload, &scratch.profile(profile));
    let (steered, both) = (run(&steered), run(&both));
    let mut most = 0.0f64;
    for (before, after) in steered.rows.iter().zip(&both.rows) {
        let (wanted, _) = expected(case, &values(&before.logits));
        let gaps = wanted.iter().zip(values(&after.logits)).map(|(a, b)| (a - b).abs());
        most = gaps.fold(most, f64::max);
    }
    assert!(most < 1e-5, "{most:e}");
    steered.assert_all_differ(&both, "a calibration");
}

#[test]
fn what_cannot_be_calibrated_is_said() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let decode = Decode::new(&model);
    let plain = host.plain(&decode);
    let zero: Vec<Tensor> = vec![("prior".into(), vec![2], vec![1.0, 0.0])];
    fs::write(scratch.path("zero.safetensors"), write(&zero)).expect("a file is written");
    let short: Vec<Tensor> = vec![("prior".into(), vec![3], vec![0.2, 0.3, 0.5])];
    fs::write(scratch.path("three.safetensors"), write(&short)).expect("a file is written");
    let nan: Vec<Tensor> = vec![("prior".into(), vec![2], vec![f32::NAN, 0.5])];
    fs::write(scratch.path("nan.safetensors"), write(&nan)).expect("a file is written");
    for (labels, keys, says) in [
        ("[\"a\", \"perhaps\"]", "method = \"temperature\"\ntemperature = 2", "no single token of this model"),
        ("[\"a\", \" a\"]", "method = \"temperature\"\ntemperature = 2", "two labels have one token"),
        ("[\"a\", \"b\"]", "method = \"contextual\"\nprior = \"zero.safetensors\"", "the prior of \"b\""),
        ("[\"a\", \"b\"]", "method = \"contextual\"\nprior = \"three.safetensors\"", "got 3, allowed: 2"),
        ("[\"a\", \"b\"]", "method = \"contextual\"\nprior = \"nan.safetensors\"", "NaN"),
    ] {
        let text = format!("[[calibrate]]\nname = \"labels\"\nlabels = {labels}\n{keys}\n");
        let setting = scratch.profile(&Profile::empty().with(&text));
        let (finished, recording) = host.try_run(&decode, Some(Door::Preload), &setting);
        assert!(finished.stderr.contains(says), "{says}: {}", finished.stderr);
        plain.assert_same(&recording.expect("the host runs on"), says);
    }
}

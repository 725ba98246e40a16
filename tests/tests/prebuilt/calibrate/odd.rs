//! Rows with logits that are no finite numbers: what of them can be calibrated is, by the formula, and the others keep every
//! bit, the rows beside them included.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::Weights;
use evenkeel_tests::{Door, Profile, Recording, Scratch, Setting};

use super::{Case, cases, softmax, table, values, write_file};

/// Writes a copy of a model in which a row of a matrix begins with other values.
fn with_row(scratch: &Scratch, model: &Path, (matrix, row): (&str, usize), begin: &[f32]) -> PathBuf {
    let weights = Weights::read(model);
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let old: Vec<f32> = weights.row(matrix, row).iter().map(|w| *w as f32).collect();
    let (old, mut file) = (bytes(&old), fs::read(model).expect("the model"));
    let at = file.windows(old.len()).position(|found| found == old).expect("the row is in the file");
    let new = bytes(begin);
    file[at..at + new.len()].copy_from_slice(&new);
    let path = scratch.path("odd.gguf");
    fs::write(&path, file).expect("a model is written");
    path
}

/// What a row should be: itself, where the labels' mass is no number or not above the least.
fn wanted(case: &Case, raw: &[f64], least: f64) -> Option<Vec<f64>> {
    let p = softmax(raw);
    let masses: Vec<f64> = case.labels.iter().map(|(_, tokens)| tokens.iter().map(|t| p[*t]).sum()).collect();
    let mass: f64 = masses.iter().sum();
    if raw.iter().any(|x| x.is_nan() || *x == f64::INFINITY) || mass <= least {
        return None;
    }
    let q: Vec<f64> = masses.iter().map(|m| (m / mass).max(1e-30)).collect();
    let mut after = raw.to_vec();
    for (((_, tokens), q), to) in case.labels.iter().zip(&q).zip((case.formula)(&q)) {
        tokens.iter().for_each(|t| after[*t] += to.max(1e-30).ln() - q.ln());
    }
    Some(after)
}

/// How many rows have a NaN, +inf or -inf among their logits, in this order.
fn kinds(recording: &Recording) -> [usize; 3] {
    let with = |is: fn(f64) -> bool| recording.rows.iter().filter(|r| values(&r.logits).into_iter().any(is)).count();
    [with(f64::is_nan), with(|x| x == f64::INFINITY), with(|x| x == f64::NEG_INFINITY)]
}

/// Compares row by row; how many were calibrated.
fn compare(case: &Case, plain: &Recording, got: &Recording, what: &str) -> usize {
    let mut calibrated = 0;
    for (before, after) in plain.rows.iter().zip(&got.rows) {
        assert_eq!(before.label, after.label);
        let raw = values(&before.logits);
        let Some(wanted) = wanted(case, &raw, 0.0) else {
            assert_eq!(before.logits, after.logits, "{what}, {}: {}", case.what, before.label);
            continue;
        };
        calibrated += 1;
        for (token, (wanted, got)) in wanted.iter().zip(values(&after.logits)).enumerate() {
            let same = *wanted == got || (wanted - got).abs() < 5e-4;
            assert!(same, "{what}, {}, {}, token {token}: {wanted} {got}", case.what, before.label);
        }
    }
    calibrated
}

/// A run whose logits need not be finite.
fn recording(host: &CHost, decode: &Decode, door: Option<Door>, setting: &Setting) -> Recording {
    let (finished, recording) = host.try_run(decode, door, setting);
    recording.unwrap_or_else(|| panic!("{}", finished.stderr))
}

fn methods() -> Vec<Case> {
    cases().into_iter().filter(|c| ["temperature", "contextual", "linear"].contains(&c.what)).collect()
}

/// A token's logit that overflows in some rows: by sign of the activation +inf, −inf, or NaN where two such meet.
#[test]
fn logits_beyond_all_numbers() {
    let host = CHost::node_llama_cpp();
    for case in methods() {
        let label = case.labels[0].1[0];
        // A token of no label, and one of a label.
        for (token, whose) in [(20, "another token's"), (label, "a label's")] {
            let scratch = Scratch::new();
            write_file(&scratch, &case);
            let sound = scratch.model(Arch::Llama, FileType::F32);
            let model = with_row(&scratch, &sound, ("output.weight", token), &[3e38, -3e38]);
            let decode = Decode { sequences: 2, ubatch: 5, ..Decode::new(&model) };
            let plain = recording(&host, &decode, None, &Setting::new());
            let setting = scratch.profile(&Profile::empty().with(&table(&case, "at = \"any\"\nmin-label-mass = 0")));
            let got = recording(&host, &decode, Some(Door::Preload), &setting);
            let calibrated = compare(&case, &plain, &got, whose);
            let [nan, plus, minus] = kinds(&plain);
            println!("{}, {whose}: {nan} rows NaN, {plus} +inf, {minus} -inf; {calibrated} calibrated", case.what);
            assert!(nan > 0 && plus > 3 && minus > 3 && calibrated > 3, "{nan} {plus} {minus} {calibrated}");
            assert!(calibrated < plain.rows.len());
        }
    }
}

/// A token whose embedding is NaN: from it on, the host's own logits of that sequence are. The rows before it, and those of
/// the sequence beside it in the same micro-batches, are calibrated as ever.
#[test]
fn a_token_that_is_no_number() {
    let host = CHost::node_llama_cpp();
    let script =
        "feed 0:0:30,31,32,33,34,35 1:0:60,61,62,63,64,65\nfeed 0:6:99,36,37 1:6:66,67,68\nfeed 0:9:38 1:9:69\n";
    for case in methods() {
        let scratch = Scratch::new();
        write_file(&scratch, &case);
        let sound = scratch.model(Arch::Llama, FileType::F32);
        let model = with_row(&scratch, &sound, ("token_embd.weight", 99), &[f32::NAN]);
        let script = Some(script.to_owned());
        let decode = Decode { sequences: 2, separate: true, script, ..Decode::new(&model) };
        let plain = recording(&host, &decode, None, &Setting::new());
        let setting = scratch.profile(&Profile::empty().with(&table(&case, "at = \"any\"\nmin-label-mass = 0")));
        let got = recording(&host, &decode, Some(Door::Preload), &setting);
        let calibrated = compare(&case, &plain, &got, "NaN in the prompt");
        let [nan, ..] = kinds(&plain);
        assert_eq!((nan, calibrated), (4, 16), "{}", case.what);
    }
}

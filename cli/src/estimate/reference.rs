//! What scikit-learn finds on the same numbers (`cli/tests/fixtures/make_sklearn.py` wrote its figures).

use serde_json::Value;

use super::{Centre, Matrix, Scored, dot, logistic, moments, principal};

const ROWS: usize = 240;
const WIDTH: usize = 12;

/// The numbers of the script.
fn data() -> (Matrix, Vec<bool>) {
    let mut state = 1u64;
    let mut draw = || {
        state = (state * 1_103_515_245 + 12345) % (1 << 31);
        state as f64 / (1u64 << 31) as f64 - 0.5
    };
    let positive: Vec<bool> = (0..ROWS).map(|i| i % 3 == 0).collect();
    let mut values = Vec::new();
    for p in &positive {
        let common = draw();
        for k in 0..WIDTH {
            let shift = if *p && k % 5 == 0 { 0.9 } else { 0.0 };
            values.push((7.0 + draw() * (1 + k) as f64 + 3.0 * common * (k % 4) as f64 + shift) as f32);
        }
    }
    (Matrix { width: WIDTH, values }, positive)
}

#[test]
fn means_component_probe_and_scores_are_scikit_learns() {
    let whole: Value = serde_json::from_str(include_str!("../../tests/fixtures/sklearn.json")).expect("JSON");
    let list = |key: &str| -> Vec<f64> {
        whole[key].as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
    };
    let number = |key: &str| whole[key].as_f64().expect("a number");
    let (rows, positive) = data();
    let check = [f64::from(rows.values[0]), f64::from(rows.values[ROWS * WIDTH - 1])];
    assert_eq!(check.to_vec(), list("check"), "not the script's numbers");

    let weights = vec![1.0; ROWS];
    let m = moments(&rows, &weights, &positive).unwrap();
    let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(far(&m.difference(), &list("mean difference")) < 1e-12);

    let found = principal(&rows, &weights, &Centre::Point(&m.mean)).unwrap();
    let wanted = list("component");
    let sign = dot(&found, &wanted).signum();
    let found: Vec<f64> = found.iter().map(|x| x * sign).collect();
    assert!(far(&found, &wanted) < 1e-4, "{found:?}");

    let probe = logistic(&rows, &weights, &positive, &m, 1.0).unwrap();
    assert!(far(&probe.weights, &list("weights")) < 1e-4, "{probe:?}");
    assert!((probe.bias - number("bias")).abs() < 1e-4, "{probe:?}");

    let scored = Scored::new(rows.values.chunks_exact(WIDTH).map(|r| probe.logit(r)).collect(), positive);
    assert!((scored.area(&weights) - number("auroc")).abs() < 1e-4);
    assert!((scored.precision(&weights, scored.share(&weights)) - number("auprc")).abs() < 1e-4);
}

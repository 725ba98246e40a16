//! What low-rank updates become, computed against the formula in float64.

mod interpreter;
mod toy;

use std::sync::Arc;

use evenkeel_core::profile::{Operator, Tokens};
use evenkeel_core::{
    lower::{Lowered, Patch, lower},
    model::ModelFacts,
    plan::{Dose, GateIndex, Map, Plan, Probe, ProbeIndex, Rule, RuleIndex, Site, SitePlan, Term, Update, When},
};
use interpreter::evaluate;
use toy::Toy;

const N: usize = 6;

/// Values that look random and are the same everywhere.
fn noise(seed: u32, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) * 2.0 - 1.0
    };
    (0..n).map(|_| next() as f32).collect()
}

fn unit(seed: u32) -> Arc<[f32]> {
    let v = noise(seed, N);
    let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    v.into_iter().map(|x| x / norm).collect()
}

fn patch(terms: Vec<Term>) -> Patch {
    patch_with(terms, vec![])
}

fn patch_with(terms: Vec<Term>, probes: Vec<Probe>) -> Patch {
    let gated = terms.iter().any(|t| matches!(t, Term::Update { dose: Dose { gate: Some(_), .. }, .. }));
    let rule = |name: &str| Rule {
        name: name.into(),
        operator: Operator::Add,
        strength: 1.0,
        gate: gated.then_some(GateIndex(0)),
        adjustable: gated,
        tokens: Tokens::All,
        held: false,
        site: Site::Residual,
        layers: vec![0],
        dropped: None,
    };
    let plan = Plan {
        profile: "toy".into(),
        model: ModelFacts { arch: "llama".into(), n_embd: N as u32, n_layer: 2, n_head: None, name: None },
        rules: vec![rule("a"), rule("b")],
        probes,
        after: vec![],
        n_gates: u16::from(gated),
        invariance: None,
        contrast: None,
        sites: vec![SitePlan { site: Site::Residual, layer: 0, terms }],
    };
    match lower(&plan, &Toy::new(2, N as u32).build()) {
        Ok(Lowered::Patch(patch, missed)) if missed.is_empty() => patch,
        other => panic!("{other:?}"),
    }
}

fn term(update: Update) -> Term {
    Term::Update { rules: vec![RuleIndex(0)], dose: Dose::default(), update }
}

/// The formula of an update, in float64.
fn reference(update: &Update, x: &[f64], gate: f64) -> Vec<f64> {
    let dot = |v: &[f32]| v.iter().zip(x).map(|(a, b)| f64::from(*a) * b).sum::<f64>();
    let u: Vec<f64> = update.reads.iter().map(|v| dot(v)).collect();
    let z: Vec<f64> = match &update.map {
        Map::Linear { matrix, offset } => (0..offset.len())
            .map(|j| {
                let row = &matrix[j * u.len()..(j + 1) * u.len()];
                f64::from(offset[j]) + row.iter().zip(&u).map(|(m, u)| f64::from(*m) * u).sum::<f64>()
            })
            .collect(),
        Map::Clamp { min, max } => {
            let clip = |u: f64| min.map_or(u, |m| u.max(m.into())).min(max.map_or(f64::INFINITY, f64::from));
            u.iter().map(|u| clip(*u) - u).collect()
        }
        Map::Feature { bias, target } => {
            u.iter().map(|u| f64::from(*target) - (u + f64::from(*bias)).max(0.0)).collect()
        }
        Map::Norm { factor } => vec![f64::from(*factor) * x.iter().map(|x| x * x).sum::<f64>().sqrt()],
        map => panic!("{map:?}"),
    };
    let mut y = x.to_vec();
    for (z, v) in z.iter().zip(&update.writes) {
        y.iter_mut().zip(v.iter()).for_each(|(y, v)| *y += gate * z * f64::from(*v));
    }
    y
}

fn rows() -> Vec<Vec<f32>> {
    (0..5).map(|r| noise(100 + r, N).into_iter().map(|v| v * 3.0).collect()).collect()
}

/// Normalised mean squared error of the patch against the formulas, applied one by one.
fn error(updates: &[Update]) -> f64 {
    let patch = patch(updates.iter().cloned().map(term).collect());
    let got = evaluate(&patch, &patch.substitutions[0], &rows(), &[]);
    let (mut error, mut power) = (0.0, 0.0);
    for (x, got) in rows().iter().zip(got) {
        let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        let expected = updates.iter().fold(x, |x, update| reference(update, &x, 1.0));
        for (e, g) in expected.iter().zip(got) {
            error += (e - f64::from(g)).powi(2);
            power += e * e;
        }
    }
    error / power
}

fn project(v: Arc<[f32]>) -> Update {
    let map = Map::Linear { matrix: vec![-1.0], offset: vec![0.0] };
    Update { reads: vec![v.clone()], writes: vec![v], map }
}

fn updates() -> Vec<Update> {
    let (a, b) = (unit(1), unit(2));
    let one = |map| Update { reads: vec![a.clone()], writes: vec![a.clone()], map };
    let both = |map| Update { reads: vec![a.clone(), b.clone()], writes: vec![a.clone(), b.clone()], map };
    let (sin, cos) = 0.7f32.sin_cos();
    vec![
        project(a.clone()),
        one(Map::Linear { matrix: vec![-0.5], offset: vec![0.25] }),
        both(Map::Linear { matrix: vec![cos - 1.0, -sin, sin, cos - 1.0], offset: vec![0.0, 0.0] }),
        both(Map::Linear { matrix: vec![0.0, -1.0, 0.5, 0.0], offset: vec![0.1, -0.2] }),
        one(Map::Clamp { min: Some(-0.5), max: Some(0.5) }),
        one(Map::Clamp { min: None, max: Some(0.1) }),
        one(Map::Clamp { min: Some(0.1), max: None }),
        both(Map::Clamp { min: Some(-0.1), max: Some(0.3) }),
        Update { reads: vec![], writes: vec![b.clone()], map: Map::Norm { factor: -0.5 } },
        Update { reads: vec![a.clone()], writes: vec![b.clone()], map: Map::Feature { bias: 0.3, target: 1.5 } },
    ]
}

#[test]
fn every_map_is_its_formula() {
    for update in updates() {
        let e = error(std::slice::from_ref(&update));
        assert!(e <= 1e-12, "{e}: {update:?}");
    }
}

#[test]
fn updates_at_one_site_apply_one_by_one_in_order() {
    let all = updates();
    assert!(error(&all) <= 1e-12);
    let reversed: Vec<Update> = all.iter().rev().cloned().collect();
    assert!(error(&reversed) <= 1e-12);
}

#[test]
fn a_clamp_that_is_wide_enough_and_a_rotation_by_nothing_change_no_bit() {
    let v = unit(3);
    let wide =
        Update { reads: vec![v.clone()], writes: vec![v.clone()], map: Map::Clamp { min: Some(-1e6), max: Some(1e6) } };
    let still = Update {
        reads: vec![v.clone(), unit(4)],
        writes: vec![v, unit(4)],
        map: Map::Linear { matrix: vec![0.0; 4], offset: vec![0.0; 2] },
    };
    for update in [wide, still] {
        let patch = patch(vec![term(update)]);
        assert_eq!(evaluate(&patch, &patch.substitutions[0], &rows(), &[]), rows());
    }
}

#[test]
fn an_off_row_keeps_its_bits_even_if_its_coefficient_overflows() {
    let gated = |update| Term::Update {
        rules: vec![RuleIndex(0)],
        dose: Dose { gate: Some(GateIndex(0)), when: None },
        update,
    };
    let mut x = rows();
    x[1] = unit(1).iter().map(|v| v * 3e38).collect();
    x[2] = vec![f32::NAN; N];
    let steep = Update { map: Map::Linear { matrix: vec![-1e3], offset: vec![0.0] }, ..project(unit(1)) };
    let patch = patch(vec![gated(steep)]);
    let got = evaluate(&patch, &patch.substitutions[0], &x, &[0.0, 0.0, 0.0, 1.0, 0.0]);
    for row in [0, 1, 4] {
        assert_eq!(got[row], x[row], "row {row}");
    }
    assert_ne!(got[3], x[3]);
    assert!(got[3].iter().all(|v| v.is_finite()), "a row of numbers stays one beside a row of none");
}

#[test]
fn one_vector_that_is_read_and_written_is_stored_once() {
    assert_eq!(patch(vec![term(project(unit(1)))]).leafs.len(), 1);
}

/// A rule that projects `unit(1)` away on rows where `when` holds, probed at the same site.
fn gated_by(probe: Probe, when: When) -> Patch {
    let dose = Dose { gate: None, when: Some(when) };
    let terms = vec![
        Term::Tap { probe: ProbeIndex(0) },
        Term::Update { rules: vec![RuleIndex(0)], dose, update: project(unit(1)) },
    ];
    patch_with(terms, vec![probe])
}

fn run(patch: &Patch, x: &[Vec<f32>]) -> Vec<Vec<f32>> {
    evaluate(patch, &patch.substitutions[0], x, &[])
}

/// Which rows change.
fn changed(patch: &Patch, x: &[Vec<f32>]) -> Vec<bool> {
    run(patch, x).iter().zip(x).map(|(y, x)| y.iter().zip(x).any(|(y, x)| y.to_bits() != x.to_bits())).collect()
}

#[test]
fn a_probe_lets_through_the_rows_above_its_threshold_and_leaves_the_others_their_bits() {
    let (weights, bias) = (unit(7), -0.2f32);
    let probe = Probe::Linear { weights: weights.clone(), bias, soft: false, hold: None };
    let on = |row: &Vec<f32>| row.iter().zip(weights.iter()).map(|(a, b)| a * b).sum::<f32>() + bias > 0.0;
    let expected: Vec<bool> = rows().iter().map(on).collect();
    assert!(expected.contains(&true) && expected.contains(&false), "the rows must tell");
    let not: Vec<bool> = expected.iter().map(|on| !on).collect();
    let asked = When::Probe(ProbeIndex(0));
    assert_eq!(changed(&gated_by(probe.clone(), asked.clone()), &rows()), expected);
    assert_eq!(changed(&gated_by(probe.clone(), When::Not(Box::new(asked.clone()))), &rows()), not);
    let never = When::All(vec![asked.clone(), When::Not(Box::new(asked.clone()))]);
    assert_eq!(changed(&gated_by(probe.clone(), never), &rows()), [false; 5]);
    let always = When::Any(vec![asked.clone(), When::Not(Box::new(asked))]);
    assert_eq!(changed(&gated_by(probe, always), &rows()), [true; 5]);
}

#[test]
fn similarity_is_the_cosine() {
    let direction = unit(6);
    for above in [-0.5, 0.0, 0.3] {
        let cosine = |row: &Vec<f32>| {
            let dot: f32 = row.iter().zip(direction.iter()).map(|(a, b)| a * b).sum();
            dot / row.iter().map(|v| v * v).sum::<f32>().sqrt()
        };
        let mut x = rows();
        x.push(vec![0.0; N]);
        let mut expected: Vec<bool> = rows().iter().map(|r| cosine(r) > above).collect();
        expected.push(false);
        let probe = Probe::Similarity { direction: direction.clone(), above, hold: None };
        assert_eq!(changed(&gated_by(probe, When::Probe(ProbeIndex(0))), &x), expected);
    }
}

#[test]
fn a_soft_probe_scales_by_its_probability() {
    let weights = unit(5);
    let probe = Probe::Linear { weights: weights.clone(), bias: 0.1, soft: true, hold: None };
    let got = run(&gated_by(probe, When::Probe(ProbeIndex(0))), &rows());
    for (x, got) in rows().iter().zip(got) {
        let logit: f64 = 0.1 + x.iter().zip(weights.iter()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        let expected = reference(&project(unit(1)), &x, 1.0 / (1.0 + (-logit).exp()));
        expected.iter().zip(got).for_each(|(e, g)| assert!((e - f64::from(g)).abs() < 1e-6, "{e} {g}"));
    }
}

#[test]
fn a_probe_without_a_rule_here_copies_the_row() {
    let probe = Probe::Linear { weights: unit(5), bias: 0.0, soft: false, hold: None };
    let patch = patch_with(vec![Term::Tap { probe: ProbeIndex(0) }], vec![probe]);
    assert_eq!(run(&patch, &rows()), rows());
}

//! What must hold for every input, whichever fuzzer or test brings it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use evenkeel_core::asset::{
    Assets, Direction, ERASER, EditFile, FEATURE, Factors, Format, LowRank, MAX_DIRECTION_NORM, MAX_TENSORS, ProbeFile,
    Raw, Vectors, Weight, parse, parse_calibration, parse_edits, parse_factors, parse_probe, parse_with,
};
use evenkeel_core::model::ModelFacts;
use evenkeel_core::plan::{Plan, Term};
use evenkeel_core::prior::Prior;
use evenkeel_core::profile::{Learning, Profile};

/// Bytes of a vector file: an error with a message, or directions that keep every promise of [`Vectors`].
pub fn vector(bytes: &[u8]) {
    for layout in [ERASER, FEATURE] {
        match parse_factors(bytes, layout) {
            Ok((vectors, factors)) => assert!(vectors.layers.keys().eq(factors.keys())),
            Err(error) => complete(&error.to_string()),
        }
    }
    match parse_edits(bytes) {
        Ok((_, edits)) => {
            assert!(edits.values().all(|e| e.rank > 0 && e.a.iter().chain(e.b.iter()).all(|v| v.is_finite())))
        }
        Err(error) => complete(&error.to_string()),
    }
    match parse_probe(bytes) {
        Ok((weights, bias)) => assert!(weights.layers.keys().eq(bias.keys()) && bias.values().all(|b| b.is_finite())),
        Err(error) => complete(&error.to_string()),
    }
    // A shape that fits the file, and one that does not know it.
    let fits = Raw {
        shape: u32::try_from(bytes.len() / 8).ok().map(|rows| (rows, 2)),
        rows: Some((0..bytes.len() as u32 / 8).collect()),
    };
    for raw in [fits, Raw { shape: None, rows: Some(vec![3]) }] {
        match parse_with(bytes, &raw) {
            Ok(vectors) => sound(&vectors, bytes),
            Err(error) => complete(&error.to_string()),
        }
    }
    let vectors = match parse(bytes) {
        Ok(vectors) => vectors,
        Err(error) => return complete(&error.to_string()),
    };
    sound(&vectors, bytes);
}

/// Bytes of a calibration: an error with a message, or finite values; as the state of a prior, an error with a message, or a prior
/// that goes on with shares which sum to 1.
pub fn prior(bytes: &[u8]) {
    let fitted = match parse_calibration(bytes) {
        Ok(fitted) => fitted,
        Err(error) => return complete(&error.to_string()),
    };
    assert!(fitted.tensors.values().flatten().all(|v| v.is_finite()));
    for labels in [&["a", "b"][..], &["a", "b", "c"]] {
        let n = labels.len();
        let learning = Learning::of(n);
        let sound = |prior: &Prior| {
            let sum: f64 = prior.shares().iter().sum();
            assert!((sum - 1.0).abs() < 1e-6 && prior.shares().len() == n, "{:?}", prior.shares());
            assert!(prior.shares().iter().all(|s| *s >= f64::from(learning.min_prior) - 1e-6), "{:?}", prior.shares());
        };
        match Prior::restore(&fitted, n, &learning) {
            Err(error) => complete(&error.to_string()),
            Ok(mut prior) => {
                sound(&prior);
                let shares = vec![1.0 / n as f32; n];
                (0..3).for_each(|_| drop(prior.observe(&shares, &learning)));
                sound(&prior);
                let again = parse_calibration(&prior.bytes("m", labels)).expect("what was written can be read");
                sound(&Prior::restore(&again, n, &learning).expect("and goes on"));
            }
        }
    }
}

/// The promises of [`Vectors`].
fn sound(vectors: &Vectors, bytes: &[u8]) {
    assert!(!vectors.layers.is_empty() && vectors.layers.len() as u64 <= MAX_TENSORS);
    for values in vectors.layers.values() {
        assert_eq!(values.len(), vectors.width as usize);
        assert!(values.iter().all(|v| v.is_finite()));
        let norm = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        assert!(norm <= MAX_DIRECTION_NORM);
    }
    // Nothing in memory that was not in the file.
    let held: usize = vectors.layers.values().map(Vec::len).sum();
    assert!(held * 2 <= bytes.len());
}

/// A message says what was got and what is allowed, in one line that leaves a terminal alone.
pub fn complete(message: &str) {
    assert!(message.contains(", got ") && message.contains(", allowed: "), "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

/// Text of a profile: errors that are complete lines, or a profile that plans or says why not.
pub fn profile(text: &str) {
    let profile = match Profile::parse(text, "f.toml") {
        Ok(profile) => profile,
        Err(errors) => {
            assert!(errors.iter().count() > 0);
            for error in errors.iter() {
                let line = error.to_string();
                assert!(line.starts_with("f.toml:"), "{line}");
                complete(&line);
                let pos = error.pos.expect("every error of a text has a place");
                assert!(pos.line as usize <= text.split('\n').count());
            }
            return;
        }
    };
    assert!(profile.steer.len() <= 64);
    assert!(profile.steer.iter().all(|r| r.strength.value.is_finite()));
    static DIRECTION: LazyLock<Arc<Direction>> = LazyLock::new(|| Arc::new(direction()));
    static OTHER: LazyLock<Arc<Direction>> = LazyLock::new(|| Arc::new(other()));
    static EDITS: LazyLock<Arc<EditFile>> = LazyLock::new(|| Arc::new(edits()));
    static PROBE: LazyLock<Arc<ProbeFile>> = LazyLock::new(|| Arc::new(probe()));
    let mut assets = Assets { steer: profile.steer.iter().map(|_| DIRECTION.clone()).collect(), ..Assets::default() };
    for also in profile.steer.iter().flat_map(|rule| [rule.plane.as_ref(), rule.debias.as_ref()]).flatten() {
        assets.directions.insert(also.value.clone(), OTHER.clone());
    }
    for ask in profile.steer.iter().filter_map(|rule| rule.when.as_ref()).flat_map(|when| when.asks()) {
        assets.directions.insert(ask.file.value.clone(), DIRECTION.clone());
        assets.probes.insert(ask.file.value.clone(), PROBE.clone());
    }
    for edit in &profile.edits {
        assets.edits.insert(edit.file.value.clone(), EDITS.clone());
    }
    match Plan::build(&profile, &assets, &model()) {
        Ok(plan) => check(&plan),
        Err(errors) => errors.iter().for_each(|e| complete(&e.to_string())),
    }
}

fn check(plan: &Plan) {
    assert!(!plan.to_string().is_empty());
    assert_eq!(plan.hash(), plan.clone().hash());
    assert_eq!(usize::from(plan.n_gates), plan.rules.iter().filter(|r| r.gate.is_some()).count());
    assert!(plan.sites.is_sorted_by(|a, b| (a.layer, a.site) < (b.layer, b.site)));
    assert!(plan.sites.iter().all(|s| !s.terms.is_empty() && s.layer < plan.model.n_layer));
    assert!(plan.rules.iter().all(|r| r.dropped.is_some() == r.layers.is_empty()));
    let taps = plan.sites.iter().flat_map(|s| &s.terms).filter(|t| matches!(t, Term::Tap { .. })).count();
    assert_eq!(taps, plan.probes.len());
}

fn edits() -> EditFile {
    let edit = LowRank { rank: 1, a: [1.0, -2.0].into(), b: [0.5; 3].into() };
    let edits = [((Some(1), Weight::AttnK), edit.clone()), ((None, Weight::Output), edit)].into();
    EditFile { file: PathBuf::new(), sha256: String::new(), model_hint: None, edits }
}

fn model() -> ModelFacts {
    ModelFacts { arch: "llama".into(), n_embd: 2, n_layer: 12, n_head: None, name: None }
}

fn direction() -> Direction {
    let layers: BTreeMap<_, _> = (0..12).map(|layer| (layer, vec![1.0, layer as f32 - 3.0])).collect();
    let factor = |v: &Vec<f32>| Factors { reads: vec![v[..].into()], writes: vec![v[..].into()], offset: vec![0.5] };
    let factors = layers.iter().map(|(layer, v)| (*layer, factor(v))).collect();
    let (model_hint, operator, site, rows) = (None, None, None, None);
    let vectors = Vectors { format: Format::Gguf, model_hint, operator, site, width: 2, rows, layers };
    Direction { file: PathBuf::new(), sha256: String::new(), bytes: 0, vectors, factors }
}

/// Not parallel to the first, but for one layer.
fn other() -> Direction {
    let mut other = direction();
    other.vectors.layers.values_mut().for_each(|v| v.reverse());
    other
}

fn probe() -> ProbeFile {
    let Direction { file, sha256, bytes, vectors: weights, .. } = direction();
    let bias = weights.layers.keys().map(|layer| (*layer, 0.5)).collect();
    ProbeFile { file, sha256, bytes, weights, bias }
}

//! Rules under a condition on a real host: rows on which it does not hold keep every bit, the others are an independent
//! reference in float64; and where in a layer a condition is read.

use std::fs;

use evenkeel_model::{Arch, ControlVector, FileType, TINY_EMBD, TINY_LAYERS};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use crate::float64::{along, clamp, cosine, dot, project, wide};
use crate::safetensors::write;

pub(super) const ARCHS: [Arch; 3] = [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe];

/// The layer that is read, and the last one.
pub(super) const READ: u32 = 2;
pub(super) const LAST: u32 = TINY_LAYERS - 1;

/// A model, a direction to act along, one to compare with, and a probe.
pub(super) struct Bench {
    pub(super) scratch: Scratch,
    pub(super) decode: Decode,
    pub(super) v: ControlVector,
    pub(super) like: ControlVector,
    pub(super) weights: ControlVector,
    /// Thresholds that part the rows, away from each of them.
    cosine: f64,
    margin: f64,
}

pub(super) fn bench(arch: Arch, host: &CHost) -> Bench {
    let scratch = Scratch::new();
    let model = scratch.model(arch, FileType::F32);
    // Two sequences and micro-batches of 5: rows of one evaluation belong to different places.
    let decode = Decode { sequences: 2, ubatch: 5, capture: true, ..Decode::new(&model) };
    let v = scratch.vector(arch);
    let random = |seed| ControlVector::random(arch.name(), TINY_EMBD, 1..TINY_LAYERS, seed);
    let (like, weights) = (random(3), random(4));
    like.write(&scratch.path("like.gguf")).expect("a vector is written");
    let rows = column(&host.plain(&decode), &format!("l_out-{READ}"));
    let at = |v: &ControlVector, row: &[f32]| (wide(row), wide(&v.directions[&READ]));
    let cosine = between(rows.iter().map(|row| at(&like, row)).map(|(x, v)| cosine(&x, &v)).collect());
    let margin = between(rows.iter().map(|row| at(&weights, row)).map(|(x, w)| dot(&x, &w)).collect());
    fs::write(scratch.path("probe.safetensors"), probe(&weights, -margin as f32)).expect("a probe is written");
    Bench { scratch, decode, v, like, weights, cosine, margin }
}

/// The middle of the widest gap in the middle half.
pub(super) fn between(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = &values[values.len() / 4..values.len() * 3 / 4];
    let widest = middle.windows(2).max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0]))).expect("rows");
    f64::midpoint(widest[0], widest[1])
}

/// A file with a linear probe.
pub(super) fn probe(weights: &ControlVector, bias: f32) -> Vec<u8> {
    let probes = weights.directions.iter().map(|(layer, w)| (format!("probe.{layer}"), vec![w.len()], w.clone()));
    let biases = weights.directions.keys().map(|layer| (format!("bias.{layer}"), vec![1], vec![bias]));
    write(&probes.chain(biases).collect::<Vec<_>>())
}

/// All rows of a node, in the order of the batches.
pub(super) fn column(recording: &Recording, name: &str) -> Vec<Vec<f32>> {
    recording.captures.iter().filter(|c| c.name == name).flat_map(|c| c.rows.clone()).collect()
}

impl Bench {
    fn similar(&self, row: &[f32]) -> f64 {
        f64::from(cosine(&wide(row), &wide(&self.like.directions[&READ])) > self.cosine)
    }

    fn logit(&self, row: &[f32]) -> f64 {
        dot(&wide(row), &wide(&self.weights.directions[&READ])) - self.margin
    }

    fn likely(&self, row: &[f32]) -> f64 {
        f64::from(self.logit(row) > 0.0)
    }

    pub(super) fn v(&self, layer: u32) -> Vec<f64> {
        wide(&self.v.directions[&layer])
    }

    pub(super) fn run(&self, host: &CHost, profile: &Profile) -> Recording {
        host.with(&self.decode, Door::Preload, &self.scratch.profile(profile))
    }

    fn is_similar(&self) -> String {
        format!("similar-to = \"like.gguf\", layer = {READ}, above = {:?}", self.cosine)
    }
}

type Gate = fn(&Bench, &[f32]) -> f64;
type Operator = fn(&mut [f64], &[f64]);

const PROBE: &str = "probe = \"probe.safetensors\", layer = 2, above = 0.5";

/// Conditions as typed, where `$` is the similarity, and their reference.
const CONDITIONS: &[(&str, Gate)] = &[
    ("{ $ }", |b, x| b.similar(x)),
    ("{ not = { $ } }", |b, x| 1.0 - b.similar(x)),
    ("{ ? }", |b, x| b.likely(x)),
    ("{ probe = \"probe.safetensors\", layer = 2, soft = true }", |b, x| 1.0 / (1.0 + (-b.logit(x)).exp())),
    ("{ all = [{ $ }, { ?, at = \"row\" }] }", |b, x| b.similar(x) * b.likely(x)),
    ("{ any = [{ $ }, { not = { ? } }] }", |b, x| b.similar(x).max(1.0 - b.likely(x))),
];

const OPERATORS: &[(&str, Operator)] = &[
    ("strength = 1.5", |x, v| along(x, v, 1.5)),
    ("strength = -0.5\nadjustable = true", |x, v| along(x, v, -0.5)),
    ("operator = \"project\"", |x, v| project(x, v, 1.0)),
    ("operator = \"clamp\"\nmin = -0.05\nmax = 0.05", |x, v| clamp(x, v, -0.05, 0.05)),
];

#[test]
fn rows_are_steered_where_the_condition_holds_and_keep_their_bits_elsewhere() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let mut bench = bench(arch, &host);
        for (number, (condition, gate)) in CONDITIONS.iter().enumerate() {
            let (keys, operator) = OPERATORS[number % OPERATORS.len()];
            let condition = condition.replace('$', &bench.is_similar()).replace('?', PROBE);
            let profile = Profile::empty().and_rule_on("[2, 3, 4]", "v.gguf", &format!("{keys}\nwhen = {condition}"));
            for last_only in [false, true] {
                bench.decode.last_only = last_only;
                let recording = bench.run(&host, &profile);
                let what = format!("{arch:?}, {keys}, {condition}, last rows only: {last_only}");
                check(&bench, &recording, *gate, operator, &what);
            }
        }
    }
}

/// Compares every layer that the rule acts on, the last one with its output rows among them.
fn check(bench: &Bench, recording: &Recording, gate: Gate, operator: Operator, what: &str) {
    let doses: Vec<f64> = column(recording, &format!("ek.l_out-{READ}")).iter().map(|x| gate(bench, x)).collect();
    let prompt = recording.rows.iter().filter(|row| row.label.starts_with("prompt 0 "));
    let last: Option<usize> = prompt.filter_map(|row| row.label.rsplit(' ').next()?.parse().ok()).max();
    let length = 1 + last.expect("a prompt");
    // Of the prompt of two sequences only the last rows have an output, where nothing else was asked for.
    let has_output = |row: usize| !bench.decode.last_only || row >= 2 * length || row % length == length - 1;
    for layer in [READ, 3, LAST] {
        let (before, after) =
            (column(recording, &format!("ek.l_out-{layer}")), column(recording, &format!("l_out-{layer}")));
        let of_row = |(row, dose): (usize, &f64)| (layer < LAST || has_output(row)).then_some(*dose);
        let doses: Vec<f64> = doses.iter().enumerate().filter_map(of_row).collect();
        assert_eq!((before.len(), after.len()), (doses.len(), doses.len()), "{what}: rows of layer {layer}");
        let (mut error, mut power, mut off) = (0.0, 0.0, 0);
        for ((read, left), dose) in before.iter().zip(&after).zip(&doses) {
            if *dose == 0.0 {
                off += 1;
                assert!(read.iter().zip(left).all(|(a, b)| a.to_bits() == b.to_bits()), "{what}: a row that is off");
                continue;
            }
            let x = wide(read);
            let mut y = x.clone();
            operator(&mut y, &bench.v(layer));
            for ((x, y), left) in x.iter().zip(&y).zip(left) {
                let expected = x + dose * (y - x);
                error += (expected - f64::from(*left)).powi(2);
                power += expected * expected;
            }
        }
        assert!(error <= 1e-10 * power, "{what}: NMSE {:e} at layer {layer}", error / power);
        assert!(off < doses.len(), "{what}: no row was steered");
        assert!(off > 0 || doses.iter().any(|d| *d != 1.0), "{what}: every row was steered");
    }
}

/// What stands before a rule at the layer that is read is seen by its condition; what stands after it is not, unless the
/// rule begins at a later layer.
#[test]
fn a_condition_reads_between_the_rules() {
    let host = CHost::node_llama_cpp();
    let bench = bench(Arch::Llama, &host);
    let when = format!("when = {{ {} }}", bench.is_similar());
    let profile = Profile::empty()
        .and_rule_on("[2, 3]", "v.gguf", &format!("operator = \"project\"\n{when}"))
        .and_rule_on("[2]", "like.gguf", "strength = 0.05")
        .and_rule_on("[3]", "v.gguf", &format!("strength = 3.0\n{when}"));
    let recording = bench.run(&host, &profile);
    let name = |stem: &str, layer: u32| column(&recording, &format!("{stem}l_out-{layer}"));
    let (mut error, mut power, mut differ) = (0.0, 0.0, 0);
    let rows = name("ek.", 2).into_iter().zip(name("", 2)).zip(name("ek.", 3).into_iter().zip(name("", 3)));
    for ((read, between), (third, left)) in rows {
        let (early, late) = (bench.similar(&read), bench.similar(&between));
        differ += u32::from(early != late);
        let (mut second, mut third) = (wide(&read), wide(&third));
        project(&mut second, &bench.v(2), early);
        along(&mut second, &wide(&bench.like.directions[&2]), 0.05);
        project(&mut third, &bench.v(3), early);
        along(&mut third, &bench.v(3), 3.0 * late);
        for (expected, got) in second.iter().zip(&between).chain(third.iter().zip(&left)) {
            error += (expected - f64::from(*got)).powi(2);
            power += expected * expected;
        }
    }
    assert!(differ > 5, "the two readings are the same on all but {differ} rows");
    assert!(error <= 1e-10 * power, "NMSE {:e}", error / power);
}

#[test]
fn a_condition_that_never_holds_is_no_rule_and_one_that_always_holds_is_no_condition() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let mut bench = bench(arch, &host);
        bench.decode.capture = false;
        let plain = host.plain(&bench.decode);
        for (keys, _) in OPERATORS {
            let run = |when: &str| bench.run(&host, &Profile::empty().and_rule("v.gguf", &format!("{keys}\n{when}")));
            let above = |above: f64| format!("when = {{ similar-to = \"like.gguf\", layer = 1, above = {above} }}");
            let always = run("");
            plain.assert_all_differ(&always, keys);
            plain.assert_same(&run(&above(0.999)), "never");
            always.assert_same(&run(&above(-0.999)), "always");
        }
    }
}

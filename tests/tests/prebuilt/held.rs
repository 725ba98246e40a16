//! Conditions that are decided at the last prompt row and held, on a real host: every row's dose and value are those of an
//! independent reference in float64 that reads the same activations row by row; prompts in parts, many sequences in one
//! batch, micro-batches that cut them, drafts that are taken back.

use std::collections::BTreeMap;
use std::fs;

use evenkeel_model::Arch;
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording};

use crate::conditions::{ARCHS, Bench, LAST, READ, bench, column, probe};
use crate::float64::{along, clamp, cosine, dot, project, wide};

const PROMPT: i32 = 24;
const SEQUENCES: u32 = 4;

/// A row that the host feeds.
#[derive(Clone, Copy, Debug)]
struct Place {
    seq: u32,
    pos: i32,
    /// `None` before the last prompt row, `Some(false)` for that, `Some(true)` after it.
    generated: Option<bool>,
    output: bool,
    /// Taken back right after.
    wrong: bool,
}

/// All rows, in the order of the batches.
fn places(bench: &Bench) -> Vec<Place> {
    let d = &bench.decode;
    let mut list = vec![];
    let part = |n: i32| PROMPT * n / d.parts as i32;
    for n in 0..d.parts as i32 {
        for seq in 0..d.sequences {
            list.extend((part(n)..part(n + 1)).map(|pos| {
                let last = pos == PROMPT - 1;
                Place { seq, pos, generated: last.then_some(false), output: last, wrong: false }
            }));
        }
    }
    let (drafts, wrong) = (d.drafts as i32, d.drafts as i32 / 2);
    let kept = 1 + drafts - wrong;
    for start in (PROMPT..PROMPT + d.steps as i32).step_by(kept as usize) {
        for seq in 0..d.sequences {
            list.extend((start..=start + drafts).map(|pos| {
                let wrong = pos >= start + kept;
                Place { seq, pos, generated: Some(true), output: true, wrong }
            }));
        }
    }
    list
}

/// What one probe says of a row, and its two thresholds; `soft` has none.
struct Probe {
    value: fn(&Bench, &[f32]) -> f64,
    above: f64,
    below: Option<f64>,
    soft: bool,
}

/// What is held on each row; `None` where nothing is decided.
fn held(bench: &Bench, places: &[Place], read: &[Vec<f32>], asked: &Probe) -> Vec<Option<f64>> {
    // By sequence and position.
    let mut decided: BTreeMap<(u32, i32), f64> = BTreeMap::new();
    let row = |(place, x): (&Place, &Vec<f32>)| {
        let value = (asked.value)(bench, x);
        let on = f64::from(value > asked.above);
        let now = match place.generated {
            None => return None,
            Some(false) if asked.soft => 1.0 / (1.0 + (-value).exp()),
            Some(false) => on,
            Some(true) => {
                let before = *decided.range((place.seq, -1)..(place.seq, place.pos)).next_back().expect("a decision").1;
                match asked.below {
                    None => before,
                    Some(below) => on.max(before * f64::from(value > below)),
                }
            }
        };
        // A row that is taken back is followed by nothing but rows that are, too.
        decided.retain(|(seq, pos), _| *seq != place.seq || *pos < place.pos);
        decided.insert((place.seq, place.pos), now);
        Some(now)
    };
    places.iter().zip(read).map(row).collect()
}

fn similarity(bench: &Bench, row: &[f32]) -> f64 {
    cosine(&wide(row), &wide(&bench.like.directions[&READ]))
}

fn sum(bench: &Bench, row: &[f32]) -> f64 {
    dot(&wide(row), &wide(&bench.weights.directions[&READ]))
}

/// The widest gap of some values, and a value in its middle.
fn split(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let widest = values.windows(2).max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0]))).expect("rows");
    f64::midpoint(widest[0], widest[1])
}

/// Between two values of a sorted list, at a share of its length.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    f64::midpoint(values[at - 1], values[at])
}

/// Thresholds that part what a probe says of the last prompt rows, and of generated ones.
fn thresholds(bench: &Bench, plain: &Recording, value: fn(&Bench, &[f32]) -> f64) -> (f64, f64, f64) {
    let rows = column(plain, &format!("l_out-{READ}"));
    let of = |generated: bool| {
        let is = |(place, _): &(Place, &Vec<f32>)| place.generated == Some(generated);
        places(bench).into_iter().zip(&rows).filter(is).map(|(_, x)| value(bench, x)).collect::<Vec<_>>()
    };
    (split(of(false)), quantile(of(true), 0.6), quantile(of(true), 0.35))
}

type Operator = fn(&mut [f64], &[f64]);
type Gate = fn(&[Option<f64>; 2], f64, f64) -> f64;

const OPERATORS: &[(&str, Operator)] = &[
    ("strength = 1.5", |x, v| along(x, v, 1.5)),
    ("strength = -0.5\nadjustable = true", |x, v| along(x, v, -0.5)),
    ("operator = \"project\"", |x, v| project(x, v, 1.0)),
    ("operator = \"clamp\"\nmin = -0.05\nmax = 0.05", |x, v| clamp(x, v, -0.05, 0.05)),
];

/// Conditions as typed, where `$` is a similarity and `?` a probe, both held, `!` that probe row by row; and the dose as it
/// comes from what is held and from what the two say of the row itself. Nothing decided is no dose, also under `not`.
const CONDITIONS: &[(&str, Gate)] = &[
    ("{ $ }", |[s, _], _, _| s.unwrap_or(0.0)),
    ("{ not = { $ } }", |[s, _], _, _| s.map_or(0.0, |s| 1.0 - s)),
    ("{ ? }", |[_, p], _, _| p.unwrap_or(0.0)),
    ("{ any = [{ $ }, { not = { ? } }] }", |[s, p], _, _| p.map_or(0.0, |p| s.unwrap_or(0.0).max(1.0 - p))),
    ("{ all = [{ ? }, { not = { ! } }] }", |[_, p], _, row| p.unwrap_or(0.0) * (1.0 - row)),
];

/// How the same sequences are fed: parts of the prompt, rows of a micro-batch, drafts.
const FEEDS: &[(u32, u32, u32)] = &[(1, 512, 0), (3, 5, 0), (1, 7, 3), (2, 512, 4)];

struct Case {
    bench: Bench,
    similar: Probe,
    likely: Probe,
}

impl Case {
    /// With a second threshold if `below`.
    fn new(arch: Arch, host: &CHost, (parts, ubatch, drafts): (u32, u32, u32), below: bool) -> Case {
        let mut bench = bench(arch, host);
        bench.decode.sequences = SEQUENCES;
        (bench.decode.parts, bench.decode.ubatch, bench.decode.drafts) = (parts, ubatch, drafts);
        (bench.decode.last_only, bench.decode.steps) = (true, 10);
        let plain = host.plain(&bench.decode);
        let probe_of = |value| {
            let (last, above, lower) = thresholds(&bench, &plain, value);
            let (above, below) = if below { (above, Some(lower)) } else { (last, None) };
            Probe { value, above, below, soft: false }
        };
        let (similar, likely) = (probe_of(similarity), probe_of(sum));
        let bias = -likely.above as f32;
        fs::write(bench.scratch.path("probe.safetensors"), probe(&bench.weights, bias)).expect("a probe is written");
        Case { bench, similar, likely }
    }

    /// A condition as it is typed.
    fn typed(&self, condition: &str) -> String {
        let below = |b: Option<f64>| b.map_or(String::new(), |b| format!(", below = {b:?}"));
        // The file's probe has its upper threshold at a probability of 1/2.
        let lower = self.likely.below.map(|b| 1.0 / (1.0 + (self.likely.above - b).exp()));
        let above = self.similar.above;
        condition
            .replace(
                '$',
                &format!(
                    "similar-to = \"like.gguf\", layer = {READ}, above = {above:?}{}, at = \"prompt\"",
                    below(self.similar.below)
                ),
            )
            .replace(
                '?',
                &format!("probe = \"probe.safetensors\", layer = {READ}, above = 0.5{}, at = \"prompt\"", below(lower)),
            )
            .replace('!', &format!("probe = \"probe.safetensors\", layer = {READ}, above = 0.5"))
    }

    /// Compares every row at every layer that the rule acts on. `tokens`: on which rows, whatever is held.
    fn check(
        &self,
        recording: &Recording,
        gate: impl Fn(&[Option<f64>; 2], f64, f64) -> f64,
        operator: Operator,
        what: &str,
    ) {
        let (bench, places) = (&self.bench, places(&self.bench));
        let read = column(recording, &format!("ek.l_out-{READ}"));
        assert_eq!(read.len(), places.len(), "{what}: rows");
        let decided = [&self.similar, &self.likely].map(|asked| held(bench, &places, &read, asked));
        let doses: Vec<f64> = (0..places.len())
            .map(|i| {
                let row = |asked: &Probe| f64::from((asked.value)(bench, &read[i]) > asked.above);
                gate(&[decided[0][i], decided[1][i]], row(&self.similar), row(&self.likely))
            })
            .collect();
        for layer in [READ, 3, LAST] {
            let (before, after) =
                (column(recording, &format!("ek.l_out-{layer}")), column(recording, &format!("l_out-{layer}")));
            let here = |i: &usize| layer < LAST || places[*i].output;
            let rows: Vec<usize> = (0..places.len()).filter(here).collect();
            assert_eq!((before.len(), after.len()), (rows.len(), rows.len()), "{what}: rows of layer {layer}");
            let (mut error, mut power) = (0.0, 0.0);
            for (&i, (read, left)) in rows.iter().zip(before.iter().zip(&after)) {
                if doses[i] == 0.0 {
                    let same = read.iter().zip(left).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{what}: {:?} is off at layer {layer}", places[i]);
                    continue;
                }
                let x = wide(read);
                let mut y = x.clone();
                operator(&mut y, &bench.v(layer));
                for ((x, y), left) in x.iter().zip(&y).zip(left) {
                    let expected = x + doses[i] * (y - x);
                    error += (expected - f64::from(*left)).powi(2);
                    power += expected * expected;
                }
            }
            assert!(error <= 1e-10 * power, "{what}: NMSE {:e} at layer {layer}", error / power);
        }
        let prompt = |p: &Place| p.generated.is_none();
        assert!(places.iter().zip(&doses).all(|(p, d)| !prompt(p) || *d == 0.0), "{what}: the prompt is left alone");
        assert!(doses.iter().any(|d| *d != 0.0), "{what}: something is steered");
    }
}

/// Sequences whose rows from the last prompt row on are all on, all off, or change.
fn kinds(places: &[Place], held: &[Option<f64>]) -> [usize; 3] {
    let mut kinds = [0; 3];
    for seq in 0..SEQUENCES {
        let of: Vec<f64> =
            places.iter().zip(held).filter(|(p, _)| p.seq == seq && !p.wrong).filter_map(|(_, h)| *h).collect();
        let on = of.iter().filter(|h| **h != 0.0).count();
        kinds[if on == of.len() {
            0
        } else if on == 0 {
            1
        } else {
            2
        }] += 1;
    }
    kinds
}

/// Every condition on a host, for one way to feed it.
fn checked(host: &CHost, arch: Arch, feed: (u32, u32, u32), below: bool, doors: &[Door]) {
    let case = Case::new(arch, host, feed, below);
    for (number, (condition, gate)) in CONDITIONS.iter().enumerate() {
        let (keys, operator) = OPERATORS[number % OPERATORS.len()];
        let typed = case.typed(condition);
        let profile = Profile::empty().and_rule_on("[2, 3, 4]", "v.gguf", &format!("{keys}\nwhen = {typed}"));
        for door in doors {
            let recording = host.with(&case.bench.decode, *door, &case.bench.scratch.profile(&profile));
            let what = format!("{arch:?}, parts, rows, drafts {feed:?}, {door:?}, {keys}, {typed}");
            case.check(&recording, *gate, operator, &what);
            if number == 0 {
                let (places, read) = (places(&case.bench), column(&recording, &format!("ek.l_out-{READ}")));
                let [on, off, change] = kinds(&places, &held(&case.bench, &places, &read, &case.similar));
                match below {
                    false => assert!(on > 0 && off > 0 && change == 0, "{what}: {on} {off} {change}"),
                    true => assert!(change > 0, "{what}: {on} {off} {change}"),
                }
            }
        }
    }
}

#[test]
fn what_the_last_prompt_row_says_is_held() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        for feed in FEEDS {
            checked(&host, arch, *feed, false, &[Door::Preload]);
        }
    }
}

#[test]
fn it_holds_until_it_falls_below_a_second_threshold() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        for feed in FEEDS {
            checked(&host, arch, *feed, true, &[Door::Preload]);
        }
    }
}

/// In a program that contains llama.cpp, the slots are computed in the graph.
#[test]
fn it_is_held_in_a_program_that_contains_llama_cpp() {
    let host = CHost::node_llama_cpp();
    for below in [false, true] {
        for feed in [FEEDS[1], FEEDS[3]] {
            checked(&host, Arch::Llama, feed, below, &[Door::Embed]);
        }
    }
}

#[test]
fn a_soft_probe_is_held_and_tokens_leave_the_last_prompt_row_alone() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let mut case = Case::new(arch, &host, FEEDS[1], false);
        case.likely.soft = true;
        fs::write(case.bench.scratch.path("probe.safetensors"), probe(&case.bench.weights, 0.0)).expect("a probe");
        let when = format!("when = {{ probe = \"probe.safetensors\", layer = {READ}, soft = true, at = \"prompt\" }}");
        let profile = Profile::empty().and_rule_on("[2, 3, 4]", "v.gguf", &format!("strength = 1.5\n{when}"));
        let recording = case.bench.run(&host, &profile);
        case.check(&recording, |[_, p], _, _| p.unwrap_or(0.0), |x, v| along(x, v, 1.5), &format!("{arch:?}, soft"));

        let typed = case.typed("{ $ }");
        let keys = format!("operator = \"project\"\ntokens = \"generated\"\nwhen = {typed}");
        let recording = case.bench.run(&host, &Profile::empty().and_rule_on("[2, 3, 4]", "v.gguf", &keys));
        let places = places(&case.bench);
        for layer in [READ, 3] {
            let (before, after) =
                (column(&recording, &format!("ek.l_out-{layer}")), column(&recording, &format!("l_out-{layer}")));
            let changed = |i: usize| before[i] != after[i];
            assert!((0..places.len()).all(|i| !changed(i) || places[i].generated == Some(true)), "{arch:?}");
            assert!((0..places.len()).any(changed), "{arch:?}");
        }
    }
}

/// At every site: where the condition holds, what rules for the last prompt row and for generated rows give; where it does
/// not, the host's own bits.
#[test]
fn it_is_held_at_every_site() {
    let host = CHost::node_llama_cpp();
    for arch in ARCHS {
        let case = Case::new(arch, &host, FEEDS[1], false);
        let decode = Decode { capture: false, ..case.bench.decode.clone() };
        let run = |profile: &Profile| host.with(&decode, Door::Preload, &case.bench.scratch.profile(profile));
        let plain = host.plain(&decode);
        for site in ["residual", "attn-out", "ffn-out", "final-norm"] {
            // A rule at the probe's own layer would come before what the probe reads, but for the residual stream.
            let layers = if site == "final-norm" { "\"all\"" } else { "[3, 4]" };
            for keys in ["strength = 1.5", "operator = \"project\"", "operator = \"clamp\"\nmax = -0.05"] {
                let rule = |profile: Profile, more: &str| {
                    profile.and_rule_on(layers, "v.gguf", &format!("{keys}\nsite = \"{site}\"\n{more}"))
                };
                let when = |above: &str| {
                    let typed = format!(
                        "when = {{ similar-to = \"like.gguf\", layer = {READ}, above = {above}, at = \"prompt\" }}"
                    );
                    run(&rule(Profile::empty(), &typed))
                };
                let phases = ["last", "generated"].map(|tokens| format!("tokens = \"{tokens}\""));
                let expected = run(&phases.iter().fold(Profile::empty(), |profile, tokens| rule(profile, tokens)));
                let what = format!("{arch:?}, {site}, {keys}");
                assert!(expected.distance(&plain) > 1e-3, "{what}: it does something");
                let distance = expected.distance(&when("-0.999"));
                assert!(distance < 1e-4, "{what}: {distance:e}");
                plain.assert_same(&when("0.999"), &what);
            }
        }
    }
}

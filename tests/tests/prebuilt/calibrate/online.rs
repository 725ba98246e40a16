//! `method = "online"`: a prior that follows the requests of a server, against the same estimate made here from what the server
//! gives without it; how far a client comes, and what is left after a restart.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::Duration;

use evenkeel_core::asset::CalibrationFile;
use evenkeel_model::{Arch, FileType};
use evenkeel_tests::completion::Request;
use evenkeel_tests::host::{Arguments, CHost, Decode, Server, ServerKind};
use evenkeel_tests::{Door, Profile, Scratch, Setting};
use serde_json::{Value, json};

use super::served::{post, raw};
use super::{Case, each, expected, letter, softmax};

/// The estimate, from its description: requests count for the label that they are given; a label's row of the matrix is the
/// mean of its last 20 or so and of 4 even ones; the prior moves to what the matrix leaves as it is.
struct Estimate {
    means: Vec<Vec<f64>>,
    counts: Vec<f64>,
    prior: Vec<f64>,
}

const WEIGHT: f64 = 0.02;
const LEAST: f64 = 0.1;
/// Requests before the prior is used: five of the tests', and the server's trial.
const MIN_COUNT: usize = 6;
const ASKED: usize = MIN_COUNT - 1;
/// What llama-server evaluates before it listens.
const TRIAL: [u32; 2] = [0, 0];

impl Estimate {
    fn even(n: usize) -> Self {
        let even = vec![1.0 / n as f64; n];
        Self { means: vec![even.clone(); n], counts: vec![0.0; n], prior: even }
    }

    fn observe(&mut self, q: &[f64]) {
        let n = q.len();
        let given: Vec<f64> = q.iter().zip(&self.prior).map(|(q, p)| q / p).collect();
        let label = (0..n).max_by(|a, b| given[*a].total_cmp(&given[*b])).unwrap();
        self.counts[label] = (self.counts[label] + 1.0).min(20.0);
        for (mean, q) in self.means[label].iter_mut().zip(q) {
            *mean += (q - *mean) / self.counts[label];
        }
        let entry = |i: usize, j: usize| (self.counts[i] * self.means[i][j] + 4.0 / n as f64) / (self.counts[i] + 4.0);
        let mut fixed = self.prior.clone();
        for _ in 0..2000 {
            fixed = (0..n).map(|j| (0..n).map(|i| fixed[i] * entry(i, j)).sum()).collect();
        }
        assert!(fixed.iter().all(|p| *p > LEAST), "no share is near the least: {fixed:?}");
        let most = fixed.iter().zip(&self.prior).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let step = (WEIGHT / most).min(1.0);
        self.prior.iter_mut().zip(&fixed).for_each(|(p, to)| *p += step * (to - *p));
    }
}

struct Bench {
    scratch: Scratch,
    arguments: Arguments,
    plain: Server,
}

pub fn labels() -> Vec<(&'static str, Vec<usize>)> {
    ["a", "b", "c"].map(|l| (l, letter(l.chars().next().unwrap()))).to_vec()
}

fn keys(more: &str) -> String {
    let labels = "name = \"labels\"\nlabels = [\"a\", \"b\", \"c\"]\nmethod = \"online\"\nmin-label-mass = 0";
    format!("[[calibrate]]\n{labels}\nmin-count = {MIN_COUNT}\nweight = {WEIGHT}\nmin-prior = {LEAST}\n{more}\n")
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
        let plain = Server::start(ServerKind::Xllamacpp, &arguments, &Setting::new());
        Self { scratch, arguments, plain }
    }

    fn setting(&self, more: &str) -> Setting {
        Door::Preload.setting().and(&self.scratch.profile(&Profile::empty().with(&keys(more))))
    }

    fn start(&self, more: &str) -> Server {
        Server::start(ServerKind::Xllamacpp, &self.arguments, &self.setting(more))
    }

    /// The estimate after the server has started: it has tried, with a prompt of its own, whether cells can be taken back.
    fn estimate(&self) -> Estimate {
        let mut estimate = Estimate::even(3);
        estimate.observe(&self.plain(&TRIAL).1);
        estimate
    }

    /// What the plain server says of a prompt, and the labels' shares in it.
    fn plain(&self, prompt: &[u32]) -> (Vec<f64>, Vec<f64>) {
        let raw = raw(&self.plain, prompt);
        let shares = shares(&raw);
        (raw, shares)
    }
}

pub fn shares(logits: &[f64]) -> Vec<f64> {
    let p = softmax(logits);
    let masses: Vec<f64> = labels().iter().map(|(_, tokens)| tokens.iter().map(|t| p[*t]).sum()).collect();
    let all: f64 = masses.iter().sum();
    masses.iter().map(|m| m / all).collect()
}

/// What the logits should be under a prior.
pub fn divided(raw: &[f64], prior: &[f64]) -> Vec<f64> {
    let prior = prior.to_vec();
    let formula: super::Formula = Box::new(move |q| each(q, |i, q| q.ln() - prior[i].ln()));
    let case = Case { what: "online", labels: labels(), keys: "", file: vec![], formula };
    expected(&case, raw).0
}

/// The prior that an answer shows, where the plain one is known.
fn shown(plain: &[f64], got: &[f64]) -> Vec<f64> {
    let ratio: Vec<f64> = plain.iter().zip(got).map(|(q, after)| q / after).collect();
    let sum: f64 = ratio.iter().sum();
    ratio.iter().map(|r| r / sum).collect()
}

pub fn prompt(i: u32) -> Vec<u32> {
    (0..6).map(|j| 3 + (i * 37 + j * 101 + 11) % 300).collect()
}

pub fn gap(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn it_is_the_estimate_from_the_requests_before() {
    let bench = Bench::new();
    let server = bench.start("");
    let mut estimate = bench.estimate();
    let (mut most, mut moved) = (0.0f64, 0.0f64);
    for i in 0..60 {
        let prompt = prompt(i);
        let (raw_plain, q) = bench.plain(&prompt);
        let got = raw(&server, &prompt);
        if (i as usize) < ASKED {
            assert_eq!(raw_plain, got, "request {i}: too few before it");
        } else {
            let wanted = divided(&raw_plain, &estimate.prior);
            most = most.max(gap(&wanted, &got));
            moved = moved.max(gap(&wanted, &raw_plain));
        }
        estimate.observe(&q);
    }
    println!("prior {:.3?} after 60 requests; to {most:.1e} of up to {moved:.2}", estimate.prior);
    assert!(most < 1e-4 && moved > 0.1, "{most:e} of {moved:e}");
    assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
}

/// One client asks the same all the time, hundreds of times; another asks now and then. Each request moves the prior by no more
/// than `weight`, and all together move no odds by more than the stated factor.
#[test]
fn a_client_moves_anothers_prior_within_bounds() {
    let bench = Bench::new();
    // The hostile client's prompt: the one that is most one-sided.
    let sided = |i: &u32| bench.plain(&prompt(*i)).1.into_iter().fold(0.0, f64::max);
    let worst = (0..200).max_by(|a, b| sided(a).total_cmp(&sided(b))).expect("a prompt");
    let server = bench.start("");
    let victim = prompt(1000);
    let (raw_plain, q) = bench.plain(&victim);
    (0..MIN_COUNT as u32).for_each(|i| drop(raw(&server, &prompt(i))));
    let mut last = shown(&q, &shares(&raw(&server, &victim)));
    let mut far = 0.0f64;
    for attack in [1, 1, 2, 5, 20, 100, 200] {
        (0..attack).for_each(|_| drop(raw(&server, &prompt(worst))));
        let got = shares(&raw(&server, &victim));
        let prior = shown(&q, &got);
        // The attack, and the victim's own request before it.
        let moved = gap(&prior, &last);
        assert!(moved <= WEIGHT * f64::from(attack + 1) + 1e-5, "{attack} requests moved the prior by {moved}");
        assert!(prior.iter().all(|p| *p >= LEAST - 1e-4), "{prior:?}");
        for (i, j) in [(0, 1), (0, 2), (1, 2)] {
            let factor = (got[i] / got[j]) / (q[i] / q[j]);
            far = far.max(factor).max(1.0 / factor);
        }
        last = prior;
    }
    println!("one-sided to {:.3}: odds changed by up to {far:.2}, bound {}", sided(&worst), 1.0 / LEAST - 2.0);
    assert!(far <= (1.0 / LEAST - 2.0) * 1.001 && far > 1.2, "{far}");
    assert!(gap(&raw_plain, &raw(&server, &victim)) > 0.01);
}

/// Several slots, and completions of one prompt: one request counts once, whatever is generated.
#[test]
fn a_request_counts_once() {
    let bench = Bench::new();
    let server =
        Server::start(ServerKind::Xllamacpp, &bench.arguments.clone().parallel(4), &bench.setting("at = \"any\""));
    let mut estimate = bench.estimate();
    for i in 0..ASKED as u32 - 1 {
        let body = json!({
            "prompt": prompt(i), "n_predict": 6, "cache_prompt": false, "ignore_eos": true, "temperature": 0.0,
        });
        post(&server, &body);
        estimate.observe(&bench.plain(&prompt(i)).1);
    }
    // Were generated rows counted, this one would be calibrated.
    assert_eq!(raw(&server, &prompt(70)), bench.plain(&prompt(70)).0);
    estimate.observe(&bench.plain(&prompt(70)).1);
    let got = raw(&server, &prompt(71));
    let most = gap(&got, &divided(&bench.plain(&prompt(71)).0, &estimate.prior));
    assert!(most < 1e-4, "{most:e}");
}

#[test]
fn it_goes_on_after_a_restart_and_stays_where_it_is_frozen() {
    let bench = Bench::new();
    let state = bench.scratch.path("state.safetensors");
    let keep = "state = \"state.safetensors\"";
    let server = bench.start(keep);
    (0..30).for_each(|i| drop(raw(&server, &prompt(i))));
    // Written at most once a second, between two calls to decode.
    sleep(Duration::from_millis(1100));
    raw(&server, &prompt(30));
    drop(server);
    let mode = fs::metadata(&state).expect("a state").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its user reads it");
    let read = || CalibrationFile::read(&state).expect("a state").fitted.tensors["prior"].clone();
    let kept: Vec<f64> = read().iter().map(|p| f64::from(*p)).collect();
    let mut estimate = bench.estimate();
    (0..30).for_each(|i| estimate.observe(&bench.plain(&prompt(i)).1));
    assert!(gap(&kept, &estimate.prior) < 1e-4, "{kept:?}, not {:?}", estimate.prior);

    let wanted = |i: u32| divided(&bench.plain(&prompt(i)).0, &kept);
    // The trial counts once more.
    estimate.observe(&bench.plain(&TRIAL).1);
    let server = bench.start(keep);
    let after = divided(&bench.plain(&prompt(40)).0, &estimate.prior);
    assert!(gap(&raw(&server, &prompt(40)), &after) < 1e-4, "it goes on from its file");
    drop(server);

    let bytes = fs::read(&state).expect("a state");
    let server = bench.start(&format!("{keep}\nlearn = false"));
    for i in [50, 51, 50, 52] {
        assert!(gap(&raw(&server, &prompt(i)), &wanted(i)) < 1e-4, "frozen: request {i}");
    }
    let again = raw(&server, &prompt(50));
    assert_eq!(again, raw(&server, &prompt(50)), "an answer that depends on nothing before it");
    sleep(Duration::from_millis(1100));
    raw(&server, &prompt(53));
    drop(server);
    assert_eq!(bytes, fs::read(&state).expect("a state"), "what is frozen is not written");
}

/// A state of another model, or with a share of nothing, is refused by name, and the program runs as without it.
#[test]
fn a_state_that_cannot_go_on_is_refused() {
    let bench = Bench::new();
    let keep = "state = \"state.safetensors\"";
    let server = bench.start(keep);
    raw(&server, &prompt(0));
    sleep(Duration::from_millis(1100));
    raw(&server, &prompt(1));
    drop(server);
    let state = bench.scratch.path("state.safetensors");
    let sound = fs::read(&state).expect("a state");

    let other = Arguments::new(&bench.scratch.model(Arch::Qwen2, FileType::F32)).exact();
    let server = Server::start(ServerKind::Xllamacpp, &other, &bench.setting(keep));
    assert!(server.log().contains("was fitted for other models"), "{}", server.log());
    raw(&server, &prompt(1));
    drop(server);
    assert_eq!(fs::read(&state).expect("a state"), sound, "it is left as it was");

    let zero = f32::to_le_bytes(1.0 / 3.0);
    let share = CalibrationFile::read(&state).expect("a state").fitted.tensors["prior"][0].to_le_bytes();
    let at = sound.windows(4).rposition(|b| b == share).unwrap_or_else(|| panic!("{zero:?} is there"));
    let mut broken = sound.clone();
    broken[at..at + 4].copy_from_slice(&0.0f32.to_le_bytes());
    fs::write(&state, &broken).expect("a state");
    let server = bench.start(keep);
    let log = server.log();
    assert!(log.contains("calibrate.state") && log.contains("got 0 at 0"), "{log}");
    assert_eq!(raw(&server, &prompt(1)), bench.plain(&prompt(1)).0, "it runs without");
}

/// Whichever way the library comes into the program, an embedding program's gate table among them.
#[test]
fn every_way_in_learns_the_same() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let decode = Decode { sequences: 2, ubatch: 5, last_only: true, ..Decode::new(&model) };
    let plain = host.plain(&decode);
    let table = keys("at = \"any\"").replace(&format!("min-count = {MIN_COUNT}"), "min-count = 2");
    let setting = scratch.profile(&Profile::empty().with(&table));
    let hooked = host.with(&decode, Door::Preload, &setting);
    let differ = |label: &str| {
        let of =
            |(a, b): (&evenkeel_tests::Row, &evenkeel_tests::Row)| a.label.starts_with(label) && a.logits != b.logits;
        plain.rows.iter().zip(&hooked.rows).filter(|pair| of(*pair)).count()
    };
    // Both prompts count, and what is generated after them is calibrated.
    assert_eq!((differ("prompt"), differ("decode")), (0, 12));
    for door in [Door::BackendPath, Door::Install, Door::Embed, Door::EmbedExported] {
        hooked.assert_same(&host.with(&decode, door, &setting), &format!("{door:?}"));
    }
}

/// The counters show the prior.
#[test]
fn the_counters_show_it() {
    let bench = Bench::new();
    let folder = bench.scratch.path("stats");
    let server =
        Server::start(ServerKind::Xllamacpp, &bench.arguments, &bench.setting("").env("EVENKEEL_STATS", &folder));
    (0..ASKED as u32).for_each(|i| drop(raw(&server, &prompt(i))));
    sleep(Duration::from_millis(1100));
    server.complete(&Request::tokens(&prompt(9)).with("grammar", json!("root ::= [a-z]")).with("n_predict", json!(1)));
    let file = fs::read_dir(&folder).expect("a folder").next().expect("a file").expect("an entry").path();
    let stats: Value = serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON");
    let prior = &stats["stats"]["contexts"][0]["rules"][0]["prior"];
    assert_eq!((&prior["requests"], &prior["used"]), (&json!(MIN_COUNT), &json!(true)), "{stats}");
    assert_eq!(prior["shares"].as_array().map(Vec::len), Some(3), "{prior}");
}

//! Calibration in a server: what clients get is what float64 makes of the logits that the same server gives without it,
//! whatever they ask for: probabilities, samplers, grammars, drafts.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::completion::Request;
use evenkeel_tests::host::{Arguments, Server, ServerKind};
use evenkeel_tests::{Door, Profile, Scratch, Setting};
use serde_json::{Value, json};

use super::{Case, Formula, cases, each, expected, letter, table, write_file};

/// Tokens of the tiny models.
const VOCAB: usize = 320;
/// That which ends a generation, which no request here wants.
const END: usize = 2;

struct Bench {
    scratch: Scratch,
    case: Case,
    arguments: Arguments,
    /// The server without the library.
    plain: Server,
}

impl Bench {
    /// The letters a, b and c, with a scale and an offset each.
    fn new() -> Bench {
        Self::of(cases().into_iter().find(|case| case.what == "affine").expect("a case"))
    }

    /// All letters, nearly alike: a quarter of the vocabulary, so that it often shows in what is said.
    fn of_all_letters() -> Bench {
        const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
        let labels = LETTERS.char_indices().map(|(i, c)| (&LETTERS[i..=i], letter(c))).collect();
        let formula: Formula = Box::new(|q| each(q, |_, q| q.ln() / 20.0));
        Self::of(Case {
            what: "temperature",
            labels,
            keys: "method = \"temperature\"\ntemperature = 20",
            file: vec![],
            formula,
        })
    }

    fn of(case: Case) -> Bench {
        let scratch = Scratch::new();
        write_file(&scratch, &case);
        let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
        let plain = Server::start(ServerKind::Xllamacpp, &arguments, &Setting::new());
        Bench { scratch, case, arguments, plain }
    }

    fn start(&self, arguments: &Arguments, at: &str) -> Server {
        let profile = Profile::empty().with(&table(&self.case, &format!("{at}\nmin-label-mass = 0")));
        let setting = Door::Preload.setting().and(&self.scratch.profile(&profile));
        Server::start(ServerKind::Xllamacpp, arguments, &setting)
    }

    /// What float64 makes of the plain server's logits after these tokens, up to a constant.
    fn calibrated(&self, tokens: &[u32]) -> Vec<f64> {
        expected(&self.case, &raw(&self.plain, tokens)).0
    }

    /// What the calibration adds to each of the labels' tokens after these.
    fn shift(&self, tokens: &[u32]) -> Vec<Value> {
        let (raw, after) = (raw(&self.plain, tokens), self.calibrated(tokens));
        let labelled = self.case.labels.iter().flat_map(|(_, tokens)| tokens);
        labelled.map(|t| json!([t, after[*t] - raw[*t]])).collect()
    }
}

/// Logarithms of all tokens' probabilities, before any sampler. What is said is a letter: a server tells nothing of a byte that
/// is no text.
pub fn raw(server: &Server, tokens: &[u32]) -> Vec<f64> {
    let request = Request::tokens(tokens).with("n_predict", json!(1)).with("n_probs", json!(VOCAB));
    let request = request.with("grammar", json!("root ::= [a-z]"));
    let mut all = vec![f64::NAN; VOCAB];
    server.complete(&request)[0].candidates.iter().for_each(|(token, p)| all[*token as usize] = *p);
    assert!(all.iter().all(|p| p.is_finite()), "every token has a probability");
    all
}

fn best(logits: &[f64], among: impl Fn(&usize) -> bool) -> usize {
    (0..logits.len()).filter(among).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).expect("a token")
}

pub fn post(server: &Server, body: &Value) -> Value {
    server.post("/completion", body).unwrap_or_else(|e| panic!("{body}: {e}\n{}", server.log()))
}

fn tokens(answer: &Value) -> Vec<u64> {
    let list = answer["tokens"].as_array().unwrap_or_else(|| panic!("an answer with tokens: {answer}"));
    list.iter().map(|t| t.as_u64().expect("a token")).collect()
}

/// The tokens that a server says with the highest logits, one after the other; `first` only the first one calibrated.
fn greedy(bench: &Bench, prompt: &[u32], n: usize, first: bool) -> Vec<u64> {
    let mut all = prompt.to_vec();
    for said in 0..n {
        let plain = first && said > 0;
        let logits = if plain { raw(&bench.plain, &all) } else { bench.calibrated(&all) };
        all.push(best(&logits, |token| *token != END) as u32);
    }
    all[prompt.len()..].iter().map(|t| u64::from(*t)).collect()
}

/// Prompts of which the calibration changes what is said first.
fn prompts() -> Vec<Vec<u32>> {
    (0..40u32).map(|i| (0..6).map(|j| 3 + (i * 37 + j * 101 + 11) % 300).collect()).collect()
}

#[test]
fn probabilities_are_those_of_float64() {
    let bench = Bench::new();
    let server = bench.start(&bench.arguments, "");
    for prompt in prompts().iter().step_by(5) {
        let (got, wanted) = (raw(&server, prompt), bench.calibrated(prompt));
        let gap = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let moved = raw(&bench.plain, prompt).iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(gap < 1e-4 && moved > 0.1, "{prompt:?}: {gap:e} of {moved:e}");
    }
    assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
}

/// Every sampler of the server's own, with one seed: it draws what it draws on a plain server whose client asks for the same
/// shift by `logit_bias`.
#[test]
fn samplers_see_calibrated_logits() {
    let bench = Bench::new();
    let server = bench.start(&bench.arguments, "");
    let samplers = [
        json!({ "samplers": ["temperature"], "temperature": 0.8 }),
        json!({ "samplers": ["top_k"], "top_k": 5 }),
        json!({ "samplers": ["top_p"], "top_p": 0.6 }),
        json!({ "samplers": ["min_p"], "min_p": 0.2 }),
        json!({ "samplers": ["typ_p"], "typical_p": 0.6 }),
        json!({ "samplers": ["top_n_sigma"], "top_n_sigma": 1.5 }),
        json!({ "samplers": ["xtc"], "xtc_probability": 1.0, "xtc_threshold": 0.01 }),
        json!({ "samplers": ["penalties"], "repeat_penalty": 1.5, "presence_penalty": 0.5, "frequency_penalty": 0.5 }),
        json!({ "samplers": ["dry"], "dry_multiplier": 2.0, "dry_allowed_length": 1 }),
        json!({ "samplers": ["temperature"], "temperature": 0.8, "dynatemp_range": 0.4 }),
        json!({ "mirostat": 1, "mirostat_tau": 3.0 }),
        json!({ "mirostat": 2, "mirostat_tau": 3.0 }),
        json!({ "temperature": 0.9 }),
    ];
    let (mut differ, mut asked) = (0, 0);
    for sampler in &samplers {
        for (seed, prompt) in prompts().iter().enumerate().step_by(4) {
            let mut body = json!({
                "prompt": prompt, "n_predict": 1, "n_probs": 12, "post_sampling_probs": true, "seed": seed,
                "cache_prompt": false, "ignore_eos": true, "return_tokens": true, "temperature": 1.0, "top_k": 0,
                "top_p": 1.0, "min_p": 0.0, "repeat_last_n": 64,
                "logit_bias": bytes().collect::<Vec<_>>(),
            });
            sampler.as_object().expect("keys").iter().for_each(|(key, value)| body[key] = value.clone());
            let (got, without) = (post(&server, &body), post(&bench.plain, &body));
            let mut shifted = body.clone();
            let bias = bytes().chain(bench.shift(prompt)).collect();
            shifted["logit_bias"] = Value::Array(bias);
            let wanted = post(&bench.plain, &shifted);
            assert_eq!(tokens(&got), tokens(&wanted), "{sampler}, {prompt:?}");
            let (a, b) = (list(&got), list(&wanted));
            assert_eq!(a.len(), b.len(), "{sampler}, {prompt:?}");
            for ((token, p), (_, wanted)) in a.iter().zip(&b) {
                assert!((p - wanted).abs() < 1e-4, "{sampler}, {prompt:?}, {token}: {p} {wanted}");
            }
            asked += 1;
            differ += usize::from(list(&without) != a);
        }
    }
    println!("{asked} answers, {differ} other than without the calibration");
    assert!(2 * differ > asked, "{differ} of {asked}");
}

/// Bytes that are no text by themselves, never to be said.
fn bytes() -> impl Iterator<Item = Value> {
    (3 + 128..3 + 256).map(|token| json!([token, false]))
}

/// What is left of the candidates after the samplers, by probability.
fn list(answer: &Value) -> Vec<(u64, f64)> {
    let top = answer["completion_probabilities"][0]["top_probs"].as_array();
    let entry = |e: &Value| (e["id"].as_u64().expect("a token"), e["prob"].as_f64().expect("a probability"));
    top.unwrap_or_else(|| panic!("no probabilities: {answer}")).iter().map(entry).collect()
}

/// The best of what a grammar allows is the best by calibrated logits.
#[test]
fn a_grammar_chooses_among_calibrated_labels() {
    let bench = Bench::new();
    let server = bench.start(&bench.arguments, "");
    let letters: Vec<usize> = bench.case.labels.iter().flat_map(|(_, tokens)| tokens[..2].to_vec()).collect();
    let mut changed = 0;
    for prompt in &prompts() {
        let body = json!({
            "prompt": prompt, "n_predict": 1, "temperature": 0.0, "cache_prompt": false, "return_tokens": true,
            "grammar": "root ::= [abc]",
        });
        let allowed = |t: &usize| letters.contains(t);
        let wanted = best(&bench.calibrated(prompt), allowed);
        assert_eq!(tokens(&post(&server, &body)), [wanted as u64], "{prompt:?}");
        changed += usize::from(best(&raw(&bench.plain, prompt), allowed) != wanted);
    }
    println!("{changed} of 40 answers are others than without the calibration");
    assert!(changed > 3, "{changed}");
}

/// Rows under verification are calibrated as they would be one by one, or not, as `at` says; with a draft that is the model
/// itself, so that many of its tokens are taken, and one that is calibrated, too.
#[test]
fn drafts_change_no_answer() {
    let bench = Bench::of_all_letters();
    let model = bench.scratch.model(Arch::Llama, FileType::F32);
    let other = bench.scratch.draft();
    for (at, first) in [("at = \"any\"", false), ("at = \"first\"", true)] {
        for (draft, whose) in [(&model, "the model itself"), (&other, "another model")] {
            let server = bench.start(&bench.arguments.clone().draft(draft), at);
            let (mut drafted, mut taken, mut changed) = (0, 0, 0);
            for prompt in prompts().iter().step_by(3) {
                let body = json!({
                    "prompt": prompt, "n_predict": 10, "temperature": 0.0, "cache_prompt": false, "ignore_eos": true,
                    "return_tokens": true,
                });
                let answer = post(&server, &body);
                let wanted = greedy(&bench, prompt, 10, first);
                assert_eq!(tokens(&answer), wanted, "{at}, {whose}, {prompt:?}");
                changed += usize::from(tokens(&post(&bench.plain, &body)) != wanted);
                drafted += answer["timings"]["draft_n"].as_u64().unwrap_or(0);
                taken += answer["timings"]["draft_n_accepted"].as_u64().unwrap_or(0);
            }
            println!("{at}, {whose}: {taken} of {drafted} drafted tokens taken, {changed} of 14 answers changed");
            assert!(drafted > 0 && (taken > 5 || whose != "the model itself"), "{taken} of {drafted}");
            assert!(changed > 0, "{changed} answers changed");
            assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
        }
    }
}

//! Contexts in the prompts of a server's clients, set off against the same prompts without them.

use std::collections::BTreeMap;
use std::fs;

use evenkeel_model::{Arch, FileType};
use serde_json::{Value, json};

use super::{Answer, Ask, Profiles};
use crate::Scratch;
use crate::completion::steps;
use crate::host::{Arguments, Server, ServerKind};

/// The special tokens of the tiny models' vocabulary, here around a context.
const OPEN: u32 = 1;
const CLOSE: u32 = 2;

pub(super) const ALPHA: f64 = 1.5;

/// How far log-probabilities may be from those of two servers' answers: batches of other shapes are summed in another order,
/// and a contrast makes up to four times of that.
pub(super) const TOLERANCE: f64 = 1e-3;

/// Tokens of the tiny models' vocabulary.
pub(super) const ALL: u32 = 320;

/// A prompt: tokens, and whether each is in a context.
#[derive(Clone, Default)]
struct Prompt(Vec<(u32, bool)>);

impl Prompt {
    fn and(mut self, seed: usize, n: usize) -> Self {
        self.0.extend((0..n).map(|i| (3 + ((i * 37 + seed * 101) % 300) as u32, false)));
        self
    }

    fn context(mut self, seed: usize, n: usize) -> Self {
        let inside = Self::default().and(seed, n).0.into_iter().map(|(token, _)| token);
        self.0.extend(std::iter::once(OPEN).chain(inside).chain([CLOSE]).map(|token| (token, true)));
        self
    }

    fn tokens(&self) -> Vec<u32> {
        self.0.iter().map(|(token, _)| *token).collect()
    }

    fn without(&self) -> Vec<u32> {
        self.0.iter().filter(|(_, inside)| !inside).map(|(token, _)| *token).collect()
    }

    fn ask(&self) -> Ask {
        Ask { predict: 4, ..Ask::tokens(&self.tokens()) }
    }
}

/// What the model says to a prompt by itself: the log-probability of every token.
pub(super) fn said(plain: &Server, prompt: &[u32], more: &[u64]) -> BTreeMap<u64, f64> {
    let prompt: Vec<u32> = prompt.iter().copied().chain(more.iter().map(|token| *token as u32)).collect();
    let mut body = Ask { predict: 1, ..Ask::tokens(&prompt) }.body();
    body["n_probs"] = json!(ALL);
    let answer = plain.post("/completion", &body).unwrap_or_else(|e| panic!("{e}\n{}", plain.log()));
    steps(&answer).remove(0).candidates.into_iter().collect()
}

/// The log-probabilities of `(1 + α)·full − α·without`.
///
/// # Panics
/// When the two are not about the same tokens.
pub(super) fn set_off(full: &BTreeMap<u64, f64>, without: &BTreeMap<u64, f64>) -> BTreeMap<u64, f64> {
    assert_eq!(full.len(), without.len());
    let moved = |(token, p): (&u64, &f64)| (*token, (1.0 + ALPHA) * p - ALPHA * without[token]);
    let moved: Vec<(u64, f64)> = full.iter().map(moved).collect();
    let most = moved.iter().map(|(_, x)| *x).fold(f64::MIN, f64::max);
    let sum = most + moved.iter().map(|(_, x)| (x - most).exp()).sum::<f64>().ln();
    moved.into_iter().map(|(token, x)| (token, x - sum)).collect()
}

/// How far an answer's log-probabilities are from those of two answers without the library, token by token.
fn distance(plain: &Server, prompt: &Prompt, answer: &Answer) -> f64 {
    let tokens = answer.tokens();
    let mut worst = 0.0f64;
    for (i, step) in answer.steps.iter().enumerate() {
        let full = said(plain, &prompt.tokens(), &tokens[..i]);
        let expected: BTreeMap<u64, f64> = if prompt.0.iter().any(|(_, inside)| *inside) {
            let without = said(plain, &prompt.without(), &tokens[..i]);
            set_off(&full, &without)
        } else {
            full
        };
        worst = step.candidates.iter().map(|(token, p)| (p - expected[token]).abs()).fold(worst, f64::max);
    }
    worst
}

fn send(server: &Server, ask: &Ask, fields: &Value) -> Vec<Answer> {
    let mut body = ask.body();
    for (key, value) in fields.as_object().expect("fields") {
        body[key] = value.clone();
    }
    let answer = server.post("/completion", &body).unwrap_or_else(|e| panic!("{e}\n{}", server.log()));
    let one =
        |answer: &Value| Answer { steps: steps(answer), cached: answer["timings"]["cache_n"].as_u64().unwrap_or(0) };
    answer.as_array().map_or_else(|| vec![one(&answer)], |all| all.iter().map(one).collect())
}

/// Whatever the server keeps between requests, and however it batches them, every answer is what two servers without the library
/// come to: one asked with the context, one without.
///
/// # Panics
/// When it is not so.
pub fn a_context_is_set_off(kind: ServerKind) {
    let scratch = Scratch::new();
    let folder = scratch.path("slots");
    fs::create_dir(&folder).expect("a folder");
    let profiles = Profiles::new(&scratch, Arch::Llama);
    let table =
        format!("[contrast]\nwithout = {{ open = \"<s>\", close = \"</s>\" }}\nalpha = {ALPHA}\nplausibility = 0\n");
    profiles.write("default", &table);
    let base = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
    let arguments = match kind {
        ServerKind::Xllamacpp => base.clone().extra(format!("slot_save_path={}/", folder.display())),
        _ => base.clone().extra("--slot-save-path").extra(format!("{}/", folder.display())),
    };
    let small = match kind {
        ServerKind::Xllamacpp => arguments.clone().extra("n_batch=64").extra("n_ubatch=8"),
        _ => arguments.clone().extra("-b").extra("64").extra("-ub").extra("8"),
    };
    let plain = Server::start(kind, &base.clone(), &crate::Setting::new());
    let first = Prompt::default().and(1, 9).context(2, 12).and(3, 10);
    let longer = first.clone().and(4, 5);
    // Another context after the same tokens; other tokens after a part of it; none; and something quite different.
    let within = Prompt(first.0[..14].to_vec());
    let within = Prompt([&within.0[..], &[(77, true), (CLOSE, true)]].concat()).and(5, 8);
    let before = Prompt(first.0[..5].to_vec()).and(6, 6).context(7, 6).and(8, 6);
    let none = Prompt(first.0[..9].to_vec()).and(9, 9);
    let other = Prompt::default().and(10, 30).context(11, 8).and(12, 4).context(13, 3).and(14, 3);
    let mut worst = 0.0f64;
    let mut check = |what: &str, prompt: &Prompt, answers: &[Answer], log: &str| {
        for answer in answers {
            let found = distance(&plain, prompt, answer);
            assert!(found < TOLERANCE, "{kind:?}, {what}: {found:e} from two servers' answers\n{log}");
            worst = worst.max(found);
        }
    };
    for (batches, arguments) in [("large", &arguments), ("small", &small)] {
        let one = Server::start(kind, arguments, &profiles.setting());
        let mut cached = 0;
        for (name, prompt) in [
            ("fresh", &first),
            ("again", &first),
            ("longer", &longer),
            ("cut inside", &within),
            ("cut before", &before),
            ("without markers", &none),
            ("another", &other),
            ("out of the prompt cache", &longer),
        ] {
            let answer = prompt.ask().warm().send(&one);
            cached += answer.cached;
            check(&format!("{batches} batches, {name}"), prompt, &[answer], &one.log());
        }
        assert!(cached > 60, "the host keeps something: {cached}");
        assert!(!one.log().contains("evenkeel: error"), "{}", one.log());
        let two = Server::start(kind, &arguments.clone().parallel(2), &profiles.setting());
        for n in 0..2 {
            first.ask().warm().on(n).send(&two);
        }
        let several = send(&two, &longer.ask().warm(), &json!({ "n_cmpl": 2 }));
        assert_eq!(several.len(), 2);
        check(&format!("{batches} batches, n_cmpl"), &longer, &several, &two.log());
        let slot = |slot: u32, action: &str| {
            let path = format!("/slots/{slot}?action={action}");
            two.post(&path, &json!({ "filename": "kept.bin" })).unwrap_or_else(|e| panic!("{action}: {e}"));
        };
        first.ask().warm().on(0).send(&two);
        slot(0, "save");
        slot(1, "erase");
        slot(1, "restore");
        let answer = longer.ask().warm().on(1).send(&two);
        assert!(answer.cached > 0, "a slot's file is used");
        check(&format!("{batches} batches, a slot's file"), &longer, &[answer], &two.log());
        let four = Server::start(kind, &arguments.clone().parallel(4), &profiles.setting());
        let prompts = [&first, &none, &other, &before];
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let asks = prompts.map(|prompt| Ask { predict: 12, ..prompt.ask() });
            let at_once = asks.map(|ask| {
                scope.spawn({
                    let four = &four;
                    move || ask.send(four)
                })
            });
            at_once.map(|thread| thread.join().expect("an answer")).into()
        });
        for (prompt, answer) in prompts.into_iter().zip(&answers) {
            check(&format!("{batches} batches, four at once"), prompt, std::slice::from_ref(answer), &four.log());
        }
        for server in [&two, &four] {
            assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
        }
    }
    // Drafts that are right, since the model itself makes them, and drafts that are not.
    let undrafted = Server::start(kind, &arguments, &profiles.setting());
    for (draft, right) in [(scratch.model(Arch::Llama, FileType::F32), true), (scratch.draft(), false)] {
        let drafting = Server::start(kind, &base.clone().draft(&draft), &profiles.setting());
        for (name, prompt) in [("drafted", &first), ("drafted, longer", &longer), ("drafted, without markers", &none)] {
            let ask = Ask { predict: 12, ..prompt.ask() }.warm();
            let (answer, accepted) = ask.drafted(&drafting);
            assert!(accepted > 0 || !right, "{name}: no draft was right");
            assert_eq!(answer.tokens(), ask.send(&undrafted).tokens(), "{name}");
            check(name, prompt, &[answer], &drafting.log());
        }
        // Nothing forbids a draft the token that closes a context; it is given up, and the answer is made without it.
        let log = drafting.log();
        let errors = log.lines().filter(|l| l.contains("evenkeel: error") && !l.contains("ends that has not begun"));
        assert_eq!(errors.collect::<Vec<_>>(), [""; 0]);
    }
    println!("{kind:?}: at most {worst:.1e} between a contrast and two servers' answers");
}

/// A context that fills the cache, and a prompt that does not pair: refused, and nobody else is touched. A cache shared by slots
/// whose contexts are long gone makes room.
///
/// # Panics
/// When it is not so.
pub fn a_context_that_cannot_be_set_off_is_refused(kind: ServerKind) {
    let scratch = Scratch::new();
    let profiles = Profiles::new(&scratch, Arch::Llama);
    let table =
        format!("[contrast]\nwithout = {{ open = \"<s>\", close = \"</s>\" }}\nalpha = {ALPHA}\nplausibility = 0\n");
    profiles.write("default", &table);
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
    let plain = Server::start(kind, &arguments, &crate::Setting::new());
    let server = Server::start(kind, &arguments, &profiles.setting());
    let good = Prompt::default().and(1, 9).context(2, 12).and(3, 10);
    let check = |what: &str, prompt: &Prompt| {
        let answer = prompt.ask().warm().send(&server);
        let found = distance(&plain, prompt, &answer);
        assert!(found < TOLERANCE, "{what}: {found:e}\n{}", server.log());
    };
    for prompt in [&[5, 6, CLOSE, 7, 8][..], &[5, OPEN, 6, 7], &[OPEN, 5, CLOSE]] {
        let mut body = Ask::tokens(prompt).warm().body();
        body["ignore_eos"] = json!(false);
        let refused = server.post("/completion", &body).expect("an answer");
        assert_eq!(refused["content"], "", "{refused}");
        check("after a refused request", &good);
    }
    // Of 512 cells: nearly full, twice with other tokens, so that what the second context has of the first must go.
    for seed in [20, 40] {
        check("a full cache", &Prompt::default().and(seed, 300).context(seed + 1, 150).and(seed + 2, 40));
    }
    check("after a full cache", &good);
    let log = server.log();
    let known = ["that has not begun", "does not end", "nothing is left"];
    let errors = log.lines().filter(|l| l.contains("evenkeel: error") && !known.iter().any(|why| l.contains(why)));
    assert_eq!(errors.collect::<Vec<_>>(), [""; 0]);
    assert!(known.iter().all(|why| log.contains(why)), "{log}");
}

/// Samplers that take part in the graph choose from what the contrast came to: the same tokens as those behind it do.
///
/// # Panics
/// When it is not so.
pub fn samplers_in_the_graph_read_a_contrast(kind: ServerKind) {
    let scratch = Scratch::new();
    let profiles = Profiles::new(&scratch, Arch::Llama);
    let table =
        format!("[contrast]\nwithout = {{ open = \"<s>\", close = \"</s>\" }}\nalpha = {ALPHA}\nplausibility = 0\n");
    profiles.write("default", &table);
    let behind = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
    let within = match kind {
        ServerKind::Xllamacpp => behind.clone().extra("sampling.backend_sampling=true").extra("verbosity=9"),
        _ => behind.clone().extra("-bs").extra("-lv").extra("9"),
    };
    let start = |arguments: &Arguments, setting| Server::start(kind, arguments, setting);
    let nothing = crate::Setting::new();
    let (plain, plain_within) = (start(&behind, &nothing), start(&within, &nothing));
    let (server, in_graph) = (start(&behind, &profiles.setting()), start(&within, &profiles.setting()));
    let prompts: Vec<Prompt> =
        (0..6).map(|i| Prompt::default().and(10 * i, 9).context(10 * i + 1, 12).and(10 * i + 2, 10)).collect();
    let mut moved = 0;
    for prompt in &prompts {
        let mut body = Ask { predict: 12, ..prompt.ask() }.warm().body();
        // Probabilities would be asked of the samplers behind the graph, and biases are not in it.
        for key in ["n_probs", "logit_bias"] {
            body.as_object_mut().expect("fields").remove(key);
        }
        body["return_tokens"] = json!(true);
        body["backend_sampling"] = json!(true);
        body["samplers"] = json!(["top_k"]);
        body["top_k"] = json!(1);
        let tokens = |server: &Server| {
            let answer = server.post("/completion", &body).unwrap_or_else(|e| panic!("{e}\n{}", server.log()));
            answer["tokens"].clone()
        };
        let [own, own_within, here, there] = [&plain, &plain_within, &server, &in_graph].map(tokens);
        assert_eq!(own, own_within, "the model's own");
        assert_eq!(here, there, "under the contrast\n{}", in_graph.log());
        moved += usize::from(own != here);
    }
    assert!(moved > 3, "the contrast counts in {moved}");
    let chosen = in_graph.log().matches("Backend sampler selected token").count();
    assert_eq!(chosen, 12 * prompts.len(), "tokens that were chosen in the graph");
    assert!(!in_graph.log().contains("evenkeel: error"), "{}", in_graph.log());
}

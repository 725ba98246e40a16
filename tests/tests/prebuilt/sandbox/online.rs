//! A prior that follows the stream, on the sandbox's model in a server, beside what a mean over the same stream gives: where
//! answers are as often "yes" as "no", and where they are not. `--nocapture` shows the figures.

use std::fs;

use evenkeel_tests::host::{Arguments, Server, ServerKind};
use evenkeel_tests::{Door, Scratch, Setting};
use serde_json::{Value, json};

use super::Report;
use super::items::sandbox;

/// Requests before the prior is used, in all of these.
const MIN_COUNT: usize = 32;

/// A question, and whether "yes" is right.
#[derive(Clone)]
struct Question {
    prompt: String,
    yes: bool,
}

/// All questions, in an order that has nothing to do with their answers.
fn questions() -> Vec<Question> {
    let text = fs::read_to_string(sandbox("labels/yes-no.jsonl")).expect("questions");
    let one = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        Question { prompt: line["prompt"].as_str().expect("a prompt").to_owned(), yes: line["answer"] == "yes" }
    };
    let all: Vec<Question> = text.lines().map(one).collect();
    // 7 and the number of questions have no common factor.
    (0..all.len()).map(|i| all[(i * 7 + i / 13) % all.len()].clone()).collect()
}

/// Every question with this answer, and of the others one for each `per` of them (none for 0).
fn mostly(no: bool, per: usize) -> Vec<Question> {
    let (kept, mut others): (Vec<_>, Vec<_>) = questions().into_iter().partition(|q| q.yes != no);
    let mut stream = Vec::new();
    for (i, question) in kept.into_iter().enumerate() {
        stream.push(question);
        if per > 0 && i % per == per - 1 {
            stream.extend(others.pop());
        }
    }
    stream
}

/// The share of "yes" between the two labels, and what they have together.
fn ask(server: &Server, question: &Question) -> f64 {
    let body =
        json!({ "prompt": question.prompt, "n_predict": 1, "n_probs": 40, "temperature": 0.0, "cache_prompt": false });
    let answer = server.post("/completion", &body).unwrap_or_else(|e| panic!("{e}\n{}", server.log()));
    let top = answer["completion_probabilities"][0]["top_logprobs"].as_array().expect("probabilities").clone();
    let of = |label: &str| -> f64 {
        let same = |t: &&Value| t["token"].as_str().is_some_and(|text| text.trim_start().eq_ignore_ascii_case(label));
        top.iter().filter(same).map(|t| t["logprob"].as_f64().expect("a number").exp()).sum()
    };
    let (yes, no) = (of("yes"), of("no"));
    assert!(yes + no > 0.5, "the labels are what is said");
    yes / (yes + no)
}

fn start(variant: &str, setting: &Setting) -> Server {
    let arguments = Arguments::new(&sandbox(&format!("models/{variant}-f16.gguf")));
    Server::start(ServerKind::Xllamacpp, &arguments, setting)
}

/// Right answers after the first [`MIN_COUNT`].
fn accuracy(stream: &[Question], yes: &[f64]) -> f64 {
    let rest = stream.iter().zip(yes).skip(MIN_COUNT);
    let (n, right) = rest.fold((0, 0), |(n, right), (q, yes)| (n + 1, right + usize::from((*yes > 0.5) == q.yes)));
    f64::from(right as u32) / f64::from(n)
}

/// What a prior that is a weighted mean over the stream so far would have answered.
fn by_mean(shares: &[f64], weight: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let (mut yes, mut sum) = (2.0, 4.0);
    let one = |share: &f64| {
        let prior: f64 = yes / sum;
        let w = weight(*share, prior);
        (yes, sum) = (yes + w * share, sum + w);
        let odds = share / (1.0 - share) * (1.0 - prior) / prior;
        odds / (1.0 + odds)
    };
    shares.iter().map(one).collect()
}

/// Tsallis' entropy of two shares with an exponent each, as a part of that of even shares. ADTE's exponents: the logarithms of
/// the prior, from 0.01 to 0.9.
fn tsallis(share: f64, prior: f64) -> f64 {
    let exponents = if prior < 0.5 { [0.01, 0.9] } else { [0.9, 0.01] };
    let entropy = |p: [f64; 2]| p.iter().zip(exponents).map(|(p, q)| (p.powf(q) - p) / (1.0 - q)).sum::<f64>();
    entropy([share, 1.0 - share]) / entropy([0.5, 0.5])
}

/// A stream: its name, and the bounds of `online`'s accuracy.
struct Case {
    variant: &'static str,
    what: &'static str,
    stream: Vec<Question>,
    /// What `online` must reach.
    least: f64,
    /// Whether it must be better than a mean over the stream.
    better: bool,
}

#[test]
fn a_stream_teaches_the_habit_and_not_its_answers() {
    let scratch = Scratch::new();
    let table = "[[calibrate]]\nname = \"yes-no\"\nlabels = [\"yes\", \"no\"]\nmethod = \"online\"\n";
    let profile = scratch.path("online.toml");
    fs::write(&profile, format!("schema = 1\n\n{table}")).expect("a profile");
    let setting = Door::Preload.setting().env("EVENKEEL_PROFILE", &profile);
    let case = |variant, what, stream, least, better| Case { variant, what, stream, least, better };
    let cases = [
        case("first", "as many yes as no", questions(), 0.85, false),
        case("first", "nine of ten answers are no", mostly(true, 9), 0.75, true),
        case("twin", "as many yes as no", questions(), 0.97, false),
        case("twin", "nine of ten answers are no", mostly(true, 9), 0.95, true),
        case("twin", "nine of ten answers are yes", mostly(false, 9), 0.95, true),
        case("twin", "all answers are no", mostly(true, 0), 0.85, true),
    ];
    let mut report = Report::default();
    for Case { variant, what, stream, least, better } in &cases {
        let answers = |setting: &Setting| -> Vec<f64> {
            let server = start(variant, setting);
            let yes = stream.iter().map(|q| ask(&server, q)).collect();
            assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
            yes
        };
        let plain = answers(&Setting::new());
        let online = answers(&setting);
        let mean = by_mean(&plain, |_, _| 1.0);
        let weighed = by_mean(&plain, tsallis);
        let [before, online, mean, weighed] = [&plain, &online, &mean, &weighed].map(|yes| accuracy(stream, yes));
        report.say(format!(
            "{variant}, {what} ({} questions): {before:.3}; online {online:.3}, a mean {mean:.3}, a mean weighed by \
             Tsallis' entropy {weighed:.3}",
            stream.len()
        ));
        report.expect(online >= *least, || format!("{variant}, {what}: {online}, not {least}"));
        report.expect(!better || online > mean + 0.01, || format!("{variant}, {what}: {online}, a mean {mean}"));
        // What is not transferred: as a weight of requests, the entropy with an exponent per label is no better.
        report.expect(online > weighed - 0.02, || format!("{variant}, {what}: {online}, weighed {weighed}"));
    }
    report.end();
}

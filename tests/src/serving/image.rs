//! Images in the requests of a server's clients, through its own vision encoder, set off against the same requests without them.

use std::collections::BTreeMap;
use std::path::Path;

use evenkeel_model::{Arch, FileType, Vision, tiny};
use serde_json::json;

use super::contrast::{ALL, ALPHA, TOLERANCE, said, set_off};
use super::question::{HEIGHT, LETTERS, MARKER, PREDICT, Question, WIDTH, greedy, post};
use super::{Answer, Profiles};
use crate::completion::{assert_same, steps};
use crate::host::{Arguments, Server, ServerKind};
use crate::{Scratch, Setting};

/// How far log-probabilities may be from those of two answers where the text model's activation is GELU, which is a table of F16:
/// a bit more or less in what it reads can move logits by as much.
const TABLED: f64 = 5e-3;

/// What the server by itself says to a question: the log-probability of every token.
fn full(plain: &Server, vision: Vision, question: &Question, left: &[u32]) -> BTreeMap<u64, f64> {
    let mut body = question.body(1);
    // With a window, a server by itself answers some images otherwise after it was asked other things.
    body["cache_prompt"] = json!(false);
    let answer = post(plain, "/completion", &body);
    let rows = vision.rows(WIDTH.into(), HEIGHT.into()) * question.images().len() as u64;
    assert_eq!(answer["tokens_evaluated"], left.len() as u64 + rows, "text and images are all there is");
    steps(&answer).remove(0).candidates.into_iter().collect()
}

/// How far an answer's log-probabilities are from those of two answers without the library, token by token.
fn distance(plain: &Server, vision: Vision, question: &Question, answer: &Answer) -> f64 {
    let generated = answer.tokens();
    let prompt = question.without(vision, plain);
    let mut worst = 0.0f64;
    for (i, step) in answer.steps.iter().enumerate() {
        assert_eq!(step.candidates.len(), ALL as usize);
        let longer = question.and(&generated[..i]);
        let left: Vec<u32> = prompt.iter().copied().chain(generated[..i].iter().map(|token| *token as u32)).collect();
        assert_eq!(longer.without(vision, plain), left, "what was generated is read as the same tokens");
        let mut expected = full(plain, vision, &longer, &left);
        if !question.images().is_empty() {
            expected = set_off(&expected, &said(plain, &left, &[]));
        }
        worst = step.candidates.iter().map(|(token, p)| (p - expected[token]).abs()).fold(worst, f64::max);
    }
    worst
}

/// Servers with a vision encoder, one of them without the library.
struct Bench {
    kind: ServerKind,
    vision: Vision,
    arguments: Arguments,
    stock: Setting,
    steered: Setting,
    plain: Server,
    worst: f64,
}

impl Bench {
    fn new(kind: ServerKind, vision: Vision, scratch: &Scratch) -> Self {
        let profiles = Profiles::new(scratch, vision.arch());
        profiles.write("default", &format!("[contrast]\nwithout = \"image\"\nalpha = {ALPHA}\nplausibility = 0\n"));
        let model = scratch.model(vision.arch(), FileType::F32);
        let arguments = Arguments::new(&model).vision(&scratch.vision(vision)).exact();
        let stock = Setting::new().env("LLAMA_MEDIA_MARKER", MARKER);
        let plain = Server::start(kind, &arguments, &stock);
        Self { kind, vision, arguments, steered: profiles.setting().and(&stock), stock, plain, worst: 0.0 }
    }

    fn check(&mut self, what: &str, question: &Question, answer: &Answer, server: &Server) {
        let (kind, vision) = (self.kind, self.vision);
        let tolerance = if vision.arch() == Arch::Gemma2 { TABLED } else { TOLERANCE };
        let found = distance(&self.plain, vision, question, answer);
        assert!(found < tolerance, "{kind:?}, {vision:?}, {what}: {found:e} from two answers\n{}", server.log());
        let log = server.log();
        assert!(!log.contains("evenkeel: error") && !log.contains("evenkeel: warning"), "{log}");
        self.worst = self.worst.max(found);
    }

    /// One after the other, with what is left of those before.
    fn in_turn(&mut self, arguments: &Arguments, questions: &[&Question]) {
        let server = Server::start(self.kind, arguments, &self.steered);
        for (i, question) in questions.iter().enumerate() {
            let answer = question.send(&server);
            let same = i > 0 && questions[i - 1] == *question;
            assert!(!same || answer.cached > self.vision.rows(WIDTH.into(), HEIGHT.into()), "an image in the cache");
            self.check(&format!("question {i}"), question, &answer, &server);
        }
        assert!(server.log().contains("a second context is made"), "{}", server.log());
    }

    fn at_once(&mut self, arguments: &Arguments, questions: [&Question; 3]) {
        let server = Server::start(self.kind, &arguments.clone().parallel(3), &self.steered);
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let threads = questions.map(|question| scope.spawn(|| question.send(&server)));
            threads.map(|thread| thread.join().expect("an answer")).into()
        });
        for (question, answer) in questions.into_iter().zip(&answers) {
            self.check("three at once", question, answer, &server);
        }
    }

    /// Drafts of the model itself, and of one that knows nothing, change no token.
    fn drafted(&self, scratch: &Scratch, questions: [&Question; 2]) {
        let arch = self.vision.arch();
        let [right, wrong] = [scratch.model(arch, FileType::F32), scratch.path("draft.gguf")];
        tiny(arch, 2, &wrong).expect("a model is written");
        let draft = |model: &Path| self.arguments.clone().draft(model);
        let drafting = [self.arguments.clone(), draft(&right), draft(&wrong)];
        let answers = drafting.map(|arguments| {
            let server = Server::start(self.kind, &arguments, &self.steered);
            let answers = questions.map(|question| {
                let mut body = question.body(4 * PREDICT);
                (body["logit_bias"], body["n_probs"], body["return_tokens"]) = (json!([]), json!(0), json!(true));
                let answer = post(&server, "/completion", &body);
                let accepted = answer["timings"]["draft_n_accepted"].as_u64().unwrap_or(0);
                (answer["tokens"].as_array().expect("tokens").clone(), accepted)
            });
            assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
            answers
        });
        let [undrafted, right, wrong] = answers;
        for (i, (own, _)) in undrafted.iter().enumerate() {
            assert_eq!(own.len(), 4 * PREDICT as usize);
            assert_eq!([own, own], [&right[i].0, &wrong[i].0], "drafts");
            assert!(right[i].1 > 0, "no draft was right");
        }
    }

    /// From a chat's client, with the template that the server has.
    fn chat(&mut self, question: &Question) {
        let server = Server::start(self.kind, &self.arguments, &self.steered);
        let mut body = greedy(PREDICT);
        body["messages"] = question.messages();
        (body["logprobs"], body["top_logprobs"]) = (json!(true), json!(ALL));
        let prompt = post(&server, "/apply-template", &json!({ "messages": body["messages"] }));
        let chat = post(&server, "/v1/chat/completions", &body);
        let steps = steps(&json!({ "completion_probabilities": chat["choices"][0]["logprobs"]["content"] }));
        assert_eq!(steps.len(), PREDICT as usize);
        let question = Question::of(prompt["prompt"].as_str().expect("a prompt"), question.images()[0]);
        self.check("a chat", &question, &Answer { steps, cached: 0 }, &server);
    }

    /// An image makes an answer, and the contrast makes it count 1 + α times as much, but for what is common to all tokens.
    fn counts(&self, questions: [&Question; 2]) {
        let server = Server::start(self.kind, &self.arguments, &self.steered);
        let first = |server: &Server, question: &Question| question.send(server).steps.remove(0).candidates;
        let apart = |a: &[(u64, f64)], b: &[(u64, f64)]| {
            let b: BTreeMap<u64, f64> = b.iter().copied().collect();
            a.iter().map(|(token, p)| (p - b[token]).abs()).fold(0.0, f64::max)
        };
        let [own, ours] = [&self.plain, &server].map(|server| questions.map(|question| first(server, question)));
        let (before, after, moved) = (apart(&own[0], &own[1]), apart(&ours[0], &ours[1]), apart(&own[0], &ours[0]));
        assert!(before > 0.1 && after > 2.0 * before && moved > 0.1, "{before}, {after}, {moved}");
    }

    /// Text, before an image and after one, beside a server without the library that is asked the same.
    fn text_alone(&self, text: &Question, image: &Question) {
        let pair = [&self.stock, &self.steered].map(|setting| Server::start(self.kind, &self.arguments, setting));
        for question in [text, image, text] {
            let [own, ours] = pair.each_ref().map(|server| question.send(server).steps);
            if question == text {
                assert_same(&own, &ours, "text alone");
            } else {
                assert!(own != ours, "an image");
            }
        }
    }
}

/// Whatever the server has in its cache, and however it batches them, every answer to images is what two servers without the
/// library come to: one asked with the images, one without. Text alone is answered as ever, to the last digit.
///
/// # Panics
/// When it is not so.
pub fn an_image_is_set_off(kind: ServerKind, vision: Vision) {
    let scratch = Scratch::new();
    let mut bench = Bench::new(kind, vision, &scratch);
    let first = Question::default().text("a b c d").image(1).text("e f g");
    let longer = first.and(&[LETTERS.start + 7, LETTERS.start + 8]);
    let other = Question::default().text("a b c d").image(2).text("e f g");
    let two = Question::default().text("a b").image(3).text("h").image(1).text("i j");
    let begin = Question::default().image(2).text("k l m");
    let none = Question::default().text("a b c d e f g");
    let end = Question::default().text("a b c").image(2);
    let mut questions = vec![&first, &first, &longer, &other, &first, &two, &begin, &none, &other];
    if !vision.around()[1].is_empty() {
        // Where nothing at all comes after an image, a server has no row to answer from.
        questions.push(&end);
    }
    let large = bench.arguments.clone();
    let small = match kind {
        ServerKind::Xllamacpp => large.clone().extra("n_batch=64").extra("n_ubatch=8"),
        _ => large.clone().extra("-b").extra("64").extra("-ub").extra("8"),
    };
    for arguments in [&large, &small] {
        bench.in_turn(arguments, &questions);
        bench.at_once(arguments, [&first, &none, &other]);
    }
    bench.drafted(&scratch, [&first, &two]);
    bench.chat(&first);
    bench.counts([&first, &other]);
    bench.text_alone(&none, &first);
    println!("{kind:?}, {vision:?}: at most {:.1e} between a contrast and two answers", bench.worst);
}

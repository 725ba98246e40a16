//! Segments in the prompts of a server's clients.

use std::sync::Mutex;

use evenkeel_model::{Arch, FileType};
use serde_json::json;

use super::{Answer, Ask, Profiles, cache::Random};
use crate::Scratch;
use crate::host::{Arguments, Server, ServerKind};
use crate::oracle::permutations;

/// The special tokens of the tiny models' vocabulary, here around each segment.
const OPEN: u32 = 1;
const CLOSE: u32 = 2;

/// How far log-probabilities may be from those of another order of the same segments, asked of a fresh cache: batches of
/// other shapes are summed in another order.
const TOLERANCE: f64 = 1e-3;

/// Clients at once, each with requests of its own.
const CLIENTS: u64 = 4;

/// A request whose segments can be put into any order.
#[derive(Clone)]
struct Question {
    prefix: usize,
    segments: Vec<usize>,
    suffix: usize,
    /// Tokens of a conversation that went on.
    more: usize,
}

impl Question {
    fn random(random: &mut Random) -> Self {
        let mut segments: Vec<usize> = (0..6).collect();
        (0..6).for_each(|i| segments.swap(i, random.below(6)));
        segments.truncate(2 + random.below(3));
        Self { prefix: random.below(2), segments, suffix: random.below(3), more: random.below(2) * 5 }
    }

    /// With its segments in the order of their numbers.
    fn sorted(&self) -> Self {
        let mut segments = self.segments.clone();
        segments.sort_unstable();
        Self { segments, ..self.clone() }
    }

    fn ask(&self) -> Ask {
        let words = |seed: usize, n: usize| (0..n).map(move |i| 3 + ((i * 37 + seed * 101) % 300) as u32);
        let mut prompt: Vec<u32> = words(self.prefix, 9 + 5 * self.prefix).collect();
        for segment in &self.segments {
            prompt.push(OPEN);
            prompt.extend(words(10 + segment, 3 + segment * 4));
            prompt.push(CLOSE);
        }
        prompt.extend(words(30 + self.suffix, 4 + self.suffix));
        prompt.extend(words(40, self.more));
        Ask::tokens(&prompt)
    }
}

/// Requests with the same and with other segments, in any order, from several clients at once, over few slots whose caches
/// are reused: every answer is that of a fresh cache to the same segments in one fixed order. A request whose markers do not
/// pair ends, and touches nobody else. Without the profile, the order decides.
///
/// # Panics
/// When it is not so.
pub fn segments_count_the_same_wherever_they_stand(kind: ServerKind, count: usize) {
    let scratch = Scratch::new();
    // Micro-batches that often end within a prompt's segments.
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact().parallel(4);
    let arguments = match kind {
        ServerKind::Xllamacpp => arguments.extra("n_batch=128").extra("n_ubatch=96"),
        ServerKind::Program | ServerKind::ProgramRpc => arguments.extra("-b").extra("128").extra("-ub").extra("96"),
    };
    for mode in ["pine", "set"] {
        let profiles = Profiles::new(&scratch, Arch::Llama);
        let markers = "segments = { open = \"<s>\", close = \"</s>\" }";
        profiles
            .write("default", &format!("[requests]\nchoose = [\"off\"]\n[invariance]\nmode = \"{mode}\"\n{markers}\n"));
        let (warm, fresh) = (
            Server::start(kind, &arguments, &profiles.setting()),
            Server::start(kind, &arguments, &profiles.setting()),
        );
        let answers: Mutex<Vec<(Question, Answer)>> = Mutex::default();
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (warm, answers) = (&warm, &answers);
                scope.spawn(move || {
                    let mut random = Random(client + 11);
                    for i in 0..count / CLIENTS as usize {
                        if i % 10 == 9 {
                            let mut body = Ask::tokens(&[5, 6, CLOSE, 7, 8]).warm().body();
                            body["ignore_eos"] = json!(false);
                            let refused = warm.post("/completion", &body).expect("an answer");
                            assert_eq!(refused["content"], "", "{refused}");
                        }
                        let question = Question::random(&mut random);
                        let answer = question.ask().warm().send(warm);
                        answers.lock().expect("no client failed").push((question, answer));
                    }
                });
            }
        });
        let answers = answers.into_inner().expect("no client failed");
        let (mut worst, mut wrong, mut cached, mut plain) = (0.0f64, 0, 0, 0);
        for (question, answer) in &answers {
            let distance = answer.distance(&question.sorted().ask().send(&fresh));
            (worst, cached) = (worst.max(distance), cached + answer.cached);
            wrong += usize::from(distance > TOLERANCE);
            if question.segments != question.sorted().segments && plain < 40 {
                let [here, there] = [question.clone(), question.sorted()].map(|q| q.ask().under("off").send(&fresh));
                plain += usize::from(here.distance(&there) > TOLERANCE);
            }
        }
        println!(
            "{kind:?}, {mode}: {} requests over 4 slots, {wrong} differ from the same segments in another order and a fresh cache \
             (largest difference {worst:.1e}), {cached} prompt tokens from the cache; without the profile {plain} of the first 40 \
             differ",
            answers.len()
        );
        let log = warm.log();
        assert!(wrong == 0, "{wrong} of {}, {worst:e}\n{log}", answers.len());
        assert!(cached > 0, "the host reuses prefixes");
        assert!(plain > 30, "the order decides without the profile: {plain}");
        assert!(log.contains("position 2: a segment ends that has not begun"), "{log}");
        let errors = log.lines().filter(|l| l.contains("evenkeel: error") && !l.contains("that has not begun"));
        assert_eq!(errors.collect::<Vec<_>>(), [""; 0]);
    }
}

/// Under `canonical` every order of a request's segments is answered alike, to the last digit; without it, some are not.
///
/// # Panics
/// When it is not so.
pub fn no_order_of_segments_moves_a_digit(kind: ServerKind) {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact().parallel(1);
    for mode in ["pine", "set"] {
        for canonical in [true, false] {
            let profiles = Profiles::new(&scratch, Arch::Llama);
            let markers = "segments = { open = \"<s>\", close = \"</s>\" }";
            let table = format!("[invariance]\nmode = \"{mode}\"\ncanonical = {canonical}\n{markers}\n");
            profiles.write("default", &table);
            let server = Server::start(kind, &arguments, &profiles.setting());
            let answers =
                |segments: Vec<usize>| Question { prefix: 1, segments, suffix: 2, more: 0 }.ask().send(&server);
            let first = answers(vec![0, 1, 2, 3]);
            let orders = permutations(4);
            let differ = orders.iter().filter(|order| answers((*order).clone()).steps != first.steps).count();
            println!(
                "{kind:?}, {mode}, canonical {canonical}: {differ} of {} orders are answered otherwise",
                orders.len()
            );
            assert_eq!(differ == 0, canonical, "{mode}, canonical {canonical}: {differ} orders");
        }
    }
}

/// A slot with segments that is saved and restored goes on as if it had never been away: with more of the conversation, and
/// with its segments in another order.
///
/// # Panics
/// When it is not so.
pub fn saved_slots_keep_their_segments(kind: ServerKind) {
    let scratch = Scratch::new();
    let folder = scratch.path("slots");
    std::fs::create_dir(&folder).expect("a folder");
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact().parallel(2);
    let arguments = match kind {
        ServerKind::Program | ServerKind::ProgramRpc => {
            arguments.extra("--slot-save-path").extra(format!("{}/", folder.display()))
        }
        ServerKind::Xllamacpp => arguments.extra(format!("slot_save_path={}/", folder.display())),
    };
    for mode in ["pine", "set"] {
        let profiles = Profiles::new(&scratch, Arch::Llama);
        let markers = "segments = { open = \"<s>\", close = \"</s>\" }";
        profiles.write("default", &format!("[invariance]\nmode = \"{mode}\"\n{markers}\n"));
        let server = Server::start(kind, &arguments, &profiles.setting());
        let slot = |slot: u32, action: &str| {
            let body = json!({ "filename": "state.bin" });
            server
                .post(&format!("/slots/{slot}?action={action}"), &body)
                .unwrap_or_else(|e| panic!("{action}: {e}\n{}", server.log()))
        };
        let begun = Question { prefix: 1, segments: vec![2, 0, 1], suffix: 1, more: 0 };
        let mut reused = 0;
        for next in [
            Question { more: 10, ..begun.clone() },
            begun.sorted(),
            Question { segments: vec![2, 0, 3], ..begun.clone() },
        ] {
            let fresh = next.ask().on(0).send(&server);
            begun.ask().on(0).send(&server);
            slot(0, "save");
            slot(1, "erase");
            slot(1, "restore");
            let answer = next.ask().on(1).warm().send(&server);
            reused += answer.cached;
            let distance = answer.distance(&fresh);
            assert!(distance < TOLERANCE, "{mode}, {:?}: {distance}\n{}", next.segments, server.log());
        }
        assert!(reused > 0, "{mode}: restored cells are reused");
        assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
    }
}

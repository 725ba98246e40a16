//! A cache that never lies.

use evenkeel_model::{Arch, FileType};

use super::{Answer, Ask, Profiles};
use crate::host::{Arguments, Server, ServerKind};
use crate::{Scratch, Setting};

/// How requests differ.
const PROFILES: [Option<&str>; 6] =
    [None, Some("strong"), Some("ablate"), Some("generated"), Some("held"), Some("off")];

/// Some last digits of a log-probability: what batches of other shapes come to, in some series of requests.
const ROUNDING: f64 = 3e-5;

/// What came of one series.
struct Series {
    /// Per request: how far the answer is from the one that a fresh cache gives.
    distances: Vec<f64>,
    /// Prompt tokens that came from the cache.
    cached: u64,
}

/// Sends requests that share prefixes, alternating in few slots, and compares each answer with that of a fresh cache.
///
/// `profiles`: what they choose; none without the library.
fn series(
    server: &Server,
    seed: u64,
    count: usize,
    profiles: &[Option<&str>],
    rounds: &mut dyn FnMut(&Ask) -> Answer,
) -> Series {
    let mut random = Random(seed);
    let mut series = Series { distances: vec![], cached: 0 };
    let prefixes: Vec<Vec<u32>> =
        (0..3).map(|k| (0..24).map(|i| 1 + (i * 37 + k * 11) % 300).collect::<Vec<u32>>()).collect();
    let mut talk: Vec<u32> = vec![];
    for _ in 0..count {
        let prefix = &prefixes[random.below(prefixes.len())];
        // Now and then a conversation goes on: the answer before is part of the prompt.
        let prompt = if !talk.is_empty() && random.below(3) == 0 {
            talk.iter().copied().chain((0..4).map(|i| 50 + i)).collect()
        } else {
            let cut = 6 + random.below(18);
            let tail = (0..1 + random.below(8)).map(|i| 60 + (i as u32 * 13 + random.0 as u32 % 7) % 200);
            prefix[..cut].iter().copied().chain(tail).collect::<Vec<u32>>()
        };
        let profile = profiles[random.below(profiles.len())];
        let ask = Ask { profile: profile.map(str::to_owned), ..Ask::tokens(&prompt) };
        let warm = ask.warm().send(server);
        let fresh = rounds(&ask);
        series.distances.push(warm.distance(&fresh));
        series.cached += warm.cached;
        talk = prompt.iter().copied().chain(warm.tokens().iter().map(|t| *t as u32)).collect();
        if talk.len() > 200 {
            talk.clear();
        }
    }
    series
}

/// What a host does by itself bounds what it may do with the library; a library that does not look at what cells were
/// computed under must be caught.
///
/// # Panics
/// When an answer depends on what was asked before, or when a lying cache is not caught.
pub fn answers_do_not_depend_on_what_was_asked_before(kind: ServerKind, arch: Arch, count: usize, mutant: &Setting) {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(arch, FileType::F32)).exact().parallel(2);
    let profiles = Profiles::new(&scratch, arch);
    profiles.usual();
    let run = |setting: &Setting, profiles: &[Option<&str>]| {
        let (warm, fresh) = (Server::start(kind, &arguments, setting), Server::start(kind, &arguments, setting));
        let series = series(&warm, 7, count, profiles, &mut |ask| ask.send(&fresh));
        (series, warm.log())
    };
    let (control, _) = run(&Setting::new(), &[None]);
    let largest = control.distances.iter().copied().filter(|d| d.is_finite()).fold(0.0, f64::max);
    let allowed = largest.max(ROUNDING);
    let stable = control.distances.iter().filter(|d| d.is_finite()).count();
    assert!(control.cached > 0, "{arch:?}: the host reuses prefixes");
    assert!(stable * 10 >= count * 9, "{arch:?}: the host itself is stable in {stable} of {count} requests");
    let (steered, log) = run(&profiles.setting(), &PROFILES);
    let wrong = |s: &Series| s.distances.iter().filter(|d| **d > allowed).count();
    println!(
        "{kind:?} {arch:?}: {count} requests; without the library up to {allowed:.2e} between warm and fresh, {stable} stable; with \
         it {} beyond that, {} of the prompts' tokens from the cache (without: {})",
        wrong(&steered),
        steered.cached,
        control.cached
    );
    assert!(wrong(&steered) <= count - stable, "{arch:?}: {:?}\n{log}", steered.distances);
    assert!(!log.contains("evenkeel: error"), "{log}");
    let (lying, _) = run(&profiles.setting().and(mutant), &PROFILES);
    assert!(wrong(&lying) > count / 20, "{arch:?}: a cache that lies is caught: {:?}", lying.distances);
}

/// A slot that is saved under one profile and restored under another is evaluated again; under the same it is reused.
///
/// # Panics
/// When it is not so.
pub fn saved_slots_carry_what_they_were_made_under(kind: ServerKind) {
    let scratch = Scratch::new();
    let folder = scratch.path("slots");
    std::fs::create_dir(&folder).expect("a folder");
    let mut arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact().parallel(2);
    arguments = match kind {
        ServerKind::Program | ServerKind::ProgramRpc => {
            arguments.extra("--slot-save-path").extra(format!("{}/", folder.display()))
        }
        ServerKind::Xllamacpp => arguments.extra(format!("slot_save_path={}/", folder.display())),
    };
    let profiles = Profiles::new(&scratch, Arch::Llama);
    profiles.usual();
    let server = Server::start(kind, &arguments, &profiles.setting());
    let prompt: Vec<u32> = (1..40).collect();
    let ask = Ask::tokens(&prompt).on(0);
    let slot = |slot: u32, action: &str| {
        let body = serde_json::json!({ "filename": "state.bin" });
        server
            .post(&format!("/slots/{slot}?action={action}"), &body)
            .unwrap_or_else(|e| panic!("{action}: {e}\n{}", server.log()))
    };
    let fresh: Vec<Answer> = PROFILES.iter().map(|p| with(&ask, *p).send(&server)).collect();
    for (made, made_under) in PROFILES.iter().enumerate() {
        with(&ask, *made_under).send(&server);
        slot(0, "save");
        for (i, under) in PROFILES.iter().enumerate() {
            slot(1, "erase");
            slot(1, "restore");
            let answer = with(&ask.on(1).warm(), *under).send(&server);
            let distance = answer.distance(&fresh[i]);
            assert!(distance < 1e-3, "made under {made_under:?}, asked under {under:?}: {distance}\n{}", server.log());
            // What was generated under a rule for generated tokens is a prompt's now; the prompt itself is the same.
            if i == made && !matches!(*under, Some("generated" | "held")) {
                assert!(answer.cached > 0, "under {under:?} a state of its own is reused");
            }
        }
    }
    assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
}

fn with(ask: &Ask, profile: Option<&str>) -> Ask {
    Ask { profile: profile.map(str::to_owned), ..ask.clone() }
}

/// A small generator, the same everywhere.
pub(super) struct Random(pub u64);

impl Random {
    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

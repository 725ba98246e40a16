//! Many clients at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use evenkeel_model::{Arch, FileType};

use super::{Ask, Profiles, cache::Random};
use crate::Scratch;
use crate::host::{Arguments, Server, ServerKind};

/// How far log-probabilities may be from those of a fresh cache.
const TOLERANCE: f64 = 1e-3;

/// How long, and how much at once.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Slots of the server, and clients.
    pub slots: u32,
    /// How long.
    pub time: Duration,
}

/// Clients that choose profiles at random, over prompts that share prefixes, while the profiles are written anew every
/// second: every answer is that of a fresh cache as far as two answers of the host's own agree, memory stays, and it ends.
///
/// # Panics
/// When it is not so.
pub fn requests_of_many_clients(kind: ServerKind, load: Load) {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact().parallel(load.slots);
    let profiles = Profiles::new(&scratch, Arch::Llama);
    profiles.usual();
    let server = Server::start(kind, &arguments, &profiles.setting());
    let prompts: Vec<Vec<u32>> =
        (0..6).map(|k| (0..16 + k).map(|i| 1 + (i * 37 + (k / 2) * 11) % 300).collect()).collect();
    // The last one is what has nothing to do.
    let names = [None, Some("strong"), Some("ablate"), Some("generated"), Some("held"), Some("off")];
    let ask = |prompt: &[u32], name: Option<&str>| Ask { profile: name.map(str::to_owned), ..Ask::tokens(prompt) };
    let expected: Vec<Vec<_>> =
        prompts.iter().map(|p| names.iter().map(|n| ask(p, *n).send(&server)).collect()).collect();
    // What is off is what the host answers without the library, wherever two answers of it agree.
    let plain = Server::start(kind, &arguments, &crate::Setting::new());
    let mut stable = 0;
    for (prompt, expected) in prompts.iter().zip(&expected) {
        let [a, b] = [(); 2].map(|()| Ask::tokens(prompt).send(&plain));
        if a == b {
            stable += 1;
            let distance = expected[names.len() - 1].distance(&a);
            assert!(distance < TOLERANCE, "off is {distance} from a server without the library\n{}", server.log());
        }
    }
    assert!(stable > 0, "no answer of the host's is the same twice");
    drop(plain);
    let (answers, wrong, largest) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    let mut memory: Vec<u64> = vec![];
    std::thread::scope(|scope| {
        for client in 0..load.slots {
            let (server, prompts, expected, answers, wrong, largest) =
                (&server, &prompts, &expected, &answers, &wrong, &largest);
            scope.spawn(move || {
                let mut random = Random(u64::from(client) + 1);
                while start.elapsed() < load.time {
                    let (p, n) = (random.below(prompts.len()), random.below(names.len()));
                    let answer = ask(&prompts[p], names[n]).warm().send(server);
                    answers.fetch_add(1, Ordering::Relaxed);
                    let distance = answer.distance(&expected[p][n]);
                    // Batches of other shapes move log-probabilities by less than a hundredth of what another profile does.
                    if distance > TOLERANCE {
                        wrong.fetch_add(1, Ordering::Relaxed);
                    }
                    largest.fetch_max((distance.min(1e9) * 1e9) as u64, Ordering::Relaxed);
                }
            });
        }
        let mut round = 0u32;
        while start.elapsed() < load.time {
            std::thread::sleep(Duration::from_secs(1));
            // The same rules under another description: read, checked and taken up, with nothing changed in what it does.
            round += 1;
            let text = std::fs::read_to_string(profiles.path("strong")).expect("a profile");
            let rules = text.split_once("[[steer]]").expect("a rule").1;
            profiles.write("strong", &format!("description = \"round {round}\"\n[[steer]]{rules}"));
            memory.push(server.resident_memory());
        }
    });
    let (answers, wrong) = (answers.into_inner(), wrong.into_inner());
    let third = memory.len() / 3;
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len().max(1) as f64 / f64::from(1 << 20);
    let (early, late) = (mean(&memory[third..2 * third]), mean(&memory[2 * third..]));
    println!(
        "{kind:?}: {} slots, {:?}: {answers} answers, {wrong} wrong, log-probabilities within {:.1e} of a fresh cache's, memory \
         {early:.1} MiB in the middle third, {late:.1} MiB in the last",
        load.slots,
        load.time,
        largest.into_inner() as f64 / 1e9
    );
    assert!(answers > 0 && wrong == 0, "{wrong} of {answers} answers are wrong\n{}", server.log());
    assert!(late < early * 1.05 + 4.0, "memory grows from {early:.1} to {late:.1} MiB");
    assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
}

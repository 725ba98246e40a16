//! Changed profiles.

use std::thread::sleep;
use std::time::{Duration, Instant};

use evenkeel_model::{Arch, FileType};

use super::{Answer, Ask, Profiles};
use crate::Scratch;
use crate::host::{Arguments, Server, ServerKind};

/// What is being generated goes on as it began; the next request is new, also where its prompt is cached; a file with errors
/// changes nothing and is named once; no request fails.
///
/// # Panics
/// When it is not so.
pub fn a_reload_concerns_what_begins_afterwards(kind: ServerKind) {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact().parallel(2);
    let profiles = Profiles::new(&scratch, Arch::Llama);
    let rule = |strength: f32| format!("[[steer]]\nname = \"r\"\ndirection = \"v.gguf\"\nstrength = {strength:?}\n");
    profiles.write("default", &rule(2.0));
    let server = Server::start(kind, &arguments, &profiles.setting());
    let prompt: Vec<u32> = (0..20).map(|i| 1 + (i * 29) % 300).collect();
    let short = Ask::tokens(&prompt);
    let long = Ask { predict: 400, ..short.clone() };
    let (before, whole) = (short.send(&server), long.send(&server));
    let during = std::thread::scope(|scope| {
        let job = scope.spawn(|| long.send(&server));
        // The watch looks once a second: the file changes while tokens are generated.
        profiles.write("default", &rule(-3.0));
        job.join().expect("an answer")
    });
    assert_eq!(whole.tokens(), during.tokens(), "what was being generated\n{}", server.log());
    let after = wait_for(&server, &short.warm(), "the reloaded profiles", |a| a.distance(&before) > 1e-3);
    let fresh = short.send(&server);
    assert!(after.distance(&fresh) < 1e-3, "a cached prompt is evaluated again\n{}", server.log());
    assert_ne!(after.steps, before.steps);
    profiles.write("default", "[[steer]]\nname = \"r\"\ndirection = \"missing.gguf\"\n");
    wait_for(&server, &short, "is not taken up", |_| true);
    assert!(short.send(&server).distance(&fresh) < 1e-3, "the last good profile stays in force");
    profiles.write("default", &rule(2.0));
    let again = wait_for(&server, &short.warm(), "the reloaded profiles", |a| a.distance(&before) < 1e-3);
    assert!(again.distance(&before) < 1e-3, "the first profile again\n{}", server.log());
    assert_eq!(server.log().matches("missing.gguf").count(), 1, "an error is said once\n{}", server.log());
}

/// Asks until the log says `word` and the answer is right.
fn wait_for(server: &Server, ask: &Ask, word: &str, right: impl Fn(&Answer) -> bool) -> Answer {
    let start = Instant::now();
    loop {
        let answer = ask.send(server);
        if server.log().contains(word) && right(&answer) {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "nothing came of it\n{}", server.log());
        sleep(Duration::from_millis(50));
    }
}

//! Choosing per request.

use evenkeel_model::{Arch, FileType};

use super::{Ask, Profiles};
use crate::completion::assert_same;
use crate::host::{Arguments, Server, ServerKind};
use crate::{Door, Profile, Scratch, Setting};

const PROMPT: [u32; 12] = [1, 40, 200, 7, 301, 99, 260, 262, 150, 33, 280, 290];

/// Each profile that a client chooses gives what a server gives that has only this one; `off` gives what one gives without
/// the library; nothing chosen is the default; the channel leaves the sampler alone.
///
/// # Panics
/// When it is not so.
pub fn a_client_chooses_what_it_may(kind: ServerKind) {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
    let profiles = Profiles::new(&scratch, Arch::Llama);
    profiles.usual();
    let alone = |setting: &Setting| Ask::tokens(&PROMPT).send(&Server::start(kind, &arguments, setting)).steps;
    let rule = |text: &str| Door::Preload.setting().and(&scratch.profile(&Profile::empty().with(text)));
    let plain = alone(&Setting::new());
    let server = Server::start(kind, &arguments, &profiles.setting());
    let ask = Ask::tokens(&PROMPT);
    let expected = [
        (None, alone(&rule("[[steer]]\nname = \"add\"\ndirection = \"v.gguf\"\nstrength = 2.0"))),
        (Some("strong"), alone(&rule("[[steer]]\nname = \"s\"\ndirection = \"minus-v.gguf\"\nstrength = 3.0"))),
        (Some("ablate"), alone(&rule("[[steer]]\nname = \"a\"\ndirection = \"v.gguf\"\noperator = \"project\""))),
        (Some("off"), plain),
    ];
    // Twice, so that each follows each: nothing of an earlier choice is left.
    for round in 0..2 {
        for (name, steps) in &expected {
            let ask = name.map_or_else(|| ask.clone(), |name| ask.under(name));
            assert_same(steps, &ask.send(&server).steps, &format!("round {round}, chosen {name:?}"));
        }
    }
    for (i, (a, x)) in expected.iter().enumerate() {
        for (b, y) in &expected[i + 1..] {
            assert_ne!(x, y, "{a:?} and {b:?} differ");
        }
    }
    assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
}

/// A rule for generated tokens leaves the first one's probabilities as they are without it, and changes the next; a rule for
/// the prompt changes the first; one for the last prompt token as well, and less than all of it.
///
/// # Panics
/// When it is not so.
pub fn a_phase_rule_acts_in_its_phase(kind: ServerKind) {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
    let profiles = Profiles::new(&scratch, Arch::Llama);
    let rule = |tokens: &str| {
        format!("[[steer]]\nname = \"r\"\ndirection = \"v.gguf\"\nstrength = 3.0\ntokens = \"{tokens}\"\n")
    };
    profiles.write("default", "[requests]\nchoose = [\"prompt\", \"generated\", \"last\", \"first\", \"all\"]\n");
    for (name, tokens) in
        [("prompt", "prompt"), ("generated", "generated"), ("last", "last"), ("first", "0..3"), ("all", "all")]
    {
        profiles.write(name, &rule(tokens));
    }
    let server = Server::start(kind, &arguments, &profiles.setting());
    let plain = Ask::tokens(&PROMPT).send(&server).steps;
    let under = |name: &str| Ask::tokens(&PROMPT).under(name).send(&server).steps;
    let all = under("all");
    let generated = under("generated");
    assert_eq!(generated[0], plain[0], "the prompt's own answer");
    assert_ne!(generated[1].candidates, plain[1].candidates, "the first generated token is steered");
    for name in ["prompt", "last", "first"] {
        let steps = under(name);
        assert_ne!(steps[0], plain[0], "{name}");
        let as_all = steps[0] == all[0];
        assert_eq!(as_all, name == "prompt", "{name}: the first answer under a rule for all tokens");
    }
    assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
}

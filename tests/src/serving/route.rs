//! Text routes.

use evenkeel_model::{Arch, FileType};

use super::{Ask, Profiles};
use crate::Scratch;
use crate::host::{Arguments, Server, ServerKind};

/// Two prompts that differ after the first words, alternating in one slot, in both orders: each gets what a fresh cache gives,
/// and the prefix that both share is reused.
///
/// # Panics
/// When it is not so.
pub fn a_route_holds_from_the_first_row_after_its_text(kind: ServerKind) {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
    let profiles = Profiles::new(&scratch, Arch::Llama);
    let word = |server: &Server, token: u32| {
        let answer = server.post("/detokenize", &serde_json::json!({ "tokens": [token] })).expect("text");
        answer["content"].as_str().expect("text").to_owned()
    };
    let plain = Server::start(kind, &arguments, &crate::Setting::new());
    let start: Vec<u32> = (0..12).map(|i| 270 + i).collect();
    let prompt = |tail: [u32; 3]| -> Vec<u32> { start.iter().copied().chain(tail).chain(300..306).collect() };
    let (left, right) = (prompt([290, 291, 292]), prompt([295, 296, 297]));
    let text = format!("{}{}", word(&plain, 290), word(&plain, 291));
    assert!(!text.trim().is_empty(), "the tiny model's tokens have text");
    let add = "[[steer]]\nname = \"r\"\ndirection = \"v.gguf\"\nstrength = 3.0\n";
    profiles.write("left", &format!("[[route]]\nwhen = {{ text = {text:?} }}\n{add}"));
    profiles.write("off-by-default", "description = \"nothing\"\n");
    let setting = profiles.setting();
    let fresh = |prompt: &[u32]| Ask::tokens(prompt).send(&Server::start(kind, &arguments, &setting));
    let (fresh_left, fresh_right) = (fresh(&left), fresh(&right));
    let (plain_left, plain_right) = (Ask::tokens(&left).send(&plain), Ask::tokens(&right).send(&plain));
    assert!(fresh_right.distance(&plain_right) < 1e-3, "where nothing matches, nothing acts");
    assert_ne!(fresh_left.steps, plain_left.steps, "where the text stands, the rule acts");
    for order in [[&left, &right], [&right, &left]] {
        let server = Server::start(kind, &arguments, &setting);
        for round in 0..3 {
            for prompt in order {
                let answer = Ask::tokens(prompt).warm().send(&server);
                let fresh = if prompt == &left { &fresh_left } else { &fresh_right };
                assert!(answer.distance(fresh) < 1e-3, "round {round}\n{}", server.log());
                assert!(round == 0 || answer.cached >= start.len() as u64, "the shared prefix is reused");
            }
        }
        assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
    }
}

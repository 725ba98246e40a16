//! Trouble stays in its sequence.

use evenkeel_model::{Arch, FileType};
use serde_json::json;

use super::{Ask, Profiles, profiles::ADD};
use crate::Scratch;
use crate::host::{Arguments, Server, ServerKind};

/// A request that chooses what it may not choose ends at once (`refuse`) or runs without a profile (`bypass`); three others
/// beside it in the same batches get what they get alone.
///
/// # Panics
/// When it is not so.
pub fn a_bad_request_touches_nobody_else(kind: ServerKind) {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact().parallel(4);
    for on_error in ["refuse", "bypass"] {
        let profiles = Profiles::new(&scratch, Arch::Llama);
        profiles
            .write("default", &format!("[runtime]\non-error = \"{on_error}\"\n[requests]\nchoose = [\"off\"]\n{ADD}"));
        let server = Server::start(kind, &arguments, &profiles.setting());
        let prompts: Vec<Vec<u32>> = (0..3).map(|k| (0..20).map(|i| 1 + (i * 29 + k * 17) % 300).collect()).collect();
        let asks: Vec<Ask> = prompts.iter().map(|p| Ask { predict: 24, ..Ask::tokens(p) }).collect();
        let alone: Vec<_> = asks.iter().map(|ask| ask.send(&server)).collect();
        let bad = |server: &Server| {
            let mut body = Ask { predict: 24, ..Ask::tokens(&prompts[0]) }.under("secret").body();
            body["ignore_eos"] = json!(false);
            server.post("/completion", &body).unwrap_or_else(|e| panic!("{e}\n{}", server.log()))
        };
        let (together, refused) = std::thread::scope(|scope| {
            let jobs: Vec<_> = asks.iter().map(|ask| scope.spawn(|| ask.send(&server))).collect();
            let refused = bad(&server);
            (jobs.into_iter().map(|j| j.join().expect("an answer")).collect::<Vec<_>>(), refused)
        });
        let log = server.log();
        assert!(log.contains("a request chose \"secret\", allowed: off"), "{log}");
        let off = Ask { predict: 24, ..Ask::tokens(&prompts[0]) }.under("off").send(&server);
        let tokens = refused["tokens_predicted"].as_u64().expect("a number of tokens");
        match on_error {
            "refuse" => assert_eq!((tokens <= 1, &refused["content"]), (true, &json!("")), "{refused}"),
            _ => {
                let first = refused["completion_probabilities"][0]["id"].as_u64();
                assert_eq!(first, Some(off.steps[0].token), "{refused}");
            }
        }
        for (alone, together) in alone.iter().zip(&together) {
            let distance = alone.distance(together);
            assert!(distance < 1e-3, "{on_error}: {distance}\n{log}");
        }
        // And afterwards it is as it was.
        assert_eq!(alone[0].tokens(), asks[0].send(&server).tokens(), "{on_error}");
    }
}

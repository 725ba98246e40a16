//! What steers nothing changes no bit: no profile, an empty one, strength 0, `v` and `−v`.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Scratch};

/// Profiles that must leave every logit as it is.
pub fn nothing() -> [(&'static str, Profile); 3] {
    [
        ("an empty profile", Profile::empty()),
        ("strength 0", Profile::add("v.gguf", 0.0)),
        ("v and -v", Profile::add("v.gguf", 2.0).and_add("minus-v.gguf", 2.0, "\"all\"")),
    ]
}

fn check(host: &CHost, scratch: &Scratch, decode: &Decode, what: &str) {
    let plain = host.plain(decode);
    let library = host.with(decode, Door::Preload, &evenkeel_tests::Setting::new());
    plain.assert_same(&library, &format!("{what}: no profile"));
    for (name, profile) in nothing() {
        let steered = host.with(decode, Door::Preload, &scratch.profile(&profile));
        plain.assert_same(&steered, &format!("{what}: {name}"));
        assert_eq!(plain.nodes, steered.nodes, "{what}: {name}: number of nodes");
    }
}

/// Prefill and decode, flash attention off and on, every architecture.
#[test]
fn no_bit_changes() {
    let host = CHost::node_llama_cpp();
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        for flash in [false, true] {
            let decode = Decode { flash, ..Decode::new(&model) };
            check(&host, &scratch, &decode, &format!("{arch:?}, flash attention {flash}"));
        }
    }
}

/// The graph has as many nodes as without the library. (Counting goes through llama.cpp's evaluation callback, which is
/// a way of computing of its own; so this is apart.)
#[test]
fn no_node_is_added() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    scratch.vector(Arch::Llama);
    let decode = Decode { count: true, ..Decode::new(&model) };
    assert!(host.plain(&decode).nodes.iter().all(|nodes| *nodes > 100), "nodes are counted");
    check(&host, &scratch, &decode, "counted");
}

/// Several sequences in one batch, prompts cut into micro-batches, logits of the last row only, quantised weights.
#[test]
fn no_bit_changes_in_other_batches() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::Q8_0);
    scratch.vector(Arch::Llama);
    let base = Decode::new(&model);
    let cases = [
        ("four sequences", Decode { sequences: 4, ..base.clone() }),
        ("micro-batches of 5", Decode { ubatch: 5, ..base.clone() }),
        ("the last row only", Decode { last_only: true, ubatch: 5, ..base.clone() }),
        ("two threads", Decode { threads: 2, ..base.clone() }),
        ("two contexts", Decode { contexts: 2, ..base }),
    ];
    for (what, decode) in cases {
        check(&host, &scratch, &decode, what);
    }
}

//! What steers nothing changes no bit: no profile, an empty one, strength 0, `v` and `−v`.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::Scratch;
use evenkeel_tests::claim::changes_nothing;
use evenkeel_tests::host::{CHost, Decode};

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
            changes_nothing(&host, &scratch, &decode, &format!("{arch:?}, flash attention {flash}"));
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
    changes_nothing(&host, &scratch, &decode, "counted");
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
        changes_nothing(&host, &scratch, &decode, what);
    }
}

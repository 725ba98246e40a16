//! `add` is llama.cpp's own control vector, bit for bit.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::claim::is_native;
use evenkeel_tests::host::{CHost, Decode, Native};
use evenkeel_tests::{Door, Profile, Scratch};

/// Prefill and decode, flash attention off and on, every architecture.
#[test]
fn every_architecture() {
    let host = CHost::node_llama_cpp();
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        for flash in [false, true] {
            let decode = Decode { flash, ..Decode::new(&model) };
            is_native(&host, &scratch, &decode, None, 2.0, &format!("{arch:?}, flash attention {flash}"));
        }
    }
}

/// A range of layers, with a strength that is no power of two.
#[test]
fn layers_and_strength() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let decode = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    for layers in [(1, 1), (2, 3), (4, 4)] {
        is_native(&host, &scratch, &decode, Some(layers), -0.7, &format!("layers {layers:?}"));
    }
}

/// Several sequences, small micro-batches, row selection in the last layer, quantised weights, a second context.
#[test]
fn every_batch() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let base = Decode::new(&scratch.model(Arch::Qwen3, FileType::Q8_0));
    scratch.vector(Arch::Qwen3);
    let cases = [
        ("four sequences", Decode { sequences: 4, ..base.clone() }),
        ("micro-batches of 5", Decode { ubatch: 5, ..base.clone() }),
        ("the last row only", Decode { last_only: true, ubatch: 5, ..base.clone() }),
        ("two threads", Decode { threads: 2, ..base.clone() }),
        ("two contexts", Decode { contexts: 2, ..base }),
    ];
    for (what, decode) in cases {
        is_native(&host, &scratch, &decode, None, 1.5, what);
    }
}

/// `add` costs what the control vector costs: as many nodes, layer by layer in one addition each.
#[test]
fn as_many_nodes() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let decode = Decode { count: true, ..Decode::new(&scratch.model(Arch::Llama, FileType::F32)) };
    scratch.vector(Arch::Llama);
    let native = Native { file: scratch.path("v.gguf"), strength: 2.0, layers: None };
    let native = host.plain(&Decode { native: Some(native), ..decode.clone() });
    let steered = host.with(&decode, Door::Preload, &scratch.profile(&Profile::add("v.gguf", 2.0)));
    assert_eq!(native.nodes, steered.nodes);
    assert_ne!(native.nodes, host.plain(&decode).nodes, "both have more than the plain graph");
}

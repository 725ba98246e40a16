//! The three ways in do the same, and a host of another kind, Node, uses two of them.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode, Native, Node, native_vector};
use evenkeel_tests::{Door, Profile, Scratch, Setting};

/// Through every door, the C host computes what llama.cpp's own control vector gives.
#[test]
fn every_door_leads_to_the_same_logits() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let decode = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    let native = Native { file: scratch.path("v.gguf"), strength: 2.0, layers: None };
    let native = host.plain(&Decode { native: Some(native), ..decode.clone() });
    let profile = scratch.profile(&Profile::add("v.gguf", 2.0));
    for door in [Door::Preload, Door::BackendPath, Door::Install] {
        native.assert_same(&host.with(&decode, door, &profile), &format!("{door:?}"));
    }
}

/// Two doors at once (a preloaded library that ggml is also told to load) steer once.
#[test]
fn two_doors_steer_once() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let decode = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    let profile = scratch.profile(&Profile::add("v.gguf", 2.0));
    let once = host.with(&decode, Door::Preload, &profile);
    let both = Door::BackendPath.setting().and(&profile);
    once.assert_same(&host.with(&decode, Door::Preload, &both), "LD_PRELOAD and GGML_BACKEND_PATH");
    once.assert_same(&host.with(&decode, Door::Install, &Door::Preload.setting().and(&profile)), "and ek_install");
}

/// node-llama-cpp in Node: loaded by its own call to ggml's loader, or preloaded.
#[test]
fn node() {
    const TOKENS: [u32; 8] = [1, 5, 9, 30, 44, 200, 301, 77];
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let vector = scratch.vector(Arch::Llama);
    let probabilities = |setting: &Setting| Node::probabilities(&model, &TOKENS, setting).1;
    let plain = probabilities(&Setting::new());
    assert_eq!(plain, probabilities(&Setting::new()), "two plain runs agree");
    let profile = scratch.profile(&Profile::add("v.gguf", 2.0));
    let preload = probabilities(&Door::Preload.setting().and(&profile));
    assert!(plain.iter().zip(&preload).all(|(a, b)| a != b), "every row is steered");
    assert_eq!(preload, probabilities(&native_vector(&scratch, &vector, 2.0)), "the control vector and add");
    assert_eq!(preload, probabilities(&Door::BackendPath.setting().and(&profile)), "the two doors agree");
    for door in [Door::Preload, Door::BackendPath] {
        let empty = door.setting().and(&scratch.profile(&Profile::empty()));
        assert_eq!(plain, probabilities(&empty), "{door:?} with an empty profile");
    }
}

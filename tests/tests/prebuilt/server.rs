//! The llama-server inside xllamacpp.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::completion::Request;
use evenkeel_tests::host::{Arguments, Server, ServerKind, native_vector};
use evenkeel_tests::{Door, Profile, Scratch, Setting};

const PROMPT: [u32; 12] = [1, 40, 200, 7, 301, 99, 260, 262, 150, 33, 280, 290];

/// The same log-probabilities as llama.cpp's own control vector, to the last digit.
#[test]
fn add_is_the_native_control_vector() {
    let scratch = Scratch::new();
    for arch in Arch::ALL {
        let arguments = Arguments::new(&scratch.model(arch, FileType::F32));
        let vector = scratch.vector(arch);
        let complete = |setting: &Setting| {
            Server::start(ServerKind::Xllamacpp, &arguments, setting).complete(&Request::tokens(&PROMPT))
        };
        let plain = complete(&Setting::new());
        let native = complete(&native_vector(&scratch, &vector, 2.0));
        assert_ne!(plain, native, "{arch:?}: the vector changes the answer");
        let steered = complete(&Door::Preload.setting().and(&scratch.profile(&Profile::add("v.gguf", 2.0))));
        assert_eq!(native, steered, "{arch:?}: add and the control vector");
    }
}

/// Nothing is steered by an empty profile, nor by no profile.
#[test]
fn an_empty_profile_changes_nothing() {
    let scratch = Scratch::new();
    let arguments = Arguments::new(&scratch.model(Arch::Llama, FileType::F32));
    let complete =
        |setting: &Setting| Server::start(ServerKind::Xllamacpp, &arguments, setting).complete(&Request::tokens(&PROMPT));
    let plain = complete(&Setting::new());
    let none = complete(&Door::Preload.setting());
    assert_eq!(plain, none, "no profile");
    let empty = complete(&Door::Preload.setting().and(&scratch.profile(&Profile::empty())));
    assert_eq!(plain, empty, "an empty profile");
}

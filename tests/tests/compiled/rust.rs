//! A Rust program on the crate llama-cpp-2, linked dynamically.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::claim::nothing;
use evenkeel_tests::host::{CHost, Decode, Native, RustHost};
use evenkeel_tests::{Door, Profile, Scratch, Setting};

/// The crate offers no control vectors; the C host on its libraries does.
#[test]
fn add_is_the_native_control_vector() {
    let host = CHost::llama_cpp_2();
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        // The crate's default: llama.cpp chooses flash attention by itself, and takes it on a CPU.
        let decode = Decode { flash: true, ..Decode::new(&model) };
        let plain = RustHost::run(&model, &Setting::new());
        plain.assert_same(&host.plain(&decode), &format!("{arch:?}: the two programs"));

        let native = Native { file: scratch.path("v.gguf"), strength: 2.0, layers: None };
        let native = host.plain(&Decode { native: Some(native), ..decode });
        plain.assert_all_differ(&native, &format!("{arch:?}"));
        let profile = scratch.profile(&Profile::add("v.gguf", 2.0));
        let steered = RustHost::run(&model, &Door::Preload.setting().and(&profile));
        native.assert_same(&steered, &format!("{arch:?}: the control vector and add"));
    }
}

#[test]
fn what_steers_nothing_changes_nothing() {
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    scratch.vector(Arch::Llama);
    let plain = RustHost::run(&model, &Setting::new());
    plain.assert_same(&RustHost::run(&model, &Door::Preload.setting()), "no profile");
    for (name, profile) in nothing() {
        let steered = RustHost::run(&model, &Door::Preload.setting().and(&scratch.profile(&profile)));
        plain.assert_same(&steered, name);
    }
}

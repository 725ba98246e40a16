//! Position-invariant attention on the shared libraries of each compiled llama.cpp, against its definition in float64.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::{Decoder, Mode, Prompt, distance};
use evenkeel_tests::{Door, Profile, Scratch};

fn it_is_its_definition(host: &CHost) {
    for arch in [Arch::Llama, Arch::Qwen2] {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        let decoder = Decoder::read(&model);
        for (mode, name) in [(Mode::Pine, "pine"), (Mode::Set, "set")] {
            let profile = scratch.profile(&Profile::empty().with(&format!("[invariance]\nmode = \"{name}\"")));
            let prompt = Prompt::new(1, 3, &[4, 2, 5], 4);
            let expected = decoder.pass(&prompt.tokens(), &prompt.cut(), mode).logits;
            for flash in [false, true] {
                // With flash attention the host casts an F32 cache to F16.
                let tolerance = if flash { 1e-2 } else { 1e-4 };
                for script in [prompt.whole(), prompt.in_parts()] {
                    let decode = Decode { script: Some(script), wide_cache: true, flash, ..Decode::new(&model) };
                    let (worst, rows) = distance(&host.with(&decode, Door::Preload, &profile), 0, &expected);
                    assert_eq!(rows, expected.len());
                    assert!(worst < tolerance, "{arch:?} {name}, flash attention {flash}: {worst:e}");
                }
            }
        }
    }
}

#[test]
fn of_llama_server() {
    it_is_its_definition(&CHost::llama_server());
}

#[test]
fn of_llama_cpp_2() {
    it_is_its_definition(&CHost::llama_cpp_2());
}

//! The way in of programs that contain llama.cpp, on shared libraries: there, each claim can be compared with the other
//! ways in. On a program that does contain it: `compiled/embedded.rs`.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::claim::{changes_nothing_through, is_native_through};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Scratch, Setting};

#[test]
fn add_is_the_native_control_vector() {
    let host = CHost::node_llama_cpp();
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        for flash in [false, true] {
            let decode = Decode { flash, ..Decode::new(&model) };
            let what = format!("{arch:?}, flash attention {flash}");
            is_native_through(Door::Embed, &host, &scratch, &decode, None, 2.0, &what);
        }
    }
}

/// No bit, and no node: also none that llama.cpp would add for a sampler.
#[test]
fn what_steers_nothing_changes_nothing() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let base = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    for decode in [base.clone(), Decode { count: true, ..base }] {
        changes_nothing_through(Door::Embed, &host, &scratch, &decode, "embedded");
    }
}

fn cases(base: &Decode) -> [(&'static str, Decode); 5] {
    [
        ("four sequences", Decode { sequences: 4, ..base.clone() }),
        ("micro-batches of 5", Decode { ubatch: 5, ..base.clone() }),
        ("the last row only", Decode { last_only: true, ubatch: 5, ..base.clone() }),
        ("two contexts", Decode { contexts: 2, ..base.clone() }),
        ("counted", Decode { count: true, ..base.clone() }),
    ]
}

/// In every kind of batch, the native control vector; and every row's logits reach the program, which samples by itself.
#[test]
fn other_batches() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let base = Decode::new(&scratch.model(Arch::Llama, FileType::Q8_0));
    scratch.vector(Arch::Llama);
    for (what, decode) in cases(&base) {
        is_native_through(Door::Embed, &host, &scratch, &decode, None, 2.0, what);
    }
}

/// The same plan gives the same bits as through the hooks, whatever its operators and gates.
#[test]
fn it_is_the_same_pipeline() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let base = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    let profile = Profile::empty()
        .and_rule("v.gguf", "operator = \"project\"")
        .and_rule("v.gguf", "operator = \"add\"\nstrength = 1.5\nadjustable = true")
        .and_rule("v.gguf", "operator = \"add\"\nstrength = 1.0\ntokens = \"generated\"")
        .and_rule(
            "v.gguf",
            "operator = \"add\"\nstrength = 0.5\nwhen = { similar-to = \"v.gguf\", layer = 2, above = 0.0 }",
        )
        .and_rule("v.gguf", "operator = \"clamp\"\nmin = -0.01\nmax = 0.01");
    let setting = scratch.profile(&profile);
    for (what, decode) in cases(&base) {
        let hooked = host.with(&decode, Door::Preload, &setting);
        hooked.assert_same(&host.with(&decode, Door::Embed, &setting), what);
        hooked.assert_same(&host.with(&decode, Door::EmbedExported, &setting), what);
    }
}

/// A strength that is turned between two decodes: as in a context that the hooks see, where attaching does nothing.
#[test]
fn a_strength_is_turned() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let base = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    let profile = Profile::empty().and_rule("v.gguf", "operator = \"add\"\nstrength = 2.0\nadjustable = true");
    let setting = scratch.profile(&profile);
    let plain = host.plain(&base);
    let fixed = host.with(&base, Door::Embed, &setting);
    let turned = Decode { turn: Some(-3.0), ..base };
    let embedded = host.with(&turned, Door::Embed, &setting);
    let prompt = |rows: &[evenkeel_tests::Row]| rows.iter().filter(|r| r.label.starts_with("prompt")).count();
    let first = prompt(&fixed.rows);
    assert!(first > 0 && first < fixed.rows.len());
    assert_eq!(fixed.rows[..first], embedded.rows[..first], "the prompt was computed before");
    let after = |a: &evenkeel_tests::Recording| a.rows[first..].to_vec();
    assert!(after(&fixed).iter().zip(after(&embedded)).all(|(a, b)| *a != b), "every row after it differs");
    assert!(after(&plain).iter().zip(after(&embedded)).all(|(a, b)| *a != b), "and is steered");
    let hooked = host.with(&turned, Door::Embed, &Door::Preload.setting().and(&setting));
    hooked.assert_same(&embedded, "hooked and embedded");
}

/// A profile that does not fit: the program is told, in the call that attaches.
#[test]
fn a_profile_that_cannot_be_used() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let decode = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    let setting = scratch.profile(&Profile::add("missing.gguf", 1.0));
    let (finished, recording) = host.try_run(&decode, Some(Door::Embed), &setting);
    assert!(recording.is_none(), "it runs on");
    for word in ["missing.gguf", "ek_attach"] {
        assert!(finished.stderr.contains(word), "{}", finished.stderr);
    }
    let plain = host.plain(&decode);
    plain.assert_same(&host.with(&decode, Door::Embed, &Setting::new()), "without a profile");
}

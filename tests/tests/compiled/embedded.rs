//! Programs that contain llama.cpp: in C, its functions handed over by `EK_API_FILL` or exported by `-rdynamic`; in Rust,
//! on the crate llama-cpp-2.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::claim::{changes_nothing_through, is_native_through, nothing};
use evenkeel_tests::host::{CHost, Decode, EmbeddedHost, Native};
use evenkeel_tests::{Door, Profile, Scratch, Setting, library};

#[test]
fn a_c_program_that_hands_its_functions_over() {
    let host = CHost::with_llama_inside(false);
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        for flash in [false, true] {
            let decode = Decode { flash, ..Decode::new(&model) };
            let what = format!("{arch:?}, flash attention {flash}");
            changes_nothing_through(Door::Embed, &host, &scratch, &decode, &what);
            is_native_through(Door::Embed, &host, &scratch, &decode, None, 2.0, &what);
        }
    }
}

#[test]
fn a_c_program_that_exports_its_functions() {
    let host = CHost::with_llama_inside(true);
    let scratch = Scratch::new();
    let base = Decode::new(&scratch.model(Arch::Llama, FileType::Q8_0));
    scratch.vector(Arch::Llama);
    let cases = [
        ("four sequences", Decode { sequences: 4, ..base.clone() }),
        ("micro-batches of 5", Decode { ubatch: 5, last_only: true, ..base.clone() }),
        ("two contexts, counted", Decode { contexts: 2, count: true, ..base }),
    ];
    for (what, decode) in cases {
        changes_nothing_through(Door::EmbedExported, &host, &scratch, &decode, what);
        is_native_through(Door::EmbedExported, &host, &scratch, &decode, None, 2.0, what);
    }
}

/// No other door leads in: a preloaded library changes nothing, and `ek_install` says what does.
#[test]
fn no_other_door_leads_in() {
    let host = CHost::with_llama_inside(false);
    let scratch = Scratch::new();
    let decode = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    let profile = scratch.profile(&Profile::add("v.gguf", 2.0));
    host.plain(&decode).assert_same(&host.with(&decode, Door::Preload, &profile), "LD_PRELOAD");
    let (finished, _) = host.try_run(&decode, Some(Door::Install), &profile);
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stderr);
}

#[test]
fn a_rust_program() {
    let c = CHost::with_llama_inside(false);
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        // The crate's default: llama.cpp chooses flash attention by itself, and takes it on a CPU.
        let decode = Decode { flash: true, ..Decode::new(&model) };
        let plain = EmbeddedHost::run(&model, false, &Setting::new());
        plain.assert_same(&c.plain(&decode), &format!("{arch:?}: the two programs"));
        let native = Native { file: scratch.path("v.gguf"), strength: 2.0, layers: None };
        let native = c.plain(&Decode { native: Some(native), ..decode });
        plain.assert_all_differ(&native, &format!("{arch:?}"));
        let steered = EmbeddedHost::run(&model, true, &scratch.profile(&Profile::add("v.gguf", 2.0)));
        native.assert_same(&steered, &format!("{arch:?}: the control vector and add"));
        plain.assert_same(&EmbeddedHost::run(&model, true, &Setting::new()), "no profile");
        for (name, profile) in nothing() {
            plain.assert_same(&EmbeddedHost::run(&model, true, &scratch.profile(&profile)), name);
        }
    }
}

/// A context that cannot run under the profile is none, as `EVENKEEL_REQUIRE=1` makes it elsewhere.
#[test]
fn a_rust_program_with_a_bad_profile() {
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let setting = scratch.profile(&Profile::add("missing.gguf", 1.0));
    let (finished, recording) = EmbeddedHost::try_run(&model, true, &setting);
    assert!(recording.is_none() && finished.stderr.contains("missing.gguf"), "{}", finished.stderr);
}

/// The README's program, as it stands there.
#[test]
fn the_readmes_rust_program() {
    let folder = Scratch::new();
    folder.judge();
    std::os::unix::fs::symlink(library(), folder.path("libevenkeel.so")).expect("a link");
    let finished = EmbeddedHost::readme(&folder);
    assert_eq!(finished.stdout.trim(), "he", "{}", finished.stderr);
    assert!(finished.stderr.contains("2 of 2 rules act"), "{}", finished.stderr);
}

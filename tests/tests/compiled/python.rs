//! llama-cpp-python: `import evenkeel` from the wheel, and its OpenAI-compatible server.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode, Native, Python};
use evenkeel_tests::{Profile, Scratch, Setting};

/// One call before the model is made; the same bits as the C host's on the same libraries.
#[test]
fn import_evenkeel() {
    let (python, host) = (Python::with_wheel(), CHost::llama_server());
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    scratch.vector(Arch::Llama);
    let decode = Decode::new(&model);
    let recording = |rest: &[&str]| {
        let (finished, recording) = python.try_run(&model, rest);
        (recording.unwrap_or_else(|| panic!("{}\n{}", finished.stdout, finished.stderr)), finished.stdout)
    };
    let plain = host.plain(&decode);
    plain.assert_same(&recording(&[]).0, "without it");

    let native = Native { file: scratch.path("v.gguf"), strength: 2.0, layers: None };
    let native = host.plain(&Decode { native: Some(native), ..decode });
    let profile = |name: &str, profile: Profile| {
        let path = scratch.path(name);
        std::fs::write(&path, profile.text()).expect("a profile is written");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let add = profile("add.toml", Profile::add("v.gguf", 2.0));
    let (steered, said) = recording(&[&add]);
    native.assert_same(&steered, "the control vector and add");
    assert!(said.contains("\"version\"") && said.contains("l_out-1"), "{said}");
    plain.assert_same(&recording(&[&profile("empty.toml", Profile::empty())]).0, "an empty profile");

    let rule = "operator = \"add\"\nstrength = 2.0\nadjustable = true";
    let turned = profile("turned.toml", Profile::empty().and_rule("v.gguf", rule));
    let (fixed, turned) = (recording(&[&turned]).0, recording(&[&turned, "rule-0", "-1"]).0);
    assert_ne!(fixed, turned, "a strength is turned");

    let bad = profile("bad.toml", Profile::add("missing.gguf", 1.0));
    let (finished, _) = python.try_run(&model, &[&bad]);
    assert!(
        finished.stderr.contains("evenkeel.Error") && finished.stderr.contains("missing.gguf"),
        "{}",
        finished.stderr
    );
}

/// The library that the package carries, preloaded into `python -m llama_cpp.server`.
#[test]
fn the_openai_compatible_server() {
    let python = Python::with_wheel();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let vector = scratch.vector(Arch::Llama);
    let complete = |setting: &Setting| python.complete(&model, "a bc", setting);
    let preload = || Setting::new().env("LD_PRELOAD", python.library());
    let plain = complete(&Setting::new());
    assert_eq!(plain, complete(&preload()), "no profile");
    assert_eq!(plain, complete(&preload().and(&scratch.profile(&Profile::empty()))), "an empty profile");
    let native = python.complete_natively(&model, "a bc", &vector.clone().scaled(2.0));
    let steered = complete(&preload().and(&scratch.profile(&Profile::add("v.gguf", 2.0))));
    assert_ne!(plain, steered);
    assert_eq!(native, steered, "the control vector and add");
}

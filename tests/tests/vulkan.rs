//! A GPU backend: node-llama-cpp's Vulkan libraries on Mesa's software device. `make hosts`, then `make test-hosts`.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::claim::nothing;
use evenkeel_tests::host::{CHost, Decode, Native};
use evenkeel_tests::oracle::{Decoder, Mode, Prompt, distance, permutations};
use evenkeel_tests::{Door, Profile, Recording, Scratch, Setting};

/// What the native vector and `add` may differ by on this backend.
const TOLERANCE: f32 = 1e-5;

/// All layers on the device. llama.cpp passes software devices over unless one is named.
fn run(host: &CHost, decode: &Decode, door: Option<Door>, setting: &Setting) -> Recording {
    let setting = setting.clone().env("GGML_VK_VISIBLE_DEVICES", "0");
    let (finished, recording) = host.try_run(decode, door, &setting);
    recording.unwrap_or_else(|| panic!("{}\n{}", finished.status, finished.stderr))
}

#[test]
fn add_is_the_native_control_vector_on_the_device() {
    let host = CHost::node_llama_cpp_vulkan();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    scratch.vector(Arch::Llama);
    for flash in [false, true] {
        let decode = Decode { flash, gpu_layers: 99, ..Decode::new(&model) };
        let plain = run(&host, &decode, None, &Setting::new());
        let native = Native { file: scratch.path("v.gguf"), strength: 2.0, layers: None };
        let native = run(&host, &Decode { native: Some(native), ..decode.clone() }, None, &Setting::new());
        plain.assert_all_differ(&native, "steered on the device");
        let profile = scratch.profile(&Profile::add("v.gguf", 2.0));
        for door in [Door::Preload, Door::BackendPath] {
            let distance = native.distance(&run(&host, &decode, Some(door), &profile));
            assert!(distance <= TOLERANCE, "flash attention {flash}, {door:?}: logits differ by {distance:e}");
        }
    }
}

#[test]
fn what_steers_nothing_changes_nothing() {
    let host = CHost::node_llama_cpp_vulkan();
    let scratch = Scratch::new();
    let decode = Decode { gpu_layers: 99, ..Decode::new(&scratch.model(Arch::Llama, FileType::F32)) };
    scratch.vector(Arch::Llama);
    let plain = run(&host, &decode, None, &Setting::new());
    for (name, profile) in nothing() {
        let steered = run(&host, &decode, Some(Door::Preload), &scratch.profile(&profile));
        plain.assert_same(&steered, name);
    }
}

/// A device that lacks an operation that a rule needs is named before the first token, with the operation; a rule that does
/// not need it says nothing.
#[test]
fn a_device_that_lacks_an_operation() {
    let host = CHost::node_llama_cpp_vulkan();
    let scratch = Scratch::new();
    let decode =
        Decode { lacks: Some("SUM_ROWS"), gpu_layers: 99, ..Decode::new(&scratch.model(Arch::Llama, FileType::F32)) };
    scratch.vector(Arch::Llama);
    let log = |profile: &Profile| {
        let setting = scratch.profile(profile).env("GGML_VK_VISIBLE_DEVICES", "0");
        let (finished, recording) = host.try_run(&decode, Some(Door::Embed), &setting);
        assert!(recording.is_some(), "{}", finished.stderr);
        finished.stderr
    };
    let needs = log(&Profile::empty().and_rule("v.gguf", "operator = \"project\""));
    assert!(needs.contains("SUM_ROWS") && needs.contains("evenkeel: warning"), "{needs}");
    let needs_not = log(&Profile::add("v.gguf", 1.0));
    assert!(!needs_not.contains("SUM_ROWS"), "{needs_not}");
}

/// A rule that reads the gate table: the backend orders the nodes anew, and the table must be written all the same.
#[test]
fn an_adjustable_rule_acts_on_the_device() {
    let host = CHost::node_llama_cpp_vulkan();
    let scratch = Scratch::new();
    let decode = Decode { gpu_layers: 99, ..Decode::new(&scratch.model(Arch::Llama, FileType::F32)) };
    scratch.vector(Arch::Llama);
    let fixed = run(&host, &decode, Some(Door::Preload), &scratch.profile(&Profile::add("v.gguf", 2.0)));
    let adjustable = Profile::empty().and_rule_on("\"all\"", "v.gguf", "strength = 2.0\nadjustable = true");
    let distance = fixed.distance(&run(&host, &decode, Some(Door::Preload), &scratch.profile(&adjustable)));
    assert!(distance <= 1e-2, "logits differ by {distance:e}");
}

/// Near the definition, as ordinary attention is on this device, and the same for every order of the segments.
#[test]
fn segments_on_the_device() {
    let host = CHost::node_llama_cpp_vulkan();
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    let decoder = Decoder::read(&model);
    for (mode, name) in [(Mode::Pine, "pine"), (Mode::Set, "set")] {
        let profile = scratch.profile(&Profile::empty().with(&format!("[invariance]\nmode = \"{name}\"")));
        for order in permutations(3) {
            let prompt = Prompt::new(1, 3, &[4, 2, 5], 4).ordered(&order);
            let expected = decoder.pass(&prompt.tokens(), &prompt.cut(), mode).logits;
            for flash in [false, true] {
                let script = Some(prompt.in_parts());
                let decode = Decode { script, wide_cache: true, flash, gpu_layers: 99, ..Decode::new(&model) };
                let (worst, rows) = distance(&run(&host, &decode, Some(Door::Preload), &profile), 0, &expected);
                println!("{name}, {order:?}, flash attention {flash}: {worst:e}");
                assert_eq!(rows, expected.len());
                assert!(worst < 1e-2, "{name}, {order:?}, flash attention {flash}: {worst:e}");
            }
        }
    }
}

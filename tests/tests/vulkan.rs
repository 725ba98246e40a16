//! A GPU backend: node-llama-cpp's Vulkan libraries on Mesa's software device. `make hosts`, then `make test-hosts`.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::claim::nothing;
use evenkeel_tests::host::{CHost, Decode, Native};
use evenkeel_tests::oracle::{Decoder, Mode, Prompt, distance, permutations};
use evenkeel_tests::table::{Device, Group, Look, check};
use evenkeel_tests::{Door, Profile, Recording, Scratch, Setting, mutant};

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

/// A contrast is what two runs on the device come to, with the context and without it; a constraint keeps the best token.
#[test]
fn a_contrast_is_that_of_two_runs_on_the_device() {
    let host = CHost::node_llama_cpp_vulkan();
    let scratch = Scratch::new();
    let decode = Decode { gpu_layers: 99, wide_cache: true, ..Decode::new(&scratch.model(Arch::Llama, FileType::F32)) };
    let on = |script: &str, door, setting: &Setting| {
        run(&host, &Decode { script: Some(script.into()), ..decode.clone() }, door, setting)
    };
    let full = "fill 0:0:5,6,7,1,20,21,22,2,30\nfeed 0:9:31\nfeed 0:10:32\n";
    let [whole, without] =
        [full, "fill 0:0:5,6,7,30\nfeed 0:4:31\nfeed 0:5:32\n"].map(|script| on(script, None, &Setting::new()));
    let profile = |plausibility: f32| {
        let table = "[contrast]\nwithout = { open = \"<s>\", close = \"</s>\" }\nalpha = 1.0\nplausibility";
        scratch.profile(&Profile::empty().with(&format!("{table} = {plausibility}")))
    };
    let logits = |row: &evenkeel_tests::Row| row.logits.iter().map(|bits| f32::from_bits(*bits)).collect::<Vec<_>>();
    for door in [Door::Preload, Door::BackendPath] {
        let [free, held] = [0.0, 0.9].map(|plausibility| on(full, Some(door), &profile(plausibility)));
        assert_eq!(free.rows.len(), 2);
        for (i, free) in free.rows.iter().map(logits).enumerate() {
            let [whole, without, held] = [&whole, &without, &held].map(|of| logits(&of.rows[i]));
            let expected = whole.iter().zip(&without).map(|(f, w)| 2.0 * f - w);
            let worst = free.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let moved = free.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // The second context evaluates in one batch what the runs do in two, and this device sums those otherwise.
            assert!(worst < 1e-2 && moved > 0.1, "{door:?}: {worst:e} from two runs, {moved:e} from one");
            let best = |of: &[f32]| (0..of.len()).max_by(|a, b| of[*a].total_cmp(&of[*b]));
            assert_eq!(best(&held), best(&whole), "{door:?}: nothing else is nine tenths as likely");
            assert!(held.iter().filter(|x| **x > -1e5).count() < 10, "{door:?}");
        }
    }
    // Both contexts' graphs were evaluated as one.
    let counted = Decode { script: Some(format!("{full}stats all\n")), ..decode };
    let setting = profile(0.0).env("GGML_VK_VISIBLE_DEVICES", "0");
    let (finished, _) = host.try_run(&counted, Some(Door::Preload), &setting);
    assert!(finished.stderr.contains(r#""calls":2,"joined":2,"#), "{}", finished.stderr);
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

/// What is held is kept on the device between evaluations, or beside it where it cannot write there; drafts are taken back
/// in either case. Which of two rules acts tells what was decided.
#[test]
fn what_is_held_is_held_on_the_device() {
    let (host, cpu) = (CHost::node_llama_cpp_vulkan(), CHost::node_llama_cpp());
    let scratch = Scratch::new();
    let model = scratch.model(Arch::Llama, FileType::F32);
    scratch.vector(Arch::Llama);
    for (below, drafts) in [("", 0), (", below = -0.05", 0), (", below = -0.05", 3)] {
        let when = format!("{{ similar-to = \"v.gguf\", layer = 2, above = 0.01{below}, at = \"prompt\" }}");
        let profile = Profile::empty()
            .and_rule_on("[2, 3, 4]", "v.gguf", &format!("strength = 2.0\nwhen = {when}"))
            .and_rule_on("[2, 3, 4]", "minus-v.gguf", &format!("strength = 2.0\nwhen = {{ not = {when} }}"));
        let decode = Decode { sequences: 3, last_only: true, steps: 8, drafts, ..Decode::new(&model) };
        let setting = scratch.profile(&profile);
        let expected = cpu.with(&decode, Door::Preload, &setting);
        cpu.plain(&decode).assert_all_differ(&expected, "steered");
        let on_device = Decode { gpu_layers: 99, ..decode };
        let lacking = Decode { lacks: Some("SET_ROWS"), ..on_device.clone() };
        for (what, decode, door) in [("", &on_device, Door::Preload), ("without SET_ROWS", &lacking, Door::Embed)] {
            let distance = expected.distance(&run(&host, decode, Some(door), &setting));
            assert!(distance < 1e-2, "{below}, {drafts} drafts {what}: logits differ by {distance:e}");
        }
    }
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

/// A device that lacks what segments need is named before a token of theirs is there.
#[test]
fn a_device_that_lacks_an_operation_of_segments() {
    let host = CHost::node_llama_cpp_vulkan();
    let scratch = Scratch::new();
    let prompt = Prompt::new(1, 3, &[4, 2, 5], 4);
    let model = scratch.model(Arch::Llama, FileType::F32);
    let decode = Decode { script: Some(prompt.in_parts()), gpu_layers: 99, ..Decode::new(&model) };
    let profile = scratch.profile(&Profile::empty().with("[invariance]\nmode = \"pine\""));
    let log = |setting: &Setting| {
        let setting = setting.clone().env("GGML_VK_VISIBLE_DEVICES", "0");
        let (finished, recording) = host.try_run(&decode, None, &setting);
        assert!(recording.is_some(), "{}", finished.stderr);
        finished.stderr
    };
    let whole = log(&Door::Preload.setting().and(&profile));
    assert!(!whole.contains("does not compute"), "{whole}");
    let lacks = log(&mutant("lacks-sub").and(&profile));
    assert!(lacks.contains("does not compute SUB, which segments need: at blocks 0, 1, "), "{lacks}");
}

/// The README's table of programs and ways in.
#[test]
fn the_table_of_the_readme() {
    let host = CHost::node_llama_cpp_vulkan();
    let scratch = Scratch::new();
    let here = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    scratch.vector(Arch::Llama);
    let there = Decode { gpu_layers: 99, ..here.clone() };
    let native = Native { file: scratch.path("v.gguf"), strength: 2.0, layers: None };
    let plain = run(&host, &there, None, &Setting::new());
    let native = run(&host, &Decode { native: Some(native), ..there.clone() }, None, &Setting::new());
    let (cpu, steered) =
        (host.plain(&here), host.with(&here, Door::Preload, &scratch.profile(&Profile::add("v.gguf", 2.0))));
    let doors = [
        (Door::Preload, "`LD_PRELOAD`"),
        (Door::BackendPath, "`GGML_BACKEND_PATH`"),
        (Door::Install, "`ek_install`"),
        (Door::Embed, "`ek_install_api`"),
    ];
    let rows = doors.map(|(door, name)| {
        let look = Look {
            program: "C, on node-llama-cpp's libraries",
            door: name,
            device: Device::Vulkan,
            scratch: &scratch,
            plain: &plain,
            native: &native,
            on_cpu: Some((&cpu, &steered)),
            with: &|setting| run(&host, &there, Some(door), setting),
        };
        look.row(Group::Vulkan)
    });
    check(Group::Vulkan, &rows);
}

//! One sequence, its segments in one micro-batch.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::{Decoder, Mode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use super::{Prompt, permutations};

fn profile(mode: Mode) -> Profile {
    let mode = if mode == Mode::Pine { "pine" } else { "set" };
    Profile::empty().with(&format!("[invariance]\nmode = \"{mode}\""))
}

/// The largest difference between a row's logits and the oracle's.
fn error(recording: &Recording, row: usize, expected: &[f64]) -> f64 {
    let found = recording.rows[row].logits.iter().map(|bits| f64::from(f32::from_bits(*bits)));
    found.zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn it_is_its_definition() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Qwen2] {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        let decoder = Decoder::read(&model);
        for mode in [Mode::Pine, Mode::Set] {
            for flash in [false, true] {
                let prompt = Prompt::new(1, 3, &[4, 2, 5], 4);
                let n = prompt.tokens().len();
                let script = format!("{}feed {}\n", prompt.announce(0), prompt.group(0, 0..n));
                let decode = Decode { script: Some(script), wide_cache: true, flash, ..Decode::new(&model) };
                let recording = host.with(&decode, Door::Preload, &scratch.profile(&profile(mode)));
                let expected = decoder.pass(&prompt.tokens(), &prompt.cut(), mode).logits;
                let worst = (0..n).map(|row| error(&recording, row, &expected[row])).fold(0.0, f64::max);
                println!("{arch:?} {mode:?} flash {flash}: {worst:e}");
                assert!(
                    worst < 1e-4 || flash && mode == Mode::Set && worst < 5e-3,
                    "{arch:?} {mode:?} flash {flash}: {worst:e}"
                );
            }
        }
    }
    let _ = permutations;
}

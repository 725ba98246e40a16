//! Sequences with different profiles in one batch: none notices another.

use evenkeel_model::{Arch, ControlVector, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::serving::Profiles;
use evenkeel_tests::{Door, Recording, Scratch};

/// What the eight sequences run under; two of them with no profile.
const CHOSEN: [&str; 8] = ["off", "strong", "off", "ablate", "hostile", "held", "strong", "generated"];

/// Every row has the bits that it has when all sequences run under its profile: also beside one with the largest values that a profile may add.
/// Prefill and decode, whole and cut into micro-batches, flash attention off and on.
#[test]
fn every_row_is_as_if_all_had_its_profile() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe] {
        let scratch = Scratch::new();
        let profiles = Profiles::new(&scratch, arch);
        profiles.usual();
        let huge = ControlVector::random(arch.name(), 64, 1..5, 9).scaled(1e5);
        huge.write(&scratch.path("profiles/huge.gguf")).expect("a vector is written");
        profiles.write(
            "hostile",
            "[[steer]]\nname = \"h\"\ndirection = \"huge.gguf\"\nstrength = 1e9\n[runtime]\nmax-plans = 8\n",
        );
        for (flash, ubatch) in [(false, 512), (true, 20)] {
            let base = Decode { sequences: 8, flash, ubatch, ..Decode::new(&scratch.model(arch, FileType::F32)) };
            let under = |names: [&str; 8]| {
                let choose = (0..).zip(names.map(str::to_owned)).collect();
                let decode = Decode { choose, ..base.clone() };
                host.with_any(&decode, Door::Preload, &profiles.setting().env("EVENKEEL_LOG", "error"))
            };
            let mixed = under(CHOSEN);
            let plain = host.plain(&base);
            let alone = |name: &str| -> Recording {
                if name == "off" { plain.clone() } else { under([name; 8].map(|n: &str| n)) }
            };
            for (name, expected) in ["off", "strong", "ablate", "generated", "hostile", "held"].map(|n| (n, alone(n))) {
                if name != "off" {
                    assert_ne!(expected.rows, plain.rows, "{arch:?}: `{name}` does something");
                }
                for sequence in (0..8).filter(|s| CHOSEN[*s as usize] == name) {
                    let (a, b) = (mixed.of_sequence(sequence), expected.of_sequence(sequence));
                    assert!(!a.is_empty());
                    let what = format!("{arch:?}, flash attention {flash}, micro-batches of {ubatch}");
                    assert!(same(&a, &b), "{what}: sequence {sequence} under `{name}`");
                }
            }
        }
    }
}

/// The same bits; what is no number is none on both sides.
fn same(a: &[&evenkeel_tests::Row], b: &[&evenkeel_tests::Row]) -> bool {
    let number = |bits: u32| if f32::from_bits(bits).is_nan() { f32::NAN.to_bits() } else { bits };
    let plain = |rows: &[&evenkeel_tests::Row]| -> Vec<Vec<u32>> {
        rows.iter().map(|row| row.logits.iter().copied().map(number).collect()).collect()
    };
    plain(a) == plain(b)
}

/// A sequence that nobody chose for runs under the default; choosing later changes what follows, and what it kept.
#[test]
fn the_default_is_what_nobody_chose() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let profiles = Profiles::new(&scratch, Arch::Llama);
    profiles.usual();
    let base = Decode { sequences: 2, ..Decode::new(&scratch.model(Arch::Llama, FileType::F32)) };
    let run =
        |choose: Vec<(u32, String)>| host.with(&Decode { choose, ..base.clone() }, Door::Preload, &profiles.setting());
    let (nothing, named) = (run(vec![]), run(vec![(0, "default".into()), (1, "default".into())]));
    nothing.assert_same(&named, "nothing chosen and the default by name");
    nothing.assert_all_differ(&host.plain(&base), "the default acts");
    let one = run(vec![(1, "off".into())]);
    assert!(same(&one.of_sequence(0), &nothing.of_sequence(0)));
    assert!(same(&one.of_sequence(1), &host.plain(&base).of_sequence(1)));
}

/// A program that chooses another profile for what it has in its cache gets what it would have got with that profile from the
/// beginning: the cells are evaluated again before the next token. It need not remove them, and need not be seen removing
/// some.
#[test]
fn what_is_kept_is_evaluated_again() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Gemma2, Arch::Lfm2] {
        let scratch = Scratch::new();
        let profiles = Profiles::new(&scratch, arch);
        profiles.usual();
        let base = Decode { sequences: 2, ..Decode::new(&scratch.model(arch, FileType::F32)) };
        let run = |decode: &Decode| host.with(decode, Door::Preload, &profiles.setting());
        let all = |name: &str| (0..2).map(|s| (s, name.to_owned())).collect::<Vec<_>>();
        // A convolution's state cannot be rolled back.
        let backs: &[u32] = if arch == Arch::Lfm2 { &[0] } else { &[0, 4] };
        for &back in backs {
            for hidden in [None, Some(CHost::library_of_node_llama_cpp())] {
                if back == 0 && hidden.is_some() {
                    continue;
                }
                let what = format!("{arch:?}, {back} tokens taken back, unseen: {}", hidden.is_some());
                let base = Decode { back, hidden, ..base.clone() };
                let expected = run(&Decode { choose: all("strong"), ..base.clone() });
                let switched = run(&Decode { choose: all("ablate"), later: Some("strong".into()), ..base.clone() });
                let kept = run(&Decode { choose: all("ablate"), ..base });
                let decoded = |r: &Recording| -> Vec<evenkeel_tests::Row> {
                    r.rows.iter().filter(|row| row.label.starts_with("decode")).cloned().collect()
                };
                let far = |a: &[evenkeel_tests::Row], b: &[evenkeel_tests::Row]| {
                    let gap = |(x, y): (&u32, &u32)| (f32::from_bits(*x) - f32::from_bits(*y)).abs();
                    let row = |(x, y): (&evenkeel_tests::Row, &evenkeel_tests::Row)| {
                        x.logits.iter().zip(&y.logits).map(gap).fold(0.0, f32::max)
                    };
                    a.iter().zip(b).map(row).fold(0.0, f32::max)
                };
                let (a, b, c) = (decoded(&switched), decoded(&expected), decoded(&kept));
                assert!(!a.is_empty() && a.len() == b.len(), "{what}");
                // F16 cells: a prompt in one batch of two sequences or in two of one is not the same to the last bit.
                assert!(far(&a, &b) < 2e-2, "{what}: {}", far(&a, &b));
                assert!(far(&a, &c) > 0.2, "{what}: the profiles differ by {}", far(&a, &c));
            }
        }
    }
}

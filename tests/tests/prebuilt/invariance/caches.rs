//! Types of the cache: what rounding keys and values costs, and that it costs nothing of the segments' indifference to their
//! order. llama.cpp mixes the keys of a quantised cache where a head has a multiple of 64 dimensions.

use evenkeel_model::{Arch, Tiny};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::{Decoder, Mode, Prompt, distance, permutations};
use evenkeel_tests::{Door, Profile, Row, Scratch};

/// A type, whether llama.cpp takes it with flash attention off, how far rounding moves a logit from the oracle's at most, and
/// how far an order of the segments does.
const TYPES: [(&str, bool, f64, f32); 5] = [
    ("f32", true, 1e-2, 1e-4),
    ("f16", true, 2e-2, 5e-3),
    ("bf16", true, 1e-1, 5e-3),
    ("q8_0", false, 2e-1, 5e-3),
    ("q4_0", false, 3.0, 5e-3),
];

fn gap(a: &[Row], b: &[Row]) -> f32 {
    let gap = |(x, y): (&u32, &u32)| (f32::from_bits(*x) - f32::from_bits(*y)).abs();
    let row = |(a, b): (&Row, &Row)| a.logits.iter().zip(&b.logits).map(gap).fold(0.0, f32::max);
    a.iter().zip(b).map(row).fold(0.0, f32::max)
}

/// Every order of four segments, and tokens after them one by one, so that keys are read from the cache.
fn no_order_counts(arch: Arch, head: u64, seed: usize) {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let model = scratch.tiny(&Tiny { head, rot: head, ..Tiny::new(arch) });
    let decoder = Decoder::read(&model);
    let prompt = Prompt::new(seed, 40, &[5, 3, 6, 4], 6);
    let mut orders = permutations(4);
    orders.sort();
    let (end, n) = (prompt.cut().end(), prompt.tokens().len());
    let plain = decoder.pass(&prompt.tokens(), &prompt.cut(), Mode::Plain).logits;
    for (mode, name) in [(Mode::Pine, "pine"), (Mode::Set, "set")] {
        let setting = scratch.profile(&Profile::empty().with(&format!("[invariance]\nmode = \"{name}\"")));
        let expected = decoder.pass(&prompt.tokens(), &prompt.cut(), mode).logits;
        for (cache, off, rounds, tolerance) in TYPES {
            for flash in if off { vec![false, true] } else { vec![true] } {
                let script = |order: &Vec<usize>| format!("remove 0 0 -1\n{}", prompt.ordered(order).in_parts());
                let script: String = orders.iter().map(script).collect();
                let decode = Decode { script: Some(script), cache: Some(cache), flash, ..Decode::new(&model) };
                let mut recording = host.with(&decode, Door::Preload, &setting);
                let runs: Vec<&[Row]> = recording.rows.chunks(n).collect();
                let moved = runs.iter().map(|run| gap(&run[end..], &runs[0][end..])).fold(0.0, f32::max);
                let runs = runs.len();
                recording.rows.truncate(n);
                let (rounded, _) = distance(&recording, 0, &expected);
                let (far, _) = distance(&recording, 0, &plain);
                // Flash attention's builder casts an F32 cache to F16, and its kernel sums values in F16.
                let tolerance = if flash { tolerance.max(5e-3) } else { tolerance };
                let what = format!("{arch:?}, heads of {head}, {name}, {cache}, flash attention {flash}");
                println!("{what}: {rounded:.1e} from the oracle, an order moves a logit by {moved:.1e}");
                assert!(runs == 24 && moved < tolerance, "{what}: an order moves a logit by {moved:e}");
                assert!(rounded < rounds, "{what}: {rounded:e} from the oracle");
                assert!(far > 1.2 * rounded, "{what}: ordinary attention is as near as {far:e}");
            }
        }
    }
}

#[test]
fn of_heads_that_are_not_mixed() {
    no_order_counts(Arch::Llama, 32, 81);
}

#[test]
fn of_heads_that_are_mixed() {
    no_order_counts(Arch::Llama, 64, 81);
}

#[test]
fn of_wide_heads_that_are_mixed() {
    no_order_counts(Arch::Llama, 128, 81);
}

#[test]
fn of_layers_without_positions() {
    // Of another prompt: in that one two segments are so near each other that flash attention's rounding swaps them.
    no_order_counts(Arch::SmolLm3, 64, 82);
}

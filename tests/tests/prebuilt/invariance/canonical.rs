//! `canonical = true`: prompts whose segments differ in nothing but their order are one computation, to the last bit.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::{Decoder, Mode, Prompt, distance, permutations};
use evenkeel_tests::{Door, Profile, Recording, Row, Scratch};

const MODES: [(Mode, &str); 2] = [(Mode::Pine, "pine"), (Mode::Set, "set")];
const MARKERS: &str = "segments = { open = \"<s>\", close = \"</s>\" }";
const OPEN: usize = 1;
const CLOSE: usize = 2;
const BLANK: usize = 259;

struct Bench {
    scratch: Scratch,
    decode: Decode,
    decoder: Decoder,
}

impl Bench {
    fn new(arch: Arch, file_type: FileType) -> Self {
        let scratch = Scratch::new();
        let exact = scratch.model(arch, FileType::F32);
        let decoder = Decoder::read(&exact);
        let model = if file_type == FileType::F32 { exact } else { scratch.model(arch, file_type) };
        Self { decoder, decode: Decode { wide_cache: true, ..Decode::new(&model) }, scratch }
    }

    fn rows(&self, mode: &str, canonical: bool, keys: &str, script: &str) -> Vec<Row> {
        let table = format!("[invariance]\nmode = \"{mode}\"\ncanonical = {canonical}\n{keys}");
        let decode = Decode { script: Some(script.to_owned()), ..self.decode.clone() };
        let setting = self.scratch.profile(&Profile::empty().with(&table));
        CHost::node_llama_cpp().with(&decode, Door::Preload, &setting).rows
    }

    /// Every row of these orders of a prompt, each in an empty cache: rows of a segment in the order of the prompt's own.
    fn orders(
        &self,
        (mode, canonical): (&str, bool),
        prompt: &Prompt,
        orders: &[Vec<usize>],
        script: impl Fn(&Prompt) -> String,
    ) -> Vec<Vec<Row>> {
        let (cut, n) = (prompt.cut(), prompt.tokens().len());
        let all: String = orders.iter().map(|o| format!("remove 0 0 -1\n{}", script(&prompt.ordered(o)))).collect();
        let rows = self.rows(mode, canonical, "", &all);
        let of = |(order, run): (&Vec<usize>, &[Row])| {
            let ordered = prompt.ordered(order).cut();
            let mut sorted = run[..cut.prefix].to_vec();
            for segment in 0..order.len() {
                let place = order.iter().position(|s| *s == segment).expect("each is somewhere");
                sorted.extend_from_slice(&run[ordered.first(place)..ordered.first(place) + ordered.lengths[place]]);
            }
            sorted.extend_from_slice(&run[cut.end()..]);
            sorted
        };
        let runs: Vec<Vec<Row>> = orders.iter().zip(rows.chunks(n)).map(of).collect();
        assert_eq!(runs.len() * n, rows.len());
        runs
    }
}

/// Every bit is the same, whatever the rows are called.
#[track_caller]
fn assert_same(runs: &[Vec<Row>], what: &str) {
    for (number, run) in runs.iter().enumerate() {
        let same = run.iter().zip(&runs[0]).take_while(|(a, b)| a.logits == b.logits).count();
        assert_eq!(
            same,
            runs[0].len(),
            "{what}: order {number} differs in row {same}, {}",
            runs[0][same.min(runs[0].len() - 1)].label
        );
    }
}

#[test]
fn no_order_moves_a_bit() {
    for (arch, file_type) in [(Arch::Llama, FileType::F32), (Arch::Qwen3, FileType::F32), (Arch::Qwen3, FileType::Q8_0)]
    {
        let mut bench = Bench::new(arch, file_type);
        for (cache, flash) in [("f32", false), ("f16", false), ("f16", true), ("q8_0", true)] {
            if arch == Arch::Llama && cache == "q8_0" {
                // Its heads are no whole blocks.
                continue;
            }
            (bench.decode.cache, bench.decode.flash) = (Some(cache), flash);
            for (mode, name) in MODES {
                let what = format!("{arch:?} {file_type:?} {name}, {cache}, flash attention {flash}");
                for lengths in [&[4, 4, 2][..], &[5, 3, 6, 4]] {
                    let prompt = Prompt::new(91, 4, lengths, 3);
                    let orders = permutations(lengths.len());
                    let runs = bench.orders((name, true), &prompt, &orders, Prompt::whole);
                    assert_same(&runs, &what);
                    assert_same(
                        &bench.orders((name, true), &prompt, &orders, Prompt::in_parts),
                        &format!("{what}, in parts"),
                    );
                    if file_type == FileType::F32 && cache == "f32" {
                        let expected = bench.decoder.pass(&prompt.tokens(), &prompt.cut(), mode).logits;
                        let worst = by_rows(&runs[0], &expected);
                        assert!(worst < 1e-4, "{what}: {worst:e} from the oracle");
                    }
                }
            }
        }
    }
}

/// The largest difference, row by row.
fn by_rows(rows: &[Row], expected: &[Vec<f64>]) -> f64 {
    assert_eq!(rows.len(), expected.len());
    let gap = |(bits, x): (&u32, &f64)| (f64::from(f32::from_bits(*bits)) - x).abs();
    rows.iter().zip(expected).flat_map(|(row, x)| row.logits.iter().zip(x).map(gap)).fold(0.0, f64::max)
}

#[test]
fn ten_segments_in_random_orders() {
    let bench = Bench::new(Arch::Llama, FileType::F32);
    let prompt = Prompt::new(92, 4, &[5, 3, 6, 4, 2, 7, 3, 1, 5, 4], 4);
    let mut x = 12345usize;
    let mut orders = vec![(0..10).collect::<Vec<usize>>()];
    for _ in 0..12 {
        let mut order = orders[0].clone();
        for i in (1..10).rev() {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(i, (x >> 33) % (i + 1));
        }
        orders.push(order);
    }
    for (_, name) in MODES {
        assert_same(&bench.orders((name, true), &prompt, &orders, Prompt::whole), name);
    }
}

/// A prompt whose segments have the markers around them, with blanks between.
fn marked(order: &[usize], prompt: &Prompt, blanks: [usize; 2]) -> Vec<usize> {
    let ordered = prompt.ordered(order);
    let mut tokens = ordered.prefix;
    for (i, segment) in ordered.segments.iter().enumerate() {
        tokens.push(OPEN);
        tokens.extend(segment);
        tokens.push(CLOSE);
        tokens.extend(vec![BLANK; blanks.get(i).copied().unwrap_or(0)]);
    }
    tokens.extend(&ordered.suffix);
    tokens
}

fn batch(sequence: usize, at: usize, tokens: &[usize]) -> String {
    let tokens: Vec<String> = tokens.iter().map(usize::to_string).collect();
    format!("{sequence}:{at}:{}", tokens.join(","))
}

/// Segments found by markers, white space between them; in one batch, in several, with a prefix kept that ends in one of them.
#[test]
fn by_markers_in_batches_of_any_shape() {
    let mut bench = Bench::new(Arch::Llama, FileType::F32);
    bench.decode.sequences = 2;
    let prompt = Prompt::new(94, 3, &[4, 2, 5], 5);
    for (mode, name) in MODES {
        let expected = {
            let mut bare = prompt.clone();
            for segment in &mut bare.segments {
                segment.insert(0, OPEN);
                segment.push(CLOSE);
            }
            bench.decoder.pass(&bare.tokens(), &bare.cut(), mode).logits
        };
        for blanks in [[0, 0], [1, 2]] {
            let neighbour = batch(1, 0, &Prompt::new(95, 7, &[], 0).tokens());
            let script = |kind: usize, order: &Vec<usize>| {
                let tokens = marked(order, &prompt, blanks);
                let n = tokens.len();
                let from = |a: usize, b: usize| batch(0, a, &tokens[a..b]);
                match kind {
                    0 => format!("feed {}\n", from(0, n)),
                    1 => format!("fill {}\nfill {}\nfeed {}\n", from(0, 6), from(6, n - 5), from(n - 5, n)),
                    2 => format!("fill {}\nfeed {}\n", from(0, 12), from(12, n)),
                    3 => format!("feed {} {neighbour}\n", from(0, n)),
                    // What is kept of it ends in a segment.
                    _ => format!("fill {}\nremove 0 7 -1\nfeed {}\n", from(0, n), from(7, n)),
                }
            };
            for kind in 0..5 {
                // The neighbour's cells are of no matter to it.
                let all = |order: &Vec<usize>| format!("remove 0 0 -1\nremove 1 0 -1\n{}", script(kind, order));
                let script: String = permutations(3).iter().map(all).collect();
                let rows = bench.rows(name, true, MARKERS, &script);
                let own: Vec<Row> = rows.into_iter().filter(|row| row.label.starts_with("prompt 0 ")).collect();
                let tail = |run: &[Row]| run[run.len() - 5..].to_vec();
                let runs: Vec<Vec<Row>> = own.chunks(own.len() / 6).map(tail).collect();
                assert_same(&runs, &format!("{name}, {blanks:?}, script {kind}"));
                if blanks == [0, 0] {
                    let worst = by_rows(&runs[0], &expected[expected.len() - 5..]);
                    assert!(worst < 1e-4, "{name}, script {kind}: {worst:e} from the oracle");
                }
            }
        }
    }
}

/// Sequences with other segments in the same batch, and one segment only.
#[test]
fn with_neighbours() {
    let mut bench = Bench::new(Arch::Llama, FileType::F32);
    bench.decode.sequences = 2;
    let (one, other) = (Prompt::new(96, 3, &[4, 2, 5], 3), Prompt::new(97, 2, &[6], 3));
    for (mode, name) in MODES {
        let whole = |order: &Vec<usize>| {
            let one = one.ordered(order);
            let rows = |p: &Prompt, s| p.group(s, 0..p.tokens().len());
            format!("{}{}feed {} {}\n", one.announce(0), other.announce(1), rows(&one, 0), rows(&other, 1))
        };
        let runs: Vec<Vec<Row>> =
            permutations(3).iter().map(|order| bench.rows(name, true, "", &whole(order))).collect();
        let of = |run: &Vec<Row>, s: usize, from: usize| -> Vec<Row> {
            let label = format!("prompt {s} ");
            run.iter().filter(|row| row.label.starts_with(&label)).skip(from).cloned().collect()
        };
        assert_same(&runs.iter().map(|run| of(run, 0, one.cut().end())).collect::<Vec<_>>(), name);
        assert_same(&runs.iter().map(|run| of(run, 1, 0)).collect::<Vec<_>>(), name);
        let recording = Recording { rows: runs[0].clone(), nodes: vec![], captures: vec![] };
        let expected = bench.decoder.pass(&other.tokens(), &other.cut(), mode).logits;
        assert!(distance(&recording, 1, &expected).0 < 1e-4, "{name}: one segment");
    }
}

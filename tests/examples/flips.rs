//! How often rounding lets the order of segments decide after all, by type of the cache.
//!
//! PINE sorts segments by numbers that are the same in every order of the prompt, but for their rounding: two that are almost as
//! important as each other may change places. Random prompts are evaluated with their segments in several orders, and what each
//! query of each head and layer ranked is compared with the first order (rank flips), and so is the likeliest token after each
//! row behind the segments (greedy flips).
//!
//! `cargo run -p evenkeel-tests --example flips -- MODEL.gguf [PROMPTS]`

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::oracle::Prompt;
use evenkeel_tests::{Door, Profile, Recording, Row, Scratch, Setting};

/// Types, and whether flash attention is on: llama.cpp takes quantised ones with it only.
const CACHES: [(&str, bool); 6] =
    [("f32", false), ("f16", false), ("f16", true), ("bf16", true), ("q8_0", true), ("q4_0", true)];
const LENGTHS: [usize; 6] = [9, 6, 11, 8, 7, 10];
const PREFIX: usize = 5;
const SUFFIX: usize = 6;
/// Orders of each prompt.
const ORDERS: usize = 4;
/// Prompts of one run of the host.
const TOGETHER: usize = 10;

/// Decisions and how many of them the order changed.
#[derive(Default)]
struct Count {
    decisions: usize,
    flips: usize,
}

impl Count {
    fn add(&mut self, same: bool) {
        self.decisions += 1;
        self.flips += usize::from(!same);
    }

    fn per_million(&self) -> String {
        format!("{:.1} ({} of {})", 1e6 * self.flips as f64 / self.decisions as f64, self.flips, self.decisions)
    }
}

/// An order of the segments, the same for the same prompt.
fn order(prompt: usize, number: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..LENGTHS.len()).collect();
    let mut x = (prompt * ORDERS + number) as u64;
    for i in (1..order.len()).rev().filter(|_| number > 0) {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (x >> 33) as usize % (i + 1));
    }
    order
}

/// Tokens that the model itself finds likely somewhere. Of others it learned nothing: to it they are all the same token.
fn words(host: &CHost, decode: &Decode) -> Vec<usize> {
    let plain = Decode { shifts: false, ..decode.clone() };
    let run = |script: String| host.plain(&Decode { script: Some(script), ..plain.clone() }).rows;
    let n_vocab = run("feed 0:0:1\n".into())[0].logits.len();
    let prompt = |seed| {
        let tokens: Vec<String> = Prompt::new(seed, 400, &[], 0)
            .prefix
            .iter()
            .map(|token| (3 + token * 7 % (n_vocab - 3)).to_string())
            .collect();
        format!("remove 0 0 -1\nfeed 0:0:{}\n", tokens.join(","))
    };
    let mut words = BTreeSet::new();
    for row in run((0..4).map(prompt).collect()) {
        let mut likely: Vec<usize> = (3..n_vocab).collect();
        likely.sort_by(|a, b| f32::from_bits(row.logits[*b]).total_cmp(&f32::from_bits(row.logits[*a])));
        words.extend(&likely[..4]);
    }
    words.into_iter().collect()
}

fn tokens(seed: usize, words: &[usize]) -> Prompt {
    let mut prompt = Prompt::new(seed + 1, PREFIX, &LENGTHS, SUFFIX);
    let mut x = seed as u64;
    let all = [&mut prompt.prefix, &mut prompt.suffix].into_iter().chain(&mut prompt.segments);
    all.flatten().for_each(|token| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *token = words[(x >> 33) as usize % words.len()];
    });
    prompt
}

/// What each query of each head ranked, as its segments' shifts: of every segment's rows once, and of every row after them.
///
/// A layer has two nodes: of the segments' own rows, by segment, head and block (those before the segments last), and of the
/// rows after them, by row, head and segment.
fn ranks([own, after]: [&[u32]; 2], order: &[usize]) -> Vec<Vec<u32>> {
    let k = LENGTHS.len();
    let heads = after.len() / (SUFFIX * k);
    assert_eq!(after.len(), SUFFIX * heads * k, "by row, head and segment");
    assert!(own.len() > heads * k * k && own.len().is_multiple_of(heads * k), "by segment, head and block");
    let place = |segment: usize| order.iter().position(|s| *s == segment).expect("each is somewhere");
    let of_segment = |s: usize, head: usize| (0..k).map(|t| own[place(s) + k * (head + heads * place(t))]).collect();
    let of_row = |row: usize, head: usize| (0..k).map(|t| after[row + SUFFIX * (head + heads * place(t))]).collect();
    let segments = (0..k).flat_map(|s| (0..heads).map(move |head| (s, head))).map(|(s, head)| of_segment(s, head));
    let rows = (0..SUFFIX).flat_map(|row| (0..heads).map(move |head| (row, head))).map(|(row, head)| of_row(row, head));
    segments.chain(rows).collect()
}

fn best(row: &Row) -> usize {
    let value = |i: &usize| f32::from_bits(row.logits[*i]);
    (0..row.logits.len()).max_by(|a, b| value(a).total_cmp(&value(b))).unwrap_or(0)
}

fn compare(recording: &Recording, n_prompts: usize, first: usize, nodes: usize, counts: &mut [Count; 2]) {
    for i in 0..n_prompts {
        let runs = |o: usize| {
            let run = i * ORDERS + o;
            let captures = recording.captures[run * nodes..][..nodes].iter();
            let bits: Vec<_> =
                captures.map(|c| c.rows.iter().flatten().map(|x| x.to_bits()).collect::<Vec<u32>>()).collect();
            let of_layer = bits.chunks_exact(2).map(|pair| [&pair[0][..], &pair[1][..]]);
            let ranks: Vec<_> = of_layer.flat_map(|pair| ranks(pair, &order(first + i, o))).collect();
            let greedy: Vec<_> = recording.rows[run * SUFFIX..][..SUFFIX].iter().map(best).collect();
            (ranks, greedy)
        };
        let (ranks, greedy) = runs(0);
        for (other, others_greedy) in (1..ORDERS).map(runs) {
            ranks.iter().zip(&other).for_each(|(a, b)| counts[0].add(a == b));
            greedy.iter().zip(&others_greedy).for_each(|(a, b)| counts[1].add(a == b));
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(model) = arguments.first() else {
        eprintln!("flips MODEL.gguf [PROMPTS]");
        return ExitCode::FAILURE;
    };
    let n = arguments.get(1).map_or(120, |n| n.parse().expect("a number of prompts"));
    let (host, scratch) = (CHost::node_llama_cpp(), Scratch::new());
    let setting = scratch.profile(&Profile::empty().with("[invariance]\nmode = \"pine\""));
    let base = Decode { shifts: true, ..Decode::new(Path::new(model)) };
    let words = words(&host, &base);
    println!("{model}: {n} prompts of {} segments in {ORDERS} orders, {} words", LENGTHS.len(), words.len());
    println!("| cache | flash attention | rank flips per million decisions | greedy flips per million tokens |");
    println!("|---|---|---|---|");
    for (cache, flash) in CACHES {
        let flips = measure(&host, &Decode { cache: Some(cache), flash, ..base.clone() }, &setting, (n, &words));
        let on = if flash { "on" } else { "off" };
        match flips {
            Some([rank, greedy]) => {
                println!("| {cache} | {on} | {} | {} |", rank.per_million(), greedy.per_million());
            }
            None => println!("| {cache} | {on} | – | – |"),
        }
    }
    ExitCode::SUCCESS
}

/// `None` if llama.cpp does not take the type for this model.
fn measure(host: &CHost, decode: &Decode, setting: &Setting, (n, words): (usize, &[usize])) -> Option<[Count; 2]> {
    let mut counts = [Count::default(), Count::default()];
    for first in (0..n).step_by(TOGETHER) {
        let prompts: Vec<Prompt> = (first..n.min(first + TOGETHER)).map(|seed| tokens(seed, words)).collect();
        let mut script = String::new();
        for (i, prompt) in prompts.iter().enumerate() {
            for o in 0..ORDERS {
                let ordered = prompt.ordered(&order(first + i, o));
                let (end, n) = (ordered.cut().end(), ordered.tokens().len());
                script += &format!("remove 0 0 -1\n{}", ordered.announce(0));
                // One micro-batch, whose last rows give logits.
                script += &format!("tail {SUFFIX} {}\n", ordered.group(0, 0..n));
                assert_eq!(n, end + SUFFIX);
            }
        }
        let decode = Decode { script: Some(script), ..decode.clone() };
        let (finished, recording) = host.try_run(&decode, Some(Door::Preload), setting);
        let Some(recording) = recording else {
            assert!(finished.stderr.contains("the context was refused"), "{}", finished.stderr);
            return None;
        };
        assert!(!finished.stderr.contains("evenkeel: error"), "{}", finished.stderr);
        let runs = prompts.len() * ORDERS;
        assert_eq!(recording.captures.len() % (2 * runs), 0, "as many nodes in each run, two in each layer");
        assert!(!recording.captures.is_empty(), "no node says where segments were put");
        compare(&recording, prompts.len(), first, recording.captures.len() / runs, &mut counts);
    }
    Some(counts)
}

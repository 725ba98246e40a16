//! The oracle against numbers of another implementation.
//!
//! `reference.txt` was printed by a program in numpy, written apart from the oracle, that agrees with the published PyTorch
//! classes of PINE to the precision of their float32 parts.

use evenkeel_tests::oracle::{Heads, Mode, Rope, Score, Segments, Style, attend, permutations};

/// The same numbers as in the other program.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 / (1u64 << 53) as f64 - 0.5) * 4.0
    }

    fn heads(&mut self, n: usize, heads: usize, width: usize) -> Heads {
        (0..n).map(|_| (0..heads).map(|_| (0..width).map(|_| self.next()).collect()).collect()).collect()
    }
}

/// What a line says: style, heads, heads of keys, width, rotated dimensions, factors or not, prefix, segments, suffix, mode,
/// and for every token the sum of what its heads got, weighted with the cosine of the element's number.
fn check(line: &str, seed: u64) {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |i: usize| words[i].parse::<usize>().expect("a number");
    let (heads, kv_heads, width, n_rot) = (number(1), number(2), number(3), number(4));
    let lengths = words[7].split(',').map(|l| l.parse().expect("a length")).collect();
    let segments = Segments { prefix: number(6), lengths };
    let n = segments.end() + number(8);
    let mut numbers = Numbers(seed);
    let (q, k, v) =
        (numbers.heads(n, heads, width), numbers.heads(n, kv_heads, width), numbers.heads(n, kv_heads, width));
    let factors: Vec<f64> = (0..n_rot / 2).map(|_| 1.0 + 7.0 * (numbers.next() / 4.0 + 0.5)).collect();
    let style = if words[0] == "norm" { Style::Norm } else { Style::Neox };
    let rope = Rope::new(style, n_rot, 10_000.0, (words[5] == "1").then_some(&factors[..]));
    let score = Score::plain(rope, width);
    let mode = match words[9] {
        "pine" => Mode::Pine,
        "set" => Mode::Set,
        _ => Mode::Plain,
    };
    let (out, _) = attend(&q, &k, &v, &score, &segments, mode);
    assert_eq!(out.len(), words.len() - 10, "{line:.60}");
    for (token, (row, expected)) in out.iter().zip(&words[10..]).enumerate() {
        let sum: f64 = row.concat().iter().enumerate().map(|(i, x)| (i as f64).cos() * x).sum();
        let expected: f64 = expected.parse().expect("a number");
        assert!((sum - expected).abs() < 1e-11, "{line:.60}, token {token}: {sum} and {expected}");
    }
}

#[test]
fn the_oracle_is_the_reference() {
    let lines: Vec<&str> = include_str!("reference.txt").lines().collect();
    assert_eq!(lines.len(), 15);
    lines.iter().enumerate().for_each(|(i, line)| check(line, i as u64 / 3 + 1));
}

/// The reference's case with four segments, every order of them: what is computed moves with the segments.
#[test]
fn the_oracle_does_not_depend_on_the_order() {
    let (lengths, prefix, suffix) = ([3usize, 5, 2, 4], 2, 3);
    let n = prefix + lengths.iter().sum::<usize>() + suffix;
    let mut numbers = Numbers(77);
    let (q, k, v) = (numbers.heads(n, 4, 8), numbers.heads(n, 2, 8), numbers.heads(n, 2, 8));
    let score = Score::plain(Rope::new(Style::Neox, 8, 10_000.0, None), 8);
    let original = Segments { prefix, lengths: lengths.to_vec() };
    for mode in [Mode::Pine, Mode::Set, Mode::Plain] {
        let (expected, _) = attend(&q, &k, &v, &score, &original, mode);
        let mut largest = 0f64;
        for order in permutations(4) {
            let region = order.iter().flat_map(|s| original.first(*s)..original.first(*s) + lengths[*s]);
            let tokens: Vec<usize> = (0..prefix).chain(region).chain(original.end()..n).collect();
            let pick = |heads: &Heads| tokens.iter().map(|t| heads[*t].clone()).collect::<Heads>();
            let segments = Segments { prefix, lengths: order.iter().map(|s| lengths[*s]).collect() };
            let (out, _) = attend(&pick(&q), &pick(&k), &pick(&v), &score, &segments, mode);
            for (row, token) in out.iter().zip(&tokens) {
                let pairs = row.concat().into_iter().zip(expected[*token].concat());
                largest = pairs.map(|(a, b)| (a - b).abs()).fold(largest, f64::max);
            }
        }
        assert_eq!(largest < 1e-12, mode != Mode::Plain, "{mode:?}: {largest:e}");
    }
}

//! Position-invariant attention against its definition in float64.

mod mechanism;
mod reference;

use evenkeel_tests::oracle::Segments;

/// Every order of `n` things.
pub fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(n - 1);
    shorter.iter().flat_map(|p| (0..n).map(|at| [&p[..at], &[n - 1], &p[at..]].concat())).collect()
}

/// A prompt whose middle is segments.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub prefix: Vec<usize>,
    pub segments: Vec<Vec<usize>>,
    pub suffix: Vec<usize>,
}

impl Prompt {
    /// Tokens of their own for each seed.
    pub fn new(seed: usize, prefix: usize, lengths: &[usize], suffix: usize) -> Self {
        let mut x = seed * 7919 + 17;
        let mut tokens = |n: usize| -> Vec<usize> {
            let next = |_| {
                x = (x * 1_103_515_245 + 12_345) % (1 << 31);
                3 + (x >> 8) % 300
            };
            (0..n).map(next).collect()
        };
        Self { prefix: tokens(prefix), segments: lengths.iter().map(|n| tokens(*n)).collect(), suffix: tokens(suffix) }
    }

    /// The same with its segments in another order.
    pub fn ordered(&self, order: &[usize]) -> Self {
        Self { segments: order.iter().map(|s| self.segments[*s].clone()).collect(), ..self.clone() }
    }

    pub fn tokens(&self) -> Vec<usize> {
        [&self.prefix[..], &self.segments.concat(), &self.suffix].concat()
    }

    pub fn cut(&self) -> Segments {
        Segments { prefix: self.prefix.len(), lengths: self.segments.iter().map(Vec::len).collect() }
    }

    /// The script's line that says which tokens of a sequence are segments.
    pub fn announce(&self, sequence: usize) -> String {
        let lengths: Vec<String> = self.segments.iter().map(|s| s.len().to_string()).collect();
        format!("segments {sequence} {} {}\n", self.prefix.len(), lengths.join(" "))
    }

    /// A group of a script's batch: some tokens of a sequence.
    pub fn group(&self, sequence: usize, range: std::ops::Range<usize>) -> String {
        let tokens: Vec<String> = self.tokens()[range.clone()].iter().map(usize::to_string).collect();
        format!("{sequence}:{}:{}", range.start, tokens.join(","))
    }
}

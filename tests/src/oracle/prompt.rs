//! Prompts with segments, as scripts for the C host.

use std::ops::Range;

use super::Segments;

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
    /// Tokens before the segments.
    pub prefix: Vec<usize>,
    /// Tokens of each segment.
    pub segments: Vec<Vec<usize>>,
    /// Tokens after them.
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

    /// All tokens.
    pub fn tokens(&self) -> Vec<usize> {
        [&self.prefix[..], &self.segments.concat(), &self.suffix].concat()
    }

    /// How they are cut.
    pub fn cut(&self) -> Segments {
        Segments { prefix: self.prefix.len(), lengths: self.segments.iter().map(Vec::len).collect() }
    }

    /// The script's line that says which tokens of a sequence are segments.
    pub fn announce(&self, sequence: usize) -> String {
        let lengths: Vec<String> = self.segments.iter().map(|s| s.len().to_string()).collect();
        format!("segments {sequence} {} {}\n", self.prefix.len(), lengths.join(" "))
    }

    /// A script that feeds every token of sequence 0 in one batch.
    pub fn whole(&self) -> String {
        format!("{}feed {}\n", self.announce(0), self.group(0, 0..self.tokens().len()))
    }

    /// A script that feeds prefix, region, and then token by token.
    pub fn in_parts(&self) -> String {
        let (cut, n) = (self.cut(), self.tokens().len());
        let mut script = format!("feed {}\n{}", self.group(0, 0..cut.prefix), self.announce(0));
        script += &format!("feed {}\n", self.group(0, cut.prefix..cut.end()));
        (cut.end()..n).for_each(|at| script += &format!("feed {}\n", self.group(0, at..at + 1)));
        script
    }

    /// A group of a script's batch: some tokens of a sequence.
    pub fn group(&self, sequence: usize, range: Range<usize>) -> String {
        let tokens: Vec<String> = self.tokens()[range.clone()].iter().map(usize::to_string).collect();
        format!("{sequence}:{}:{}", range.start, tokens.join(","))
    }
}

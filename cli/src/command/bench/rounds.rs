//! Rounds: in each, every contender does the same block of work, in an order that changes.

use std::time::Instant;

use evenkeel_ffi::host::{Plugin, Token};
use indicatif::ProgressBar;
use rustix::time::{ClockId, clock_gettime};

use super::{
    contender::{Case, Contender, Field},
    crowd,
};
use crate::{failure::Failure, stats::Stats};

/// Tokens in a block of decoding.
pub const BLOCK: usize = 16;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// One token at a time.
    Decode,
    /// A prompt at once.
    Prefill,
    /// One token at a time of many sequences.
    Batch,
    /// One token at a time, and the same without a context in the prompt.
    Contrast,
}

impl Phase {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Decode => "decode",
            Phase::Prefill => "prefill",
            Phase::Batch => "batch of 32",
            Phase::Contrast => "contrast, decode",
        }
    }
}

/// One block of one contender.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Seconds on the wall.
    pub wall: f64,
    /// Seconds of all cores.
    pub cpu: f64,
    /// The plug-in's own time, microseconds per decode call.
    pub hook: Option<f64>,
}

/// All blocks of a phase: one row per round, one column per contender.
pub struct Measured {
    pub phase: Phase,
    /// Tokens in a block.
    pub tokens: usize,
    pub rounds: Vec<Vec<(Case, Block)>>,
    /// The plug-in's longest time for one evaluation, in microseconds, since it was loaded: it has built a graph then.
    pub worst_call: f64,
}

/// Runs `pairs` rounds after one that is thrown away.
pub fn measure(
    field: &mut Field,
    plugin: &Plugin,
    phase: Phase,
    pairs: usize,
    n_vocab: usize,
    bar: &ProgressBar,
) -> Result<Measured, Failure> {
    measure_by(field, plugin, phase, pairs, n_vocab, bar, |contender| contender.prepare(phase))
}

/// The same; `prepare` does what has to be done before a block and is no part of it.
pub fn measure_by(
    field: &mut Field,
    plugin: &Plugin,
    phase: Phase,
    pairs: usize,
    n_vocab: usize,
    bar: &ProgressBar,
    prepare: impl Fn(&mut Contender) -> Result<(), Failure>,
) -> Result<Measured, Failure> {
    bar.set_message(phase.name());
    let size = match phase {
        Phase::Decode | Phase::Contrast => BLOCK,
        Phase::Prefill => 2 * BLOCK,
        Phase::Batch => crowd::BLOCK,
    };
    let mut rounds = Vec::new();
    for round in 0..=pairs {
        let tokens = tokens(round, size, n_vocab);
        let mut blocks = Vec::new();
        for i in order(round, field.contenders.len()) {
            let contender = &mut field.contenders[i];
            prepare(contender)?;
            let block = timed(plugin, || contender.block(phase, &tokens))?;
            blocks.push((contender.case, block));
            bar.inc(1);
        }
        if round > 0 {
            rounds.push(blocks);
        }
    }
    let worst = Stats::of(plugin)?.hook_ns.max as f64 / 1000.0;
    Ok(Measured { phase, tokens: size, rounds, worst_call: worst })
}

/// Takes the time of some work.
pub fn timed(plugin: &Plugin, work: impl FnOnce() -> Result<(), Failure>) -> Result<Block, Failure> {
    let before = Stats::of(plugin)?.hook_ns;
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    work()?;
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let hook = Stats::of(plugin)?.hook_ns.since(&before);
    Ok(Block { wall, cpu, hook })
}

impl Measured {
    /// For each round, a case's time as `of` gives it.
    pub fn times(&self, case: Case, of: impl Fn(&Block) -> f64) -> Vec<f64> {
        let block = |round: &Vec<(Case, Block)>| round.iter().find(|(c, _)| *c == case).map(|(_, b)| of(b));
        self.rounds.iter().filter_map(block).collect()
    }

    /// For each round, the speed of `case` as a fraction of that of `base`.
    pub fn ratios(&self, case: Case, base: Case, of: impl Fn(&Block) -> f64 + Copy) -> Vec<f64> {
        self.times(base, of).into_iter().zip(self.times(case, of)).map(|(b, c)| b / c).collect()
    }

    /// For each round, the plug-in's own time per decode call in microseconds.
    pub fn hooks(&self, case: Case) -> Vec<f64> {
        self.times(case, |b| b.hook.unwrap_or(f64::NAN)).into_iter().filter(|h| h.is_finite()).collect()
    }
}

/// Any tokens do, as the weights are random; the same for all contenders of a round.
pub fn tokens(round: usize, size: usize, n_vocab: usize) -> Vec<Token> {
    (0..size).map(|i| ((round * size + i) * 7919 % n_vocab.saturating_sub(8).max(1) + 4) as Token).collect()
}

/// A permutation that puts everyone at every place and beside everyone equally often.
pub fn order(round: usize, n: usize) -> Vec<usize> {
    let forward: Vec<usize> = (0..n).map(|i| (i + round / 2) % n).collect();
    if round.is_multiple_of(2) { forward } else { forward.into_iter().rev().collect() }
}

fn cpu_seconds() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_permutations_and_tokens_are_in_range() {
        for round in 0..20 {
            let mut order = order(round, 5);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4]);
            assert!(tokens(round, 64, 512).iter().all(|&t| (4..512).contains(&t)));
        }
    }
}

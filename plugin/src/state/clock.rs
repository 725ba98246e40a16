//! The plug-in's own time, the host's excluded: of each evaluation of a micro-batch, all that hooks did for it on its thread
//! since the call to decode began. A thread that reads changed profiles is not in it, since nothing waits for that one.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// Evaluations, their total and their longest, in nanoseconds: the mean is never above the longest.
#[derive(Default)]
pub struct Clock {
    /// Number of evaluations.
    pub calls: AtomicU64,
    /// Sum of their time.
    pub total_ns: AtomicU64,
    /// The longest.
    pub max_ns: AtomicU64,
}

thread_local! {
    /// What hooks on this thread took since its last evaluation, or since its call to decode began.
    static PENDING: Cell<u64> = const { Cell::new(0) };
    /// The hook that is at work is the last one before an evaluation.
    static LAST: Cell<bool> = const { Cell::new(false) };
}

/// A call to decode begins on this thread: what was done before (contexts made, cells removed) is no part of it.
pub fn begin() {
    PENDING.set(0);
}

/// The hook that is at work on this thread is the last one before an evaluation.
pub fn last() {
    LAST.set(true);
}

/// Adds what this thread did since `start`. The sum, if an evaluation follows, is for [`Clock::add`].
#[must_use]
pub fn spent(start: Instant) -> Option<u64> {
    let ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let sum = PENDING.get().saturating_add(ns);
    let last = LAST.take();
    PENDING.set(if last { 0 } else { sum });
    last.then_some(sum)
}

impl Clock {
    /// Counts an evaluation for which this was spent.
    pub fn add(&self, ns: u64) {
        self.calls.fetch_add(1, Relaxed);
        self.total_ns.fetch_add(ns, Relaxed);
        self.max_ns.fetch_max(ns, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// `(calls, total, longest)` after something was done that took so many milliseconds.
    fn after(clock: &Clock, ms: u64) -> (u64, u64, u64) {
        let start = Instant::now().checked_sub(Duration::from_millis(ms)).expect("a machine that runs for a while");
        spent(start).into_iter().for_each(|ns| clock.add(ns));
        (clock.calls.load(Relaxed), clock.total_ns.load(Relaxed) / 1_000_000, clock.max_ns.load(Relaxed) / 1_000_000)
    }

    #[test]
    fn an_evaluation_has_all_that_was_done_for_it() {
        let clock = Clock::default();
        assert_eq!(after(&clock, 700), (0, 0, 0), "a context is made");
        begin();
        assert_eq!(after(&clock, 30), (0, 0, 0), "a graph is built");
        last();
        assert_eq!(after(&clock, 5), (1, 35, 35));
        last();
        assert_eq!(after(&clock, 15), (2, 50, 35), "the next micro-batch of the same call");
        begin();
        assert_eq!(after(&clock, 40), (2, 50, 35));
        last();
        assert_eq!(after(&clock, 60), (3, 150, 100));
    }
}

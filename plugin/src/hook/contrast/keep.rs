//! How the second context's graph is kept from being evaluated by itself: the hooks on its call to decode, while one is made
//! of which only the graph is wanted.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex},
};

use evenkeel_ffi::generated::types::ggml_cgraph;

use super::{
    super::{dispatch::Verdict, entry::Registers},
    beside::Beside,
};
use crate::state::{Live, RawRow, Second, lock};

/// A call to decode of the second context.
struct Attempt {
    second: Arc<Live>,
    /// Rows that its batch has: all in one micro-batch, or the graph is not kept.
    n_rows: usize,
    /// The rows of its micro-batch, while its graph is to be kept.
    rows: Option<Vec<RawRow>>,
    /// Its graph has its inputs, and was not evaluated.
    ready: bool,
    /// Nodes and leafs that both graphs may have.
    room: usize,
}

thread_local! {
    static ATTEMPT: RefCell<Option<Attempt>> = const { RefCell::new(None) };
}

/// A batch of `n_rows` rows is about to be decoded; `room`: what the first context's scheduler has room for, 0 if its graph is to be
/// evaluated by itself.
pub fn begin(second: &Second, n_rows: usize, room: usize) {
    let attempt = Attempt { second: second.live.clone(), n_rows, rows: None, ready: false, room };
    ATTEMPT.set((room > 0).then_some(attempt));
}

/// It was decoded: the rows of its micro-batch if its graph waits to be evaluated.
pub fn end() -> Option<Vec<RawRow>> {
    let attempt = ATTEMPT.take()?;
    if let Some(beside) = &lock(&attempt.second.contrast).beside {
        // SAFETY: the graph is the last that the context built, and only lent by `before_compute`.
        unsafe { lock(beside).take_back() };
    }
    attempt.rows.filter(|_| attempt.ready)
}

/// A micro-batch of a second context is about to be evaluated.
pub fn before_ubatch(live: &Live, rows: &[RawRow]) {
    ATTEMPT.with_borrow_mut(|attempt| {
        if let Some(attempt) = attempt.as_mut().filter(|a| a.second.address == live.address) {
            let whole = rows.len() == attempt.n_rows && !attempt.ready;
            attempt.rows = whole.then(|| rows.to_vec());
        }
    });
}

/// Whether the graph of this context is to be kept.
fn keeps(address: usize) -> bool {
    ATTEMPT.with_borrow(|attempt| attempt.as_ref().is_some_and(|a| a.second.address == address && a.rows.is_some()))
}

/// Whether a second context may evaluate the graph again that it built last.
pub fn may_reuse(live: &Live) -> bool {
    live.second_of.is_none() || lock(&live.contrast).beside.is_some() == keeps(live.address)
}

/// A graph of a second context is about to be allocated, to be evaluated.
pub fn before_alloc(live: &Live, r: &Registers) -> Verdict {
    let keeps = keeps(live.address);
    let room = ATTEMPT.with_borrow(|attempt| attempt.as_ref().map_or(0, |a| a.room));
    // SAFETY: the host hands this graph over on this thread.
    let keep = || unsafe { Beside::new(&live.host, (r.argument(0), room), r.argument(1) as *mut ggml_cgraph) };
    let built = if keeps { keep() } else { None };
    let answer = if built.is_some() { Verdict::Answer(1) } else { Verdict::Continue };
    if let (true, None) = (keeps, &built) {
        ATTEMPT.with_borrow_mut(|attempt| attempt.iter_mut().for_each(|a| a.rows = None));
    }
    let before = std::mem::replace(&mut lock(&live.contrast).beside, built.map(|b| Arc::new(Mutex::new(b))));
    drop(before);
    answer
}

/// A graph of a second context is about to be evaluated: it is not, if it is kept.
pub fn before_compute(address: usize) -> Verdict {
    if !keeps(address) {
        return Verdict::Continue;
    }
    ATTEMPT.with_borrow_mut(|attempt| {
        let Some(attempt) = attempt else { return Verdict::Continue };
        let Some(beside) = lock(&attempt.second.contrast).beside.clone() else { return Verdict::Continue };
        // SAFETY: the graph is the one that the context is about to evaluate, on this thread.
        unsafe { lock(&beside).lend() };
        attempt.ready = true;
        // GGML_STATUS_SUCCESS
        Verdict::Answer(0)
    })
}

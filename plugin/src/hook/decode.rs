//! The hooks on calls to decode: the boundary at which a reloaded profile takes effect, at which cells that are another
//! plan's are evaluated again, so that no host has to know that they are, and at which a region of segments that came in
//! parts is evaluated as a whole.

use std::{
    cell::Cell,
    ffi::c_void,
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use evenkeel_core::invariance::Region;
use evenkeel_ffi::generated::types::{llama_batch, llama_context};

use super::{attach, dispatch::Verdict, entry::Registers, measure, rows, split};
use crate::{
    guard::guard,
    log,
    state::{self, Again, Live, Repair, clock, lock, reload, snapshot},
};

thread_local! {
    /// Set while this thread evaluates cells again by itself.
    static REPAIRING: Cell<bool> = const { Cell::new(false) };
}

/// `llama_context::decode(batch)`, of both kinds of batches: one calls the other.
pub fn before_decode(r: &Registers) -> Verdict {
    if REPAIRING.get() {
        split::begin(r.argument(0), false);
        return Verdict::Continue;
    }
    clock::begin();
    state::get().captures.of(r.argument(0)).into_iter().for_each(|capture| lock(&capture).begin());
    let Some(live) = state::get().live(r.argument(0)) else {
        split::begin(0, false);
        return Verdict::Continue;
    };
    match (live.has_markers(), boundary(&live)) {
        (true, _) => Verdict::Instead(decode_with_regions),
        (false, true) => Verdict::First(|_| repair_all()),
        (false, false) => Verdict::Continue,
    }
}

/// Calls the host's function; it is given up at its first micro-batch if a region's tokens came in parts. Then that region is
/// evaluated, and the host's function is to run once more, on which it finds it.
fn decode_with_regions(r: &Registers, decode: *const c_void) -> Option<usize> {
    repair_all();
    split::begin(r.argument(0), true);
    // SAFETY: the host's own function, of two parameters: the context and the batch, by reference. Its exceptions are the
    // host's, and pass through here.
    let result = unsafe {
        let decode = std::mem::transmute::<*const c_void, unsafe extern "C-unwind" fn(usize, usize) -> i32>(decode);
        decode(r.argument(0), r.argument(1))
    };
    let again = split::take_again();
    if again.is_empty() {
        return Some(result as usize);
    }
    let live = guard("regions", None, || state::get().live(r.argument(0)));
    if let Some(live) = live {
        let _leave = Repairing::enter();
        again.iter().for_each(|again| evaluate_region(&live, again));
    }
    split::begin(r.argument(0), false);
    None
}

/// What happens between two calls to decode. True if cells are to be evaluated again before the next one.
pub fn boundary(live: &Arc<Live>) -> bool {
    let state = state::get();
    reload::at_boundary(state);
    snapshot::at_boundary(state);
    state.priors.at_boundary();
    for seq in live.decode_begins() {
        if let Some(end) = end_of(live, seq)
            && let Some(repair) = live.verify(seq, end)
        {
            state.queue_repair(live, repair);
        }
    }
    let unmeasured = measure::due(live);
    if unmeasured {
        state.queue_measure(live);
    }
    state.has_repairs() || unmeasured
}

/// One more than the last position of a sequence, by the host's word; `None` where a context has no memory.
pub fn end_of(live: &Live, seq: i32) -> Option<i32> {
    let memory = memory_of(live)?;
    let llama = live.host.lib.llama.as_ref()?;
    // SAFETY: the memory of a context that is being used on this thread.
    Some(unsafe { (llama.llama_memory_seq_pos_max)(memory as _, seq) } + 1)
}

/// The memory of a context, asked for once.
pub fn memory_of(live: &Live) -> Option<usize> {
    let known = live.memory.load(Ordering::Relaxed);
    if known != 0 {
        return Some(known);
    }
    let llama = live.host.lib.llama.as_ref()?;
    // SAFETY: the context was made and not freed; the function only reads a member of it.
    let found = unsafe { (llama.llama_get_memory)(live.address as *const llama_context) } as usize;
    live.memory.store(found, Ordering::Relaxed);
    (found != 0).then_some(found)
}

/// Evaluates again what is noted for this thread. Runs outside of the guard, which encloses only what is ours: it calls the
/// host, whose exceptions are the host's.
pub fn repair_all() {
    let _leave = Repairing::enter();
    while let Some(live) = guard("measure", None, || state::get().next_measure()) {
        measure::all(&live);
    }
    while let Some((live, repair)) = guard("repair", None, || state::get().next_repair()) {
        repair_one(&live, &repair);
    }
}

/// Evaluates something of our own: its call to decode is no boundary.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let _leave = Repairing::enter();
    work()
}

/// Resets the mark also when an exception passes. What it left undone is looked at again at the sequences' next call: the
/// context may be gone before this thread evaluates anything.
struct Repairing;

impl Repairing {
    fn enter() -> Repairing {
        REPAIRING.set(true);
        Repairing
    }
}

impl Drop for Repairing {
    fn drop(&mut self) {
        REPAIRING.set(false);
        guard("repair", (), || {
            while let Some((live, repair)) = state::get().next_repair() {
                live.put_off(&repair);
            }
        });
    }
}

fn repair_one(live: &Arc<Live>, repair: &Repair) {
    let region = guard("repair", None, || {
        let region = live.repairing(repair);
        log::debug!(
            "context {}, sequence {}: {} cells from position {} on are another profile's and are evaluated again",
            live.id,
            repair.seq,
            repair.tokens.len(),
            repair.from
        );
        Some(region)
    });
    let Some(region) = region else { return };
    if evaluate(live, repair.seq, (repair.from, &repair.tokens), region.as_ref()) {
        guard("repair", (), || live.repaired(repair));
    }
}

/// Evaluates a region whose tokens came in parts, and leaves as many cells as the host takes to be there.
fn evaluate_region(live: &Arc<Live>, again: &Again) {
    let ready = guard("regions", false, || {
        live.evaluating(again);
        log::debug!(
            "context {}, sequence {}: segments of {} tokens came in parts, and are evaluated as a whole",
            live.id,
            again.seq,
            again.region.n_cells()
        );
        true
    });
    if !ready || !evaluate(live, again.seq, (again.from, &again.tokens), Some(&again.region)) {
        return;
    }
    if let (Some(llama), Some(memory)) = (live.host.lib.llama.as_ref(), memory_of(live))
        && again.keep < again.from + again.tokens.len() as i32
    {
        // SAFETY: as in `evaluate`.
        unsafe { (llama.llama_memory_seq_rm)(memory as _, again.seq, again.keep, -1) };
    }
    guard("regions", (), || live.evaluated(again));
}

/// Pieces of tokens that are fed one after the other: a region in one.
fn pieces(from: i32, n: usize, region: Option<&Region>, n_batch: usize) -> Vec<Range<usize>> {
    let place = |pos: i32| usize::try_from(pos - from).unwrap_or(0).min(n);
    let bounds = region.map_or([0, 0], |region| [place(region.first()), place(region.end())]);
    let mut pieces = vec![];
    for (begin, end) in [(0, bounds[0]), (bounds[0], bounds[1]), (bounds[1], n)] {
        pieces.extend((begin..end).step_by(n_batch).map(|at| at..(at + n_batch).min(end)));
    }
    pieces
}

/// Evaluates tokens of a sequence from a position on, in place of the cells that are there. False if it failed, which is
/// said.
fn evaluate(live: &Arc<Live>, seq_id: i32, (from, all): (i32, &[i32]), region: Option<&Region>) -> bool {
    match feed(live, seq_id, (from, all), (region, false)) {
        Ok(()) => true,
        Err((pos, result)) => {
            log::error!(
                "context {}, sequence {seq_id}: cells from position {pos} on could not be evaluated again (llama_decode \
                 returned {result}); the host's next call for this sequence will fail",
                live.id
            );
            false
        }
    }
}

/// The same. `output`: the last token gives logits.
///
/// # Errors
/// The position at which it ended, and what `llama_decode` returned.
pub fn feed(
    live: &Arc<Live>,
    seq_id: i32,
    (from, all): (i32, &[i32]),
    (region, output): (Option<&Region>, bool),
) -> Result<(), (i32, i32)> {
    let (Some(llama), Some(memory)) = (live.host.lib.llama.as_ref(), memory_of(live)) else { return Err((from, -1)) };
    let ctx = live.address as *mut llama_context;
    // SAFETY: the context and its memory are the host's, which waits on this thread; the batch's arrays have n_tokens
    // elements each and outlive the call.
    unsafe {
        (llama.llama_memory_seq_rm)(memory as _, seq_id, from, -1);
        let n_batch = ((llama.llama_n_batch)(ctx) as usize).max(1);
        let mut pos = from;
        for piece in pieces(from, all.len(), region, n_batch) {
            let tokens = &all[piece];
            let n = tokens.len();
            let mut token = tokens.to_vec();
            let mut positions: Vec<i32> = (pos..pos + n as i32).collect();
            let mut seq = [seq_id];
            let mut seqs = vec![seq.as_mut_ptr(); n];
            let (mut n_seq, mut logits) = (vec![1i32; n], vec![0i8; n]);
            if output && pos - from + n as i32 == all.len() as i32 {
                logits[n - 1] = 1;
            }
            let batch = llama_batch {
                n_tokens: n as i32,
                token: token.as_mut_ptr(),
                embd: std::ptr::null_mut(),
                pos: positions.as_mut_ptr(),
                n_seq_id: n_seq.as_mut_ptr(),
                seq_id: seqs.as_mut_ptr(),
                logits: logits.as_mut_ptr(),
            };
            // Nothing is attached where hooks see it themselves.
            attach::tell(live.address, Some(&rows::of_batch(&batch, |_| pos)));
            let result = (llama.llama_decode)(ctx, batch);
            if result != 0 {
                return Err((pos, result));
            }
            pos += n as i32;
        }
    }
    Ok(())
}

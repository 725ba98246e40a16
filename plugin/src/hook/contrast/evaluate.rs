//! What a second context says to sequences without their marked contexts or images, before the micro-batch whose rows need it.

use std::{
    cell::RefCell,
    sync::{Arc, atomic::Ordering},
};

use evenkeel_core::lower::MOST;
use evenkeel_ffi::generated::types::{llama_batch, llama_context};

use super::{
    super::{capacity, decode, dispatch::Verdict, split},
    adapters, keep, second,
};
use crate::{
    guard::guard,
    log,
    state::{self, Counterpart, Fed, Live, Logits, MOST_ROWS, RawRow, Said, Second, Wanted, lock},
};

/// Cells that are taken over from another sequence at least: fewer are evaluated as fast.
const SHARED: usize = 16;

thread_local! {
    /// Rows of the micro-batch that is about to be evaluated on this thread, and the sequences of which another context has to
    /// say something first.
    static WAITING: RefCell<Option<(Vec<RawRow>, Vec<Wanted>)>> = const { RefCell::new(None) };
}

/// A micro-batch of a context of ours is about to be evaluated: its rows are fed, at once or after what they are set off against
/// is known.
pub fn before_ubatch(live: &Arc<Live>, rows: Vec<RawRow>) -> Verdict {
    if live.second_of.is_some() {
        keep::before_ubatch(live, &rows);
    }
    let wanted = if live.contrasts() && live.second_of.is_none() { live.wants_contrast(&rows) } else { vec![] };
    if wanted.is_empty() {
        live.feed(&rows);
        return Verdict::Continue;
    }
    WAITING.set(Some((rows, wanted)));
    Verdict::First(super::super::context::feed_contrasted)
}

/// Evaluates what the rows of the micro-batch at hand are set off against, and feeds them. Runs outside of the guard.
pub fn feed(address: usize) {
    let Some((rows, wanted)) = WAITING.take() else { return };
    let Some(live) = guard("contrast", None, || state::get().live(address)) else { return };
    let room = guard("contrast", 0, || if live.may_join(&rows, &wanted) { room(&live) } else { 0 });
    let mut said = vec![];
    for group in groups(wanted) {
        let weights = group.iter().any(|w| w.under.attention.is_some());
        match second::of(&live, weights) {
            Ok(second) => said.extend(split::apart(|| say(&live, &second, group, room))),
            Err(why) => said.extend(group.into_iter().map(|w| (w, Err(why.clone())))),
        }
    }
    guard("contrast", (), || {
        let n_outputs = rows.iter().filter(|r| r.output).count();
        live.said_without(said, n_outputs);
        live.feed(&rows);
    });
}

/// Sequences that can be evaluated together: with the same attention.
fn groups(wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut groups: Vec<Vec<Wanted>> = vec![];
    for w in wanted {
        match groups.iter_mut().find(|group| group[0].under.attention == w.under.attention) {
            Some(group) => group.push(w),
            None => groups.push(vec![w]),
        }
    }
    groups
}

/// Nodes and leafs that the scheduler of a context has room for, if that is known; else 0.
fn room(live: &Live) -> usize {
    capacity::of(live.sched.load(Ordering::Relaxed)).unwrap_or(0)
}

/// A row of the second context's batches.
struct Row {
    /// Its place among the sequences.
    of: usize,
    token: i32,
    pos: i32,
    /// The micro-batch's output rows that need its logits.
    outputs: Vec<usize>,
}

/// All that is wanted, in as few batches as it takes. If there is no room, sequences that are not at hand make some. `room`: how
/// many nodes and leafs there may be of both contexts; 0 if their graphs are not joined.
fn say(live: &Arc<Live>, second: &Second, wanted: Vec<Wanted>, room: usize) -> Vec<Said> {
    guard("contrast", (), || second.live.follow(&live.book(), &wanted));
    catch_up(live, second);
    if let Some(functions) = live.host.lib.contrast.as_ref() {
        match adapters::follow(live, second, functions) {
            Ok(true) => forget(live, second),
            Ok(false) => {}
            Err(why) => return wanted.into_iter().map(|w| (w, Err(why.clone()))).collect(),
        }
    }
    let mut said = evaluate(live, second, &wanted, room);
    if matches!(said, Err(1)) {
        log::debug!("context {}: no room beside it: what it has there of other sequences is dropped", live.id);
        forget(live, second);
        said = evaluate(live, second, &wanted, room);
    }
    match said {
        Ok(mut logits) => {
            logits.resize_with(wanted.len(), Vec::new);
            wanted.into_iter().zip(logits).map(|(w, logits)| (w, Ok(logits))).collect()
        }
        Err(code) => {
            forget(live, second);
            let why = format!(
                "the request without its contexts or images cannot be evaluated (llama_decode of the second context returned {code}{})",
                if code == 1 { ": its cache is full" } else { "" }
            );
            wanted.into_iter().map(|w| (w, Err(why.clone()))).collect()
        }
    }
}

/// Waits for the last evaluation of both contexts' graphs as one: it wrote keys and values of the second, and may still read what
/// lies in host memory. One that never came about left cells without them.
fn catch_up(live: &Live, second: &Second) {
    let last = guard("contrast", None, || {
        let mut contrasts = lock(&live.contrast);
        Some((std::mem::take(&mut contrasts.waits), std::mem::take(&mut contrasts.runs)))
    });
    let Some((waits, runs)) = last else { return };
    if runs {
        second::wait(live);
    }
    if waits {
        forget(live, second);
    }
}

/// Clears the second context.
fn forget(live: &Live, second: &Second) {
    if let (Some(llama), Some(memory)) = (live.host.lib.llama.as_ref(), decode::memory_of(&second.live)) {
        // SAFETY: the memory of a context of our own, used by this thread alone.
        unsafe { (llama.llama_memory_seq_rm)(memory as _, -1, -1, -1) };
    }
    guard("contrast", (), || lock(&live.contrast).fed.clear());
}

/// Makes each sequence of the second context what it should be, but for the tokens that are returned, from a position on.
fn prepare(live: &Live, second: &Second, wanted: &Wanted) -> Option<usize> {
    let (llama, memory) = (live.host.lib.llama.as_ref()?, decode::memory_of(&second.live)?);
    let contrast = live.host.lib.contrast.as_ref()?;
    let common = |fed: &Fed| {
        let sure = &fed.tokens[..fed.sure];
        let same = sure.iter().zip(&wanted.tokens).take_while(|(a, b)| a == b).count();
        fed.under.common(&wanted.under, same)
    };
    // The first token whose logits are needed is evaluated, in any case.
    let most = wanted.rows.iter().map(|(_, n)| n - 1).min().unwrap_or(0);
    let (own, length, other) = guard("contrast", None, || {
        let mut contrasts = lock(&live.contrast);
        let own = contrasts.fed.entry(wanted.seq).or_default();
        let length = own.tokens.len();
        own.settle(wanted.within.0);
        let own = common(own);
        let others = contrasts.fed.iter().filter(|(seq, _)| **seq != wanted.seq);
        let best = others.map(|(seq, fed)| (common(fed), *seq)).max();
        Some((own, length, best))
    })?;
    let (seq, mut keep) = (wanted.seq, own.min(most));
    let unified = second.weights || live.origin().is_some_and(|origin| origin.params.unified);
    // SAFETY: as in `forget`.
    unsafe {
        match other {
            Some((n, other)) if unified && !live.whole && n.min(most) >= keep + SHARED => {
                keep = n.min(most);
                (llama.llama_memory_seq_rm)(memory as _, seq, -1, -1);
                (contrast.llama_memory_seq_cp)(memory as _, other, seq, 0, keep as i32);
            }
            _ if keep < length => {
                let whole = live.whole || !(llama.llama_memory_seq_rm)(memory as _, seq, keep as i32, -1);
                if whole {
                    (llama.llama_memory_seq_rm)(memory as _, seq, -1, -1);
                    keep = 0;
                }
            }
            _ => {}
        }
    }
    let (tokens, under) = (wanted.tokens[..keep].to_vec(), wanted.under.clone());
    let kept = Fed { tokens, under, sure: keep, until: -1 };
    guard("contrast", (), || drop(lock(&live.contrast).fed.insert(seq, kept)));
    Some(keep)
}

/// The negated logits that are wanted, by sequence, or where they will be. What llama_decode returned if that is not 0.
fn evaluate(live: &Arc<Live>, second: &Second, wanted: &[Wanted], room: usize) -> Result<Vec<Logits>, i32> {
    let (Some(llama), Some(contrast)) = (live.host.lib.llama.as_ref(), live.host.lib.contrast.as_ref()) else {
        return Err(-1);
    };
    let mut rows = vec![];
    for (of, w) in wanted.iter().enumerate() {
        let from = prepare(live, second, w).ok_or(-1)?;
        rows.extend((from..w.tokens.len()).map(|at| {
            let outputs = w.rows.iter().filter(|(_, n)| *n == at + 1).map(|(row, _)| *row).collect();
            Row { of, token: w.tokens[at], pos: at as i32, outputs }
        }));
    }
    let ctx = second.address as *mut llama_context;
    // SAFETY: a context of our own, used by this thread alone, and its model's vocabulary.
    let (n_batch, n_vocab) = unsafe {
        let vocab = (llama.llama_model_get_vocab)((llama.llama_get_model)(ctx));
        (((llama.llama_n_batch)(ctx) as usize).max(1), (llama.llama_vocab_n_tokens)(vocab) as usize)
    };
    let mut found: Vec<Logits> = wanted.iter().map(|_| vec![]).collect();
    let join = room > 0 && rows.len() <= n_batch.min(MOST_ROWS);
    for piece in rows.chunks(n_batch) {
        let n = piece.len();
        let mut token: Vec<i32> = piece.iter().map(|r| r.token).collect();
        let mut pos: Vec<i32> = piece.iter().map(|r| r.pos).collect();
        let mut seq: Vec<i32> = piece.iter().map(|r| wanted[r.of].seq).collect();
        let mut seqs: Vec<*mut i32> = seq.iter_mut().map(|s| &raw mut *s).collect();
        let mut n_seq = vec![1i32; n];
        let mut logits: Vec<i8> = piece.iter().map(|r| i8::from(!r.outputs.is_empty())).collect();
        let batch = llama_batch {
            n_tokens: n as i32,
            token: token.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: pos.as_mut_ptr(),
            n_seq_id: n_seq.as_mut_ptr(),
            seq_id: seqs.as_mut_ptr(),
            logits: logits.as_mut_ptr(),
        };
        if join {
            // What it evaluated by itself is read from the host's own devices.
            second::wait(&second.live);
        }
        // Also where an exception passed before the last one ended.
        guard("contrast", (), || keep::begin(second, n, if join { room } else { 0 }));
        // SAFETY: as above; the batch's arrays have n_tokens elements each and outlive the call.
        let result = decode::quietly(|| unsafe { (llama.llama_decode)(ctx, batch) });
        let kept = guard("contrast", None, keep::end);
        if result != 0 {
            return Err(result);
        }
        live.contrasted.calls.fetch_add(1, Ordering::Relaxed);
        live.contrasted.tokens.fetch_add(n as u64, Ordering::Relaxed);
        if let Some(kept) = &kept {
            guard("contrast", (), || lock(&live.contrast).waits = true);
            live.contrasted.joined.fetch_add(1, Ordering::Relaxed);
            let places = beside(wanted, piece, kept).ok_or(-1)?;
            found = places;
        }
        for (i, row) in piece.iter().enumerate() {
            for output in row.outputs.iter().filter(|_| kept.is_none()) {
                // SAFETY: the row gives output; its logits are there until the next call.
                let said = unsafe {
                    let said = (contrast.llama_get_logits_ith)(ctx, i as i32);
                    if said.is_null() {
                        return Err(-1);
                    }
                    std::slice::from_raw_parts(said, n_vocab)
                };
                let negated = said.iter().map(|x| (-x).clamp(-MOST, MOST)).collect();
                found[row.of].push((*output, Counterpart::Minus(negated)));
            }
        }
        guard("contrast", (), || {
            let mut contrasts = lock(&live.contrast);
            for row in piece {
                let of = &wanted[row.of];
                let fed = contrasts.fed.entry(of.seq).or_default();
                fed.tokens.push(row.token);
                if kept.is_some() {
                    fed.until = of.within.1;
                } else {
                    fed.sure = fed.tokens.len();
                }
            }
        });
    }
    Ok(found)
}

/// Where the logits of a batch's rows will be: in which output row of the micro-batch that it became.
fn beside(wanted: &[Wanted], rows: &[Row], kept: &[RawRow]) -> Option<Vec<Logits>> {
    let mut found: Vec<Logits> = wanted.iter().map(|_| vec![]).collect();
    for row in rows {
        let outputs = kept.iter().filter(|k| k.output);
        let is = |k: &RawRow| (k.seq, k.pos) == (wanted[row.of].seq, row.pos);
        for output in &row.outputs {
            let place = outputs.clone().position(is)?;
            found[row.of].push((*output, Counterpart::Beside(place as u32)));
        }
    }
    Some(found)
}

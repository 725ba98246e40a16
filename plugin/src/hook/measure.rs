//! Priors that are measured on prompts without content: in the context that needs them, on a sequence that is empty, before it
//! evaluates anything else. What the prompts leave in its memory is removed again.

use std::sync::{Arc, atomic::Ordering};

use super::decode::{end_of, feed, memory_of};
use crate::{
    guard::guard,
    log,
    state::{Live, Online},
};

/// Whether priors are still to be measured.
pub fn due(live: &Live) -> bool {
    live.book().named.iter().any(|(_, instance)| instance.unmeasured().next().is_some())
}

/// Measures what is still to be measured. Runs outside of the guard, which encloses only what is ours.
pub fn all(live: &Arc<Live>) {
    let book = live.book();
    for (name, instance) in &book.named {
        let priors: Vec<Arc<Online>> = instance.unmeasured().cloned().collect();
        priors.iter().for_each(|prior| one(live, name, prior));
    }
}

/// Why a prior was not measured.
enum Not {
    /// Another context does it, or it waits for a sequence without cells.
    Now,
    /// It cannot be.
    Ever(String),
}

fn one(live: &Arc<Live>, profile: &str, prior: &Arc<Online>) {
    let measured = begin(live, prior).and_then(|(seq, lent, prompts)| {
        let fed = prompts.iter().enumerate().try_for_each(|(i, tokens)| {
            guard("measure", (), || live.begin_own(seq, profile));
            let fed = feed(live, seq, (0, tokens), (None, true));
            clear(live, seq);
            fed.map_err(|(_, result)| Not::Ever(format!("llama_decode returned {result} for prompt {}", i + 1)))
        });
        guard("measure", (), || live.give_back(seq, lent));
        fed
    });
    guard("measure", (), || told(live, prior, measured));
}

/// What is taken of a context for a while.
type Lent = (i32, Option<crate::state::Sequence>, Vec<Vec<i32>>);

fn begin(live: &Arc<Live>, prior: &Arc<Online>) -> Result<Lent, Not> {
    let begin = || {
        let prompts = prior.unmeasured().ok_or(Not::Now)?.clone();
        let tokens = |text: &String| live.pieces.tokens(&live.host, text);
        let prompts: Option<Vec<Vec<i32>>> = prompts.iter().map(tokens).collect();
        let prompts = prompts.ok_or_else(|| Not::Ever("this program gave no llama_tokenize".to_owned()))?;
        if let Some(empty) = prompts.iter().position(Vec::is_empty) {
            return Err(Not::Ever(format!("prompt {} has no tokens", empty + 1)));
        }
        let empty = |seq: &i32| end_of(live, *seq) == Some(0);
        let seq = (0..sequences(live)).rev().find(empty).ok_or(Not::Now)?;
        let lent = live.lend(seq).ok_or(Not::Now)?;
        if !prior.begin(live.id, seq) {
            live.give_back(seq, lent);
            return Err(Not::Now);
        }
        Ok((seq, lent, prompts))
    };
    guard("measure", Err(Not::Now), begin)
}

fn told(live: &Live, prior: &Online, measured: Result<(), Not>) {
    let (id, rule) = (live.id, prior.rule());
    match measured.and_then(|()| prior.end().map_err(Not::Ever)) {
        Ok(n) => {
            log::info!("context {id}: the prior of `{rule}` was measured on {n} prompts: {:.3?}", prior.shares());
        }
        Err(Not::Now) => {
            if prior.unmeasured().is_some() && !prior.said_waits.swap(true, Ordering::Relaxed) {
                log::warning!(
                    "context {id}: the prior of `{rule}` waits for a sequence without cells; until then it is off"
                );
            }
        }
        Err(Not::Ever(why)) => {
            prior.give_up();
            log::error!("context {id}: the prior of `{rule}` cannot be measured, and it stays off: {why}");
        }
    }
}

fn sequences(live: &Live) -> i32 {
    let context = live.address as *const evenkeel_ffi::generated::types::llama_context;
    // SAFETY: the context was made and not freed; the function only reads a member of it.
    live.host.lib.llama.as_ref().map_or(0, |llama| unsafe { (llama.llama_n_seq_max)(context) as i32 })
}

/// Removes what a prompt left.
fn clear(live: &Live, seq: i32) {
    if let (Some(llama), Some(memory)) = (live.host.lib.llama.as_ref(), memory_of(live)) {
        // SAFETY: the memory of a context that is being used on this thread.
        unsafe { (llama.llama_memory_seq_rm)(memory as _, seq, -1, -1) };
    }
}

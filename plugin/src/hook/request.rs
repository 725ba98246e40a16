//! The hooks by which a request of a stock llama-server says under which profile it wants to run.
//!
//! Text in `dry_sequence_breakers` reaches `llama_sampler_init_dry`, followed on the same thread by `llama_set_sampler` for
//! the request's sequence, before the server decides which cells it keeps. Other samplers are made in between, and for
//! every request a new chain comes first.

use std::{
    cell::RefCell,
    ffi::{CStr, c_char},
};

use super::{dispatch::Verdict, entry::Registers};
use crate::state::{self, Wish};

/// What a breaker of ours begins with.
const PREFIX: &[u8] = b"evenkeel=";
/// More breakers than any request has.
const MAX_BREAKERS: usize = 4096;
/// llama-server's own, for a request that named only ours.
const DEFAULTS: [&CStr; 4] = [c"\n", c":", c"\"", c"*"];

thread_local! {
    /// What the request that is being set up asks for.
    static ASKED: RefCell<Option<String>> = const { RefCell::new(None) };
    /// The breakers without ours, while the host's function reads them.
    static BREAKERS: RefCell<Vec<*const c_char>> = const { RefCell::new(Vec::new()) };
}

/// `llama_sampler_chain_init(params)`: another request's set-up begins; what an earlier one asked for, that failed, is over.
pub fn before_chain_init(_r: &Registers) -> Verdict {
    ASKED.with_borrow_mut(Option::take);
    Verdict::Continue
}

/// `llama_sampler_init_dry(vocab, multiplier, base, allowed_length, penalty_last_n, breakers, n_breakers)`; the two numbers
/// are not in integer registers.
pub fn before_init_dry(r: &Registers) -> Verdict {
    let (breakers, n) = (r.argument(3) as *const *const c_char, r.argument(4));
    // A clone has none. Anything else is not the function as it is known here.
    if breakers.is_null() || !breakers.is_aligned() || !(1..=MAX_BREAKERS).contains(&n) {
        return Verdict::Continue;
    }
    // SAFETY: the host passes `n` pointers to C strings, or null pointers.
    let all = unsafe { std::slice::from_raw_parts(breakers, n) };
    let ours = |text: &*const c_char| {
        // SAFETY: as above.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(*text) }.to_bytes().strip_prefix(PREFIX)).flatten()
    };
    let Some(name) = all.iter().rev().find_map(ours) else { return Verdict::Continue };
    ASKED.set(Some(String::from_utf8_lossy(name).into_owned()));
    BREAKERS.with_borrow_mut(|list| {
        *list = all.iter().filter(|text| ours(text).is_none()).copied().collect();
        if list.is_empty() {
            list.extend(DEFAULTS.map(CStr::as_ptr));
        }
        r.set_argument(3, list.as_ptr() as usize);
        r.set_argument(4, list.len());
    });
    Verdict::Continue
}

/// `bool llama_set_sampler(ctx, seq, sampler)`: a request begins on the sequence, or has ended there.
pub fn before_set_sampler(r: &Registers) -> Verdict {
    let asked = ASKED.with_borrow_mut(Option::take);
    if let Some(live) = state::get().live(r.argument(0)) {
        let wish: Option<Wish> = asked.map(|name| live.wish(&name));
        live.begin(r.argument(1) as i32, wish, true);
    }
    Verdict::Continue
}

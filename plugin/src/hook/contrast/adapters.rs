//! Adapters that a program gives its context: the second one has them, too, or it would be set off against another model.

use std::{ffi::c_int, sync::Arc};

use evenkeel_ffi::generated::{symbols::Contrast, types::llama_context};

use super::super::{dispatch::Verdict, entry::Registers};
use crate::{
    guard::guard,
    log,
    state::{self, Adapters, Live, Second, lock},
};

/// More adapters than any context has.
const MAX_ADAPTERS: usize = 1024;
/// More numbers than any control vector has: 1 GiB.
const MAX_VALUES: usize = 1 << 28;

/// `int32_t llama_set_adapters_lora(ctx, adapters, n, scales)`
pub fn before_lora(r: &Registers) -> Verdict {
    let (adapters, n, scales) = (r.argument(1) as *const usize, r.argument(2), r.argument(3) as *const f32);
    let null = adapters.is_null() || scales.is_null();
    if (n > 0 && null) || n > MAX_ADAPTERS {
        return Verdict::Continue;
    }
    // SAFETY: the host passes `n` of each.
    let read = |i: usize| unsafe { (adapters.add(i).read_unaligned(), scales.add(i).read_unaligned()) };
    // Those by 0 are none for llama.cpp, too.
    change(r.argument(0), |adapters| adapters.lora = (0..n).map(read).filter(|(_, scale)| *scale != 0.0).collect());
    Verdict::Continue
}

/// `int32_t llama_set_adapter_cvec(ctx, data, len, n_embd, il_start, il_end)`
pub fn before_cvec(r: &Registers) -> Verdict {
    let (data, len) = (r.argument(1) as *const f32, r.argument(2));
    if len > MAX_VALUES {
        return Verdict::Continue;
    }
    // SAFETY: the host passes `len` numbers, or none.
    let values = || unsafe { std::slice::from_raw_parts(data, len) }.to_vec();
    let shape = [3, 4, 5].map(|n| r.argument(n) as i32);
    change(r.argument(0), |adapters| {
        let given = (!data.is_null()).then(|| (values(), shape));
        if adapters.cvec.as_deref() != given.as_ref() {
            adapters.cvec = given.map(Arc::new);
        }
    });
    Verdict::Continue
}

/// A server gives its context adapters before every batch, mostly the same, or none.
fn change(address: usize, how: impl FnOnce(&mut Adapters)) {
    if let Some(live) = state::get().live(address).filter(|live| live.second_of.is_none()) {
        how(&mut lock(&live.contrast).adapters);
    }
}

/// Gives the second context the adapters of the first. True if it had others. Runs outside of the guard.
///
/// # Errors
/// If llama.cpp does not take them.
pub fn follow(live: &Live, second: &Second, functions: &Contrast) -> Result<bool, String> {
    let known = guard("adapters", None, || {
        let contrasts = lock(&live.contrast);
        Some((contrasts.adapters.clone(), contrasts.followed.clone()))
    });
    let Some((adapters, before)) = known else { return Ok(false) };
    let same_vector = match (&adapters.cvec, &before.cvec) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    let same_lora = adapters.lora == before.lora;
    if same_vector && same_lora {
        return Ok(false);
    }
    let (Some(set_lora), Some(set_cvec)) = (functions.llama_set_adapters_lora, functions.llama_set_adapter_cvec) else {
        return Err("this llama.cpp gives a context no adapters by functions that are known".into());
    };
    let ctx = second.address as *mut llama_context;
    let mut lora: Vec<_> = adapters.lora.iter().map(|(adapter, _)| *adapter as *mut _).collect();
    let mut scales: Vec<f32> = adapters.lora.iter().map(|(_, scale)| *scale).collect();
    log::debug!("context {}: {} adapters beside it", live.id, lora.len() + usize::from(adapters.cvec.is_some()));
    let mut results: Vec<c_int> = vec![];
    // SAFETY: a context of our own; the adapters are those that the host's context has at this moment.
    unsafe {
        if !same_lora {
            results.push(set_lora(ctx, lora.as_mut_ptr(), lora.len(), scales.as_mut_ptr()));
        }
        match adapters.cvec.as_deref() {
            _ if same_vector => {}
            Some((values, [n_embd, first, last])) => {
                results.push(set_cvec(ctx, values.as_ptr(), values.len(), *n_embd, *first, *last));
            }
            None => results.push(set_cvec(ctx, std::ptr::null(), 0, 0, 0, 0)),
        }
    }
    if results.iter().any(|result| *result != 0) {
        return Err(format!("the second context does not take the adapters of the first ({results:?})"));
    }
    guard("adapters", (), || lock(&live.contrast).followed = adapters);
    Ok(true)
}

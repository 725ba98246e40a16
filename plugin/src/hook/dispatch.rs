//! From an entry to the work of its hook, and on to the host's own function.

use std::ffi::c_void;

use super::{
    entry::{HOOKS, Registers},
    real,
};
use crate::{guard::guard, log, state};

/// Whether the host's function shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It runs.
    Continue,
    /// It does not: the call returns NULL or false.
    Refuse,
}

/// A hook's work.
pub type Work = fn(&Registers) -> Verdict;

/// Called by the entries. Returns where to jump, null to refuse.
///
/// # Safety
/// Only the assembly in [`super::entry`] calls it: `registers` are the ones it saved on this thread's stack.
pub unsafe extern "C" fn enter(index: u32, registers: *const Registers) -> *const c_void {
    let hook = &HOOKS[index as usize];
    // SAFETY: the entry passes the address of the registers it pushed.
    let registers = unsafe { &*registers };
    let verdict = if state::poisoned() {
        Verdict::Continue
    } else {
        guard(hook.name, Verdict::Continue, || (hook.work)(registers))
    };
    if verdict == Verdict::Refuse {
        return std::ptr::null();
    }
    let find = || real::find(index, registers.caller());
    // The call must not be lost: whatever made the first attempt panic, there is a second.
    let found = guard("dispatch", None, find).or_else(|| guard("dispatch again", None, find));
    found.map_or_else(
        || {
            // Cannot happen where the program was linked, since the caller needed the function to be there.
            log::error!("{} is nowhere in this process: the call returns nothing", hook.name);
            std::ptr::null()
        },
        |address| address.as_ptr().cast_const(),
    )
}

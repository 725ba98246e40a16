//! From an entry to the work of its hook, and on to the host's own function.

use std::{ffi::c_void, time::Instant};

use super::{
    entry::{HOOKS, Registers},
    real,
};
use crate::{
    guard::guard,
    log,
    state::{self, clock},
};

/// Whether the host's function shall run.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// It runs.
    Continue,
    /// It does not: the call returns NULL or false.
    Refuse,
    /// It does not: the call returns this.
    Answer(usize),
    /// Other functions of the host's run first. Outside of [`guard`]: an exception of theirs is the host's.
    First(fn(&Registers)),
    /// The work calls the host's function, which it is given the address of, itself, outside of [`guard`]. `None`: it runs
    /// once more.
    Instead(fn(&Registers, *const c_void) -> Option<usize>),
}

/// A hook's work.
pub type Work = fn(&Registers) -> Verdict;

/// A hook's work after the host's function, which returned the number; what it returns is what the caller gets.
pub type After = fn(&Registers, usize) -> usize;

/// Where an entry goes.
#[repr(C)]
pub struct Destination {
    /// The host's function; null: it does not run.
    address: *const c_void,
    /// What the entry then returns.
    value: usize,
}

impl Destination {
    fn answer(value: usize) -> Destination {
        Destination { address: std::ptr::null(), value }
    }
}

/// Called by the entries.
///
/// # Safety
/// Only the assembly in [`super::entry`] calls it: `registers` are the ones it saved on this thread's stack.
pub unsafe extern "C-unwind" fn enter(index: u32, registers: *const Registers) -> Destination {
    let hook = &HOOKS[index as usize];
    // SAFETY: the entry passes the address of the registers it pushed.
    let registers = unsafe { &*registers };
    let mut start = Instant::now();
    let verdict = if state::poisoned() {
        Verdict::Continue
    } else {
        guard(hook.name, Verdict::Continue, || (hook.work)(registers))
    };
    let destination = match verdict {
        Verdict::Refuse => Destination::answer(0),
        Verdict::Answer(value) => Destination::answer(value),
        Verdict::Continue => real(index, registers),
        // What runs in the host meanwhile is no time of ours.
        Verdict::First(work) => {
            spent(start);
            work(registers);
            start = Instant::now();
            real(index, registers)
        }
        Verdict::Instead(work) => {
            let real = real(index, registers);
            spent(start);
            let answer = if real.address.is_null() { None } else { work(registers, real.address) };
            return answer.map_or(real, Destination::answer);
        }
    };
    spent(start);
    destination
}

/// Adds to the plug-in's own time.
fn spent(start: Instant) {
    if let Some(ns) = clock::spent(start) {
        guard("clock", (), || state::get().time.add(ns));
    }
}

/// The host's own function.
fn real(index: u32, registers: &Registers) -> Destination {
    let find = || real::find(index, registers.caller());
    // The call must not be lost: whatever made the first attempt panic, there is a second.
    let found = guard("dispatch", None, find).or_else(|| guard("dispatch again", None, find));
    found.map_or_else(
        || {
            // Cannot happen where the program was linked, since the caller needed the function to be there.
            let name = HOOKS[index as usize].name;
            log::error!("{name} is nowhere in this process: the call returns nothing");
            Destination::answer(0)
        },
        |address| Destination { address: address.as_ptr().cast_const(), value: 0 },
    )
}

/// Called by the entries that come back after the host's function.
///
/// # Safety
/// As [`enter`].
pub unsafe extern "C" fn leave(index: u32, registers: *const Registers, result: usize) -> usize {
    let hook = &HOOKS[index as usize];
    // SAFETY: the entry passes the address of the registers it pushed.
    let registers = unsafe { &*registers };
    let Some(after) = hook.after.filter(|_| !state::poisoned()) else { return result };
    let start = Instant::now();
    let result = guard(hook.name, result, || after(registers, result));
    spent(start);
    result
}

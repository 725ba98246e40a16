//! The hooks where a batch is split into micro-batches: its prompts are looked through for segments, and a region of them is
//! given a micro-batch that holds all of it.
//!
//! llama.cpp splits a batch before it evaluates any of it. Where a region's tokens came in several batches, or a split
//! cannot be moved, the call is given up before anything of it was evaluated; the region is then evaluated in a batch of its
//! own, and the call begins once more ([`super::decode`]).

use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
};

use evenkeel_ffi::{generated::types::llama_batch, library::real};

use super::{dispatch::Verdict, entry::Registers, library::Host, rows};
use crate::state::{self, Again, Prepared, Room};

thread_local! {
    /// The context that decodes on this thread.
    static DECODING: Cell<usize> = const { Cell::new(0) };
    /// Whether its call may be given up to begin once more.
    static MAY_GIVE_UP: Cell<bool> = const { Cell::new(false) };
    /// What was found in the batch that is being split.
    static PREPARED: RefCell<Prepared> = const { RefCell::new(Prepared::NOTHING) };
}

/// What is asked of a batch that is being split (`llama_batch_allocr`).
pub struct Split {
    batch: unsafe extern "C" fn(*const c_void) -> *const llama_batch,
    used: unsafe extern "C" fn(*const c_void) -> u32,
}

impl Split {
    /// The functions of the llama.cpp that has code at `address`.
    pub fn of(address: usize) -> Option<Split> {
        let find = |name| real(address, name).map(|f| f.as_ptr());
        find("_ZN18llama_batch_allocr12split_simpleEj")?;
        find("_ZN18llama_batch_allocr11split_equalEjbj")?;
        // SAFETY: the symbols name the parameters; both functions return a member of the object, one by reference.
        unsafe {
            Some(Split {
                batch: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_void) -> *const llama_batch>(
                    find("_ZNK18llama_batch_allocr9get_batchEv")?,
                ),
                used: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_void) -> u32>(find(
                    "_ZNK18llama_batch_allocr10get_n_usedEv",
                )?),
            })
        }
    }
}

/// A context begins to decode on this thread (0: one that is none of ours). Whether the call can begin once more.
pub fn begin(context: usize, may_give_up: bool) {
    DECODING.set(context);
    MAY_GIVE_UP.set(may_give_up);
    PREPARED.take();
}

/// Evaluates something of another context while a call to decode of this thread goes on.
pub fn apart<T>(work: impl FnOnce() -> T) -> T {
    let before = (DECODING.get(), MAY_GIVE_UP.get(), PREPARED.take());
    let done = work();
    DECODING.set(before.0);
    MAY_GIVE_UP.set(before.1);
    PREPARED.set(before.2);
    done
}

/// Whether the call is to be given up before its first micro-batch is evaluated.
pub fn gives_up() -> bool {
    PREPARED.with_borrow(|prepared| !prepared.again.is_empty())
}

/// What is to be evaluated before the call begins once more.
pub fn take_again() -> Vec<Again> {
    PREPARED.with_borrow_mut(|prepared| std::mem::take(&mut prepared.again))
}

/// `llama_ubatch llama_batch_allocr::split_simple(n_ubatch)`: the next rows of the batch, in their order.
pub fn before_simple(r: &Registers) -> Verdict {
    before(r, false)
}

/// `llama_ubatch llama_batch_allocr::split_equal(n_ubatch, sequential, n_keep_tail)`: as many rows of each sequence.
pub fn before_equal(r: &Registers) -> Verdict {
    before(r, true)
}

fn before(r: &Registers, equal: bool) -> Verdict {
    let Some(live) = state::get().live(DECODING.get()).filter(|live| live.has_markers()) else {
        return Verdict::Continue;
    };
    let Some(split) = split_of(&live.host) else { return Verdict::Continue };
    let (this, n_ubatch) = (r.argument(Registers::behind_result(0)), r.argument(Registers::behind_result(1)) as u32);
    // SAFETY: the host calls a member function of this object on this thread; its batch has as many rows as it says.
    let (rows, used) = unsafe {
        let used = (split.used)(this as *const c_void) as usize;
        let rows = if used == 0 { rows::of_batch(&*(split.batch)(this as *const c_void), |_| 0) } else { vec![] };
        (rows, used)
    };
    if used == 0 {
        let room = Room { n_ubatch: n_ubatch as usize, equal, may_give_up: MAY_GIVE_UP.get() };
        PREPARED.set(live.prepare(&rows, room));
    }
    // A micro-batch that would begin before a region and end in it ends before it.
    let next = PREPARED.with_borrow(|prepared| prepared.next(used, n_ubatch as usize));
    r.set_argument(Registers::behind_result(1), next);
    Verdict::Continue
}

/// The functions of a host, looked for once.
pub fn split_of(host: &Host) -> Option<&Split> {
    let find = || host.lib.llama.as_ref().and_then(|llama| Split::of(llama.llama_get_memory as usize));
    host.split.get_or_init(find).as_ref()
}

//! The host's own functions behind the hooks.

use std::{
    ffi::c_void,
    ptr::NonNull,
    sync::{OnceLock, RwLock},
};

use evenkeel_ffi::library;
use rustc_hash::FxHashMap;

use super::entry::HOOKS;

/// By hook and calling address. Found once per call site: objects are kept loaded, so addresses stay valid.
type Known = RwLock<FxHashMap<(u32, usize), usize>>;

/// The function that hook `index` stands in front of, for the code at `caller`.
///
/// Several copies of llama.cpp can live in one process, and the next in the chain is not reachable by
/// `RTLD_NEXT` where libraries were loaded locally: so it is looked up in the scope of the calling object.
pub fn find(index: u32, caller: usize) -> Option<NonNull<c_void>> {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let known = KNOWN.get_or_init(Known::default);
    let read = known.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(&(index, caller)).copied();
    let address = match read {
        Some(address) => address,
        None => {
            let address = library::real(caller, HOOKS[index as usize].name)?.as_ptr() as usize;
            known.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert((index, caller), address);
            address
        }
    };
    NonNull::new(address as *mut c_void)
}

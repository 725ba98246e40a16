//! The host's own functions behind the hooks.

use std::{ffi::c_void, ptr::NonNull};

use evenkeel_ffi::library;

use super::{entry::HOOKS, known::Known};

/// The function that hook `index` stands in front of, for the code at `caller`.
///
/// Several copies of llama.cpp can live in one process, and the next in the chain is not reachable by
/// `RTLD_NEXT` where libraries were loaded locally: so it is looked up in the scope of the calling object. Once per call
/// site, because it walks the loaded objects; they are kept loaded, so addresses stay valid.
pub fn find(index: u32, caller: usize) -> Option<NonNull<c_void>> {
    static KNOWN: Known<(u32, usize), usize> = Known::new();
    let address = KNOWN.get(&(index, caller)).or_else(|| {
        let found = library::real(caller, HOOKS[index as usize].name)?;
        Some(KNOWN.keep((index, caller), found.as_ptr() as usize))
    })?;
    NonNull::new(address as *mut c_void)
}

/// The same by the hook's name.
pub fn named(name: &str, caller: usize) -> Option<NonNull<c_void>> {
    find(HOOKS.iter().position(|h| h.name == name)? as u32, caller)
}

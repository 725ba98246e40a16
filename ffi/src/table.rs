//! How a table of function pointers is filled, and how all that is missing is told at once.

use std::ffi::c_void;

/// Gives the address of a function by name, if the host has it.
pub type Lookup<'a> = dyn Fn(&str) -> Option<*const c_void> + 'a;

/// Functions of one group that a host lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("group `{group}`: {}", names.join(", "))]
pub struct Missing {
    group: &'static str,
    names: Vec<&'static str>,
}

impl Missing {
    pub(crate) fn new(group: &'static str) -> Self {
        Missing { group, names: Vec::new() }
    }

    /// The names, in the order of `symbols.txt`.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    pub(crate) fn or<T>(self, table: T) -> Result<T, Missing> {
        if self.names.is_empty() { Ok(table) } else { Err(self) }
    }
}

/// Stands in for a missing function until [`Missing::or`] throws the table away.
extern "C" fn absent() {
    unreachable!("a table with missing functions is never handed out")
}

/// # Safety
/// `F` is a function pointer type and `lookup` gives functions of that type.
pub(crate) unsafe fn required<F: Copy>(lookup: &Lookup, name: &'static str, missing: &mut Missing) -> F {
    let address = lookup(name).unwrap_or_else(|| {
        missing.names.push(name);
        absent as *const c_void
    });
    // SAFETY: F is a function pointer (the caller's promise), so it has the size of a data pointer here.
    unsafe { std::mem::transmute_copy(&address) }
}

/// # Safety
/// As [`required`].
pub(crate) unsafe fn optional<F: Copy>(lookup: &Lookup, name: &'static str) -> Option<F> {
    // SAFETY: as in `required`.
    lookup(name).map(|address| unsafe { std::mem::transmute_copy(&address) })
}

//! Choosing the profile in code.

use std::{ffi::c_char, path::PathBuf};

use super::{
    error::{exported, text},
    status::Status,
};
use crate::state::{self, ProfileSlot, lock};

/// `ek_status ek_load_profile(const char * path)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_load_profile(path: *const c_char) -> Status {
    exported("ek_load_profile", || {
        let state = state::get();
        if path.is_null() {
            *lock(&state.profile) = ProfileSlot::None;
            return Ok(());
        }
        // SAFETY: the header's contract.
        let path = PathBuf::from(unsafe { text("path", path) }?);
        // Read first, so that a bad profile leaves the one in force in place.
        let mut fresh = ProfileSlot::None;
        fresh.load(path).map_err(|errors| (Status::Profile, errors))?;
        *lock(&state.profile) = fresh;
        Ok(())
    })
}

//! Choosing the profile in code.

use std::{
    ffi::{c_char, c_void},
    path::PathBuf,
    sync::Arc,
};

use super::{
    error::{Failure, exported, text},
    status::Status,
};
use crate::state::{self, Live, ProfileSlot, Shelf, lock, reload};

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
        let shelf = Shelf::load(&path).map_err(|errors| (Status::Profile, errors))?;
        *lock(&state.profile) = ProfileSlot::Loaded(Arc::new(shelf));
        Ok(())
    })
}

/// `ek_status ek_reload(void)`
#[unsafe(no_mangle)]
pub extern "C" fn ek_reload() -> Status {
    exported("ek_reload", || reload::now(state::get()).map_err(|why| (Status::Profile, why)))
}

/// `ek_status ek_set_profile(const void * ctx, int32_t seq, const char * name)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_set_profile(ctx: *const c_void, seq: i32, name: *const c_char) -> Status {
    exported("ek_set_profile", || {
        // SAFETY: the header's contract.
        let name = if name.is_null() { None } else { Some(unsafe { text("name", name) }?) };
        live(ctx)?.choose(sequence(seq)?, name).map_err(|why| (Status::Profile, why))
    })
}

/// `ek_status ek_begin(const void * ctx, int32_t seq)`
#[unsafe(no_mangle)]
pub extern "C" fn ek_begin(ctx: *const c_void, seq: i32) -> Status {
    exported("ek_begin", || {
        live(ctx)?.begin(sequence(seq)?, None, false);
        live(ctx)?.announce(seq);
        Ok(())
    })
}

/// A context of ours. Its address is looked up, never followed.
pub(super) fn live(ctx: *const c_void) -> Result<Arc<Live>, Failure> {
    let found = state::get().live(ctx as usize);
    found.ok_or((Status::Context, "ctx is no llama_context that runs under a profile".to_owned()))
}

pub(super) fn sequence(seq: i32) -> Result<i32, Failure> {
    if seq >= 0 { Ok(seq) } else { Err((Status::Argument, format!("seq: got {seq}, allowed: 0 or more"))) }
}

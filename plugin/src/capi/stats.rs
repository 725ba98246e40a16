//! What the plug-in is doing, as text.

use std::ffi::c_char;

use super::{
    error::{Failure, exported, out},
    status::Status,
};
use crate::state;

/// `ek_status ek_stats_json(char * buffer, size_t size, size_t * needed)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_stats_json(buffer: *mut c_char, size: usize, needed: *mut usize) -> Status {
    // SAFETY: the header's contract.
    exported("ek_stats_json", || unsafe { give(&state::stats_json(state::get()).to_string(), buffer, size, needed) })
}

/// `ek_status ek_plan_text(char * buffer, size_t size, size_t * needed)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_plan_text(buffer: *mut c_char, size: usize, needed: *mut usize) -> Status {
    // SAFETY: the header's contract.
    exported("ek_plan_text", || unsafe { give(&state::plan_text(state::get()), buffer, size, needed) })
}

/// Copies `text`, which has no zero byte inside, to a caller's buffer.
///
/// # Safety
/// `buffer` is null or holds `size` bytes, `needed` is null or can be written.
unsafe fn give(text: &str, buffer: *mut c_char, size: usize, needed: *mut usize) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let needed = unsafe { out("needed", needed) }?;
    *needed = text.len() + 1;
    if buffer.is_null() && size == 0 {
        return Ok(());
    }
    if buffer.is_null() {
        return Err((Status::Argument, "buffer is NULL".into()));
    }
    if size < *needed {
        return Err((Status::Space, format!("{} bytes are needed, the buffer has {size}", *needed)));
    }
    // SAFETY: the buffer holds `size` bytes by contract, which are enough.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        *buffer.add(text.len()) = 0;
    }
    Ok(())
}

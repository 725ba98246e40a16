//! What the plug-in is doing, as JSON.

use std::ffi::c_char;

use super::{
    error::{exported, out},
    status::Status,
};
use crate::state;

/// `ek_status ek_stats_json(char * buffer, size_t size, size_t * needed)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_stats_json(buffer: *mut c_char, size: usize, needed: *mut usize) -> Status {
    exported("ek_stats_json", || {
        // SAFETY: the header's contract.
        let needed = unsafe { out("needed", needed) }?;
        let text = state::stats_json(state::get()).to_string();
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
        // SAFETY: the buffer holds `size` bytes by contract, which are enough; JSON text has no zero byte.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
            *buffer.add(text.len()) = 0;
        }
        Ok(())
    })
}

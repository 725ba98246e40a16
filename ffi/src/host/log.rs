//! What llama.cpp says: silent unless asked for, and its last errors kept for our own messages.

use std::{
    ffi::{CStr, c_char, c_void},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::generated::types::{GGML_LOG_LEVEL_CONT, GGML_LOG_LEVEL_DEBUG, GGML_LOG_LEVEL_ERROR, ggml_log_level};

/// What of the host's log goes to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LogLevel {
    /// Everything.
    Debug = 1,
    /// Information, warnings and errors.
    Info = 2,
    /// Warnings and errors.
    Warn = 3,
    /// Errors.
    Error = 4,
    /// Nothing.
    Silent = 6,
}

static SHOWN: AtomicU32 = AtomicU32::new(LogLevel::Silent as u32);
/// The level of the last line: a continuation has none of its own.
static LAST: AtomicU32 = AtomicU32::new(GGML_LOG_LEVEL_DEBUG);
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Error lines kept for a message.
const KEPT: usize = 3;

/// Sets what is shown, for all hosts of this process.
pub(super) fn show(level: LogLevel) {
    SHOWN.store(level as u32, Ordering::Relaxed);
}

/// The host's last error lines, which are then forgotten.
pub(super) fn take_errors() -> String {
    let lines = std::mem::take(&mut *ERRORS.lock().unwrap_or_else(PoisonError::into_inner));
    if lines.is_empty() { "it gave no reason".into() } else { lines.join("; ") }
}

/// The callback given to `llama_log_set`.
pub(super) unsafe extern "C" fn callback(level: ggml_log_level, text: *const c_char, _user: *mut c_void) {
    if text.is_null() {
        return;
    }
    let level = if level == GGML_LOG_LEVEL_CONT { LAST.load(Ordering::Relaxed) } else { level };
    LAST.store(level, Ordering::Relaxed);
    // SAFETY: llama.cpp passes a C string that lives across the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    if level >= SHOWN.load(Ordering::Relaxed) {
        use std::io::Write;
        // Nobody to tell if standard error is closed.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    if level == GGML_LOG_LEVEL_ERROR {
        let mut errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() == KEPT {
            errors.remove(0);
        }
        errors.push(text.trim().to_owned());
    }
}

//! The text of a thread's last error, and the frame that every exported function has.

use std::{
    cell::RefCell,
    ffi::{CStr, CString, c_char},
};

use super::status::Status;
use crate::guard::guard;

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// What went wrong: the code and the text for `ek_last_error`.
pub type Failure = (Status, String);

/// Runs the body of the exported function `name`: keeps the text of an error, stops panics.
pub fn exported(name: &str, body: impl FnOnce() -> Result<(), Failure>) -> Status {
    let status = guard(name, Status::Internal, || match body() {
        Ok(()) => Status::Ok,
        Err((status, text)) => {
            keep(&text);
            status
        }
    });
    if status == Status::Internal {
        keep(&format!("internal error in {name}: from here on every graph runs as the host built it"));
    }
    status
}

/// Keeps the text for `ek_last_error`. A thread that is being taken down keeps none.
fn keep(text: &str) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    let _ = LAST.try_with(|last| *last.borrow_mut() = text);
}

/// A C string argument as text.
///
/// # Errors
/// [`Status::Argument`] for null and for text that is not UTF-8.
///
/// # Safety
/// `text` is null or a C string that lives across the call.
pub unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err((Status::Argument, format!("{name} is NULL")));
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| (Status::Argument, format!("{name} is not UTF-8")))
}

/// A pointer to write to.
///
/// # Errors
/// [`Status::Argument`] for null.
///
/// # Safety
/// `out` is null or points to a value that nobody else uses during the call.
pub unsafe fn out<'a, T>(name: &str, out: *mut T) -> Result<&'a mut T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { out.as_mut() }.ok_or_else(|| (Status::Argument, format!("{name} is NULL")))
}

/// `const char * ek_last_error(void)`
#[unsafe(no_mangle)]
pub extern "C" fn ek_last_error() -> *const c_char {
    // The string is replaced only by this thread's next error. It may be gone where a thread is being taken down.
    guard("ek_last_error", c"".as_ptr(), || LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr()))
}

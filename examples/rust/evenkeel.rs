//! evenkeel in a Rust program that contains llama.cpp (the crates llama-cpp-2 and llama-cpp-sys-2 without their feature
//! `dynamic-link`): copy this file, call [`load`] before the first context, and have the linker send three calls this way:
//!
//! ```ignore
//! // build.rs
//! for name in ["llama_new_context_with_model", "llama_decode", "llama_free"] {
//!     println!("cargo:rustc-link-arg-bins=-Wl,--wrap={name}");
//! }
//! println!("cargo:rustc-link-arg-bins=-rdynamic"); // evenkeel looks llama.cpp's functions up in the program
//! ```
//!
//! The safe crate keeps the pointer to a context to itself, so its calls are where a context can be seen. A program that
//! calls llama-cpp-sys-2 itself needs no linker arguments but the last, and calls [`Evenkeel`]'s functions directly.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr::null;
use std::sync::OnceLock;

use libloading::Library;
use llama_cpp_sys_2::{llama_batch, llama_context, llama_context_params, llama_model};

static EVENKEEL: OnceLock<Evenkeel> = OnceLock::new();

/// The functions of `include/evenkeel.h` that a static program needs.
pub struct Evenkeel {
    attach: unsafe extern "C" fn(*mut llama_context) -> i32,
    detach: unsafe extern "C" fn(*mut llama_context) -> i32,
    before_decode: unsafe extern "C" fn(*mut llama_context, *const llama_batch) -> i32,
    last_error: unsafe extern "C" fn() -> *const c_char,
}

/// Loads the library, gives it this program's llama.cpp, and reads the profile; without one, `EVENKEEL_PROFILE` counts.
pub fn load(library: &Path, profile: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    // SAFETY: the types are those of include/evenkeel.h, and the library is never unloaded.
    unsafe {
        let library = Box::leak(Box::new(Library::new(library)?));
        let install: unsafe extern "C" fn(*const c_void) -> i32 = *library.get(b"ek_install_api")?;
        let load_profile: unsafe extern "C" fn(*const c_char) -> i32 = *library.get(b"ek_load_profile")?;
        let evenkeel = Evenkeel {
            attach: *library.get(b"ek_attach")?,
            detach: *library.get(b"ek_detach")?,
            before_decode: *library.get(b"ek_before_decode")?,
            last_error: *library.get(b"ek_last_error")?,
        };
        evenkeel.check(install(null()))?;
        if let Some(profile) = profile {
            evenkeel.check(load_profile(CString::new(profile.to_str().ok_or("a path in UTF-8")?)?.as_ptr()))?;
        }
        let _ = EVENKEEL.set(evenkeel);
        Ok(())
    }
}

impl Evenkeel {
    fn check(&self, status: i32) -> Result<(), String> {
        // SAFETY: the text stays until this thread's next error.
        let text = || unsafe { CStr::from_ptr((self.last_error)()) }.to_string_lossy().into_owned();
        if status == 0 { Ok(()) } else { Err(text()) }
    }
}

unsafe extern "C-unwind" {
    fn __real_llama_new_context_with_model(
        model: *mut llama_model,
        params: llama_context_params,
    ) -> *mut llama_context;
    fn __real_llama_decode(ctx: *mut llama_context, batch: llama_batch) -> i32;
    fn __real_llama_free(ctx: *mut llama_context);
}

/// A context that cannot run under the profile is refused: the caller gets NULL, and standard error says why.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __wrap_llama_new_context_with_model(
    model: *mut llama_model,
    params: llama_context_params,
) -> *mut llama_context {
    // SAFETY: the arguments are llama_new_context_with_model's own.
    unsafe {
        let ctx = __real_llama_new_context_with_model(model, params);
        if let Some(evenkeel) = EVENKEEL.get().filter(|_| !ctx.is_null())
            && evenkeel.check((evenkeel.attach)(ctx)).inspect_err(|why| eprintln!("{why}")).is_err()
        {
            __real_llama_free(ctx);
            return std::ptr::null_mut();
        }
        ctx
    }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __wrap_llama_decode(ctx: *mut llama_context, batch: llama_batch) -> i32 {
    // SAFETY: the arguments are llama_decode's own.
    unsafe {
        if let Some(evenkeel) = EVENKEEL.get() {
            (evenkeel.before_decode)(ctx, &raw const batch);
        }
        __real_llama_decode(ctx, batch)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn __wrap_llama_free(ctx: *mut llama_context) {
    // SAFETY: the argument is llama_free's own.
    unsafe {
        if let Some(evenkeel) = EVENKEEL.get() {
            (evenkeel.detach)(ctx);
        }
        __real_llama_free(ctx);
    }
}

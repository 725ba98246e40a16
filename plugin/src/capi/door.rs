//! The two ways in besides preloading.

use std::{ffi::c_int, sync::Mutex};

use super::{error::exported, status::Status};
use crate::{guard::guard, hook, log, state::lock};

/// One installation at a time: two threads would read and write the same slots.
static INSTALLING: Mutex<()> = Mutex::new(());

/// `ek_status ek_install(void)`
#[unsafe(no_mangle)]
pub extern "C" fn ek_install() -> Status {
    exported("ek_install", || {
        let _one = lock(&INSTALLING);
        hook::install().map_err(|e| (Status::Host, e.to_string()))
    })
}

/// ggml calls this when it loads the library named by `GGML_BACKEND_PATH`. The answer 0 means "no backend for this
/// machine", which is true, and makes ggml let go of the library; it stays because it is linked `-z nodelete`.
#[unsafe(no_mangle)]
pub extern "C" fn ggml_backend_score() -> c_int {
    guard("ggml_backend_score", 0, || {
        let _one = lock(&INSTALLING);
        if let Err(why) = hook::install() {
            crate::state::get();
            log::error!("GGML_BACKEND_PATH: {why}");
        }
        0
    })
}

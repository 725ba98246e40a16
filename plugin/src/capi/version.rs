//! Versions.

use std::ffi::c_char;

use super::{
    error::{exported, out},
    status::Status,
};

/// `EK_ABI_VERSION`
const ABI: u32 = 1;
/// The oldest version that this library still speaks.
const OLDEST_ABI: u32 = 1;

/// `uint32_t ek_abi_version(void)`
#[unsafe(no_mangle)]
pub extern "C" fn ek_abi_version() -> u32 {
    ABI
}

/// `const char * ek_version(void)`
#[unsafe(no_mangle)]
pub extern "C" fn ek_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// `ek_status ek_negotiate(uint32_t wanted, uint32_t * granted)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_negotiate(wanted: u32, granted: *mut u32) -> Status {
    exported("ek_negotiate", || {
        // SAFETY: the header's contract.
        let granted = unsafe { out("granted", granted) }?;
        if wanted < OLDEST_ABI {
            return Err((Status::Version, format!("version {wanted} is asked for, {OLDEST_ABI} to {ABI} are spoken")));
        }
        *granted = wanted.min(ABI);
        Ok(())
    })
}

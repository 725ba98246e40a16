//! The way in of a program that contains llama.cpp.

use evenkeel_ffi::{
    api::{Api, ApiTable},
    generated::types::{llama_batch, llama_context},
};

use super::{
    error::{Failure, exported},
    status::Status,
};
use crate::hook::{
    self,
    attach::{self, AttachError},
};

/// `ek_status ek_install_api(const ek_api * api)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_install_api(api: *const Api) -> Status {
    exported("ek_install_api", || {
        // SAFETY: the header's contract: NULL, or filled by EK_API_FILL.
        let table = match unsafe { api.as_ref() } {
            None => None,
            // SAFETY: as above.
            Some(api) => Some(unsafe { ApiTable::read(api) }.ok_or_else(not_filled)?),
        };
        hook::take(table).map_err(|why| (Status::Host, why))
    })
}

fn not_filled() -> Failure {
    (Status::Argument, "api was not filled by EK_API_FILL".into())
}

/// `ek_status ek_attach(struct llama_context * ctx)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_attach(ctx: *mut llama_context) -> Status {
    exported("ek_attach", || {
        context(ctx)?;
        // SAFETY: the header's contract.
        unsafe { attach::attach(hook::given(), ctx) }.map_err(|e| match e {
            AttachError::Plan(_) => (Status::Profile, e.to_string()),
            _ => (Status::Host, e.to_string()),
        })
    })
}

/// `ek_status ek_detach(struct llama_context * ctx)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_detach(ctx: *mut llama_context) -> Status {
    exported("ek_detach", || {
        context(ctx)?;
        // SAFETY: the header's contract.
        unsafe { attach::detach(ctx) };
        Ok(())
    })
}

/// `ek_status ek_before_decode(struct llama_context * ctx, const struct llama_batch * batch)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn ek_before_decode(ctx: *mut llama_context, batch: *const llama_batch) -> Status {
    let mut again = false;
    let status = exported("ek_before_decode", || {
        context(ctx)?;
        again = attach::boundary(ctx as usize);
        Ok(())
    });
    if status != Status::Ok {
        return status;
    }
    if again {
        // It decodes by itself: an exception of the host's is the caller's.
        hook::repair_all();
    }
    exported("ek_before_decode", || {
        // SAFETY: the header's contract.
        let rows = unsafe { batch.as_ref().map(|b| attach::rows(ctx as usize, b)) };
        // SAFETY: as above.
        if unsafe { attach::tell(ctx as usize, rows.as_deref()) } {
            return Ok(());
        }
        Err((Status::Host, "llama.cpp does not call samplers while it builds graphs: nothing is steered".into()))
    })
}

fn context(ctx: *mut llama_context) -> Result<(), Failure> {
    if ctx.is_null() { Err((Status::Argument, "ctx is NULL".into())) } else { Ok(()) }
}

//! Reading what a model has inside.

use std::{
    ffi::c_void,
    sync::{Arc, Mutex},
};

use super::{
    error::{Failure, exported, out},
    status::Status,
};
use crate::{
    hook::{Capture, CapturedRow, attach},
    state::{self, lock},
};

/// `ek_row`
#[repr(C)]
pub struct EkRow {
    seq: i32,
    pos: i32,
    token: i32,
}

/// `EK_FINAL_NORM`
const FINAL_NORM: i32 = -1;

/// `ek_status ek_capture(const void * ctx, int32_t on)`
#[unsafe(no_mangle)]
pub extern "C" fn ek_capture(ctx: *const c_void, on: i32) -> Status {
    exported("ek_capture", || {
        let address = ctx as usize;
        if state::get().context(address).is_none() {
            return Err((Status::Context, "ctx is no llama_context that was made after ek_install".to_owned()));
        }
        if attach::attached(address).is_some() {
            return Err((Status::Host, "activations of a program that contains llama.cpp are not captured".to_owned()));
        }
        state::get().captures.set(address, on != 0);
        Ok(())
    })
}

/// `ek_status ek_captured_rows(const void * ctx, ek_row * rows, size_t n, size_t * needed)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_captured_rows(
    ctx: *const c_void,
    rows: *mut EkRow,
    n: usize,
    needed: *mut usize,
) -> Status {
    exported("ek_captured_rows", || {
        // SAFETY: the header's contract.
        let needed = unsafe { out("needed", needed) }?;
        let capture = capture(ctx)?;
        let mut capture = lock(&capture);
        let found = capture.rows().map_err(|why| (Status::Host, why))?;
        let row = |row: &CapturedRow| EkRow { seq: row.seq, pos: row.pos, token: row.token };
        // SAFETY: the header's contract: `rows` has room for n.
        unsafe { give("rows", found.iter().map(row), (rows, n), needed) }
    })
}

/// `ek_status ek_captured(const void * ctx, int32_t layer, float * values, size_t n, size_t * needed)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_captured(
    ctx: *const c_void,
    layer: i32,
    values: *mut f32,
    n: usize,
    needed: *mut usize,
) -> Status {
    exported("ek_captured", || {
        // SAFETY: the header's contract.
        let needed = unsafe { out("needed", needed) }?;
        let layer = match (layer, u32::try_from(layer)) {
            (FINAL_NORM, _) => None,
            (_, Ok(layer)) => Some(layer),
            _ => return Err((Status::Argument, format!("layer: got {layer}, allowed: 0 or more, and EK_FINAL_NORM"))),
        };
        let capture = capture(ctx)?;
        let mut capture = lock(&capture);
        let found = capture.layer(layer).map_err(|why| (Status::Host, why))?;
        // SAFETY: the header's contract: `values` has room for n.
        unsafe { give("values", found.iter().copied(), (values, n), needed) }
    })
}

/// That of a context which is captured. Its address is looked up, never followed.
fn capture(ctx: *const c_void) -> Result<Arc<Mutex<Capture>>, Failure> {
    if state::poisoned() {
        return Err((Status::Internal, "an internal error: nothing is captured any more".to_owned()));
    }
    let found = state::get().captures.of(ctx as usize).filter(|capture| lock(capture).is_on());
    found.ok_or((Status::Context, "ctx is no llama_context that ek_capture was called for".to_owned()))
}

/// Copies what was found to where the caller wants it, if there is room.
///
/// # Safety
/// `into` is null or has room for `n`.
unsafe fn give<T>(
    name: &str,
    found: impl ExactSizeIterator<Item = T>,
    (into, n): (*mut T, usize),
    needed: &mut usize,
) -> Result<(), Failure> {
    *needed = found.len();
    match (into.is_null(), n) {
        (true, 0) => return Ok(()),
        (true, _) => return Err((Status::Argument, format!("{name} is NULL"))),
        (false, n) if n < *needed => {
            return Err((Status::Space, format!("{needed} {name} are there, the buffer has room for {n}")));
        }
        _ => {}
    }
    // SAFETY: the caller's promise, and there are no more than n.
    found.enumerate().for_each(|(i, value)| unsafe { into.add(i).write(value) });
    Ok(())
}

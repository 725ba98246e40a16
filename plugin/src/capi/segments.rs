//! Saying which tokens of a sequence are segments.

use std::ffi::c_void;

use evenkeel_core::invariance::{Region, Span};

use super::{
    error::exported,
    profile::{live, sequence},
    status::Status,
};

/// `ek_span`
#[repr(C)]
pub struct EkSpan {
    begin: i32,
    end: i32,
}

/// More than a region has.
const MAX: usize = 1 << 16;

/// `ek_status ek_set_segments(const void * ctx, int32_t seq, const ek_span * spans, size_t n)`
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_set_segments(ctx: *const c_void, seq: i32, spans: *const EkSpan, n: usize) -> Status {
    exported("ek_set_segments", || {
        let (live, seq) = (live(ctx)?, sequence(seq)?);
        if n > 0 && spans.is_null() {
            return Err((Status::Argument, "spans: got NULL, allowed: as many spans as n says".to_owned()));
        }
        let region = if n == 0 {
            None
        } else {
            // SAFETY: the header's contract: n spans. The region refuses more than it can have.
            let spans = unsafe { std::slice::from_raw_parts(spans, n.min(MAX)) };
            let spans: Vec<Span> = spans.iter().map(|span| Span { first: span.begin, end: span.end }).collect();
            Some(Region::new(&spans).map_err(|why| (Status::Argument, why.to_string()))?)
        };
        live.set_region(seq, region).map_err(|why| (Status::Profile, why))
    })
}

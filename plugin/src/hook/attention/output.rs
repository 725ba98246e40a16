//! Rows whose token is evaluated as another row: what goes out is put back to where the host looks for it.

use evenkeel_ffi::generated::types::*;

use super::super::{library::Host, view};
use crate::state::Batch;

/// Changes which rows the graph takes for output.
///
/// # Errors
/// If the graph has no such input although a row that was moved gives output.
///
/// # Safety
/// `graph` is a graph of the host's library that the calling thread is about to evaluate, and its inputs are set.
pub unsafe fn put_back(host: &Host, graph: *mut ggml_cgraph, batch: &Batch) -> Result<(), &'static str> {
    if batch.moved.is_empty() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let viewed = unsafe { view::read(&host.lib, host.facts.compute_flag, graph) };
    let Some(out_ids) = viewed.view.leaf("out_ids") else {
        return Err("it does not say which of its rows give output");
    };
    let out_ids = viewed.tensor(out_ids);
    // SAFETY: an input of the graph, I32, allocated as all are before an evaluation; no more is read or written than it holds.
    unsafe {
        if (*out_ids).data.is_null() || (*out_ids).type_ != GGML_TYPE_I32 {
            return Err("an input of its is not where it should be");
        }
        let bytes = (host.lib.ggml.ggml_nbytes)(out_ids);
        let mut rows = vec![0i32; bytes / size_of::<i32>()];
        (host.lib.backend.ggml_backend_tensor_get)(out_ids, rows.as_mut_ptr().cast(), 0, bytes);
        for row in &mut rows {
            if let Some((_, evaluated)) = batch.moved.iter().find(|(host, _)| *host as i32 == *row) {
                *row = *evaluated as i32;
            }
        }
        (host.lib.backend.ggml_backend_tensor_set)(out_ids, rows.as_ptr().cast(), 0, bytes);
    }
    Ok(())
}

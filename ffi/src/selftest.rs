//! Proves, before the first hook acts, that this host's structs and functions are what the bindings say.
//!
//! Each check makes something through the host's own functions and reads it back through the bindings' fields, so that
//! a host with another layout is refused instead of corrupted. The last check rewrites a toy graph the way the plug-in
//! rewrites real ones and computes it. Versions are not trusted: builds of one version differ.

use std::{
    ffi::{CStr, c_void},
    mem::size_of,
};

use crate::{generated::types::*, library::Library};

/// A check that failed: the host is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("self-test `{check}`: expected {expected}, found {found}")]
pub struct SelfTestError {
    /// What was checked.
    pub check: &'static str,
    /// What the bindings say.
    pub expected: String,
    /// What the host did.
    pub found: String,
}

/// What the self-test found out about the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Nodes carry a flag without which they are skipped (`GGML_TENSOR_FLAG_COMPUTE`, since 2026-01).
    pub compute_flag: bool,
    /// The toy graph was computed; false if the host has no CPU device registered yet.
    pub computed: bool,
}

fn check<T: PartialEq + std::fmt::Debug>(check: &'static str, found: T, expected: T) -> Result<(), SelfTestError> {
    if found == expected {
        return Ok(());
    }
    Err(SelfTestError { check, expected: format!("{expected:?}"), found: format!("{found:?}") })
}

/// A `ggml_context` of the test's own, freed at the end.
struct Scratch<'a>(&'a Library, *mut ggml_context);

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // SAFETY: made by ggml_init below and freed once.
        unsafe { (self.0.ggml.ggml_free)(self.1) }
    }
}

/// Runs all checks.
///
/// # Errors
/// The first check that failed.
pub fn run(lib: &Library) -> Result<Facts, SelfTestError> {
    // SAFETY: ggml_tensor_overhead and ggml_graph_overhead_custom only compute sizes.
    let (overhead, graph_overhead) =
        unsafe { ((lib.ggml.ggml_tensor_overhead)(), (lib.ggml.ggml_graph_overhead_custom)(GRAPH_SIZE, false)) };
    // ggml_tensor_overhead() = sizeof(ggml_object) + sizeof(ggml_tensor), and an object is 32 bytes.
    check("sizeof(ggml_tensor)", overhead, 32 + size_of::<ggml_tensor>())?;
    let params = ggml_init_params {
        mem_size: 32 * overhead + graph_overhead + 4096,
        mem_buffer: std::ptr::null_mut(),
        no_alloc: true,
    };
    // SAFETY: the parameters are a plain request for a context that owns its memory.
    let ctx = unsafe { (lib.ggml.ggml_init)(params) };
    check("ggml_init", ctx.is_null(), false)?;
    let scratch = Scratch(lib, ctx);
    // SAFETY: `ctx` is a fresh context with room for 32 tensors and a graph of GRAPH_SIZE; the size of a tensor was
    // just checked, so that fields read lie inside the objects that the host returns.
    unsafe {
        tensor(lib, ctx)?;
        let compute_flag = graph(lib, ctx)?;
        let computed = substitution(lib, &scratch)?;
        Ok(Facts { compute_flag, computed })
    }
}

const GRAPH_SIZE: usize = 16;

unsafe fn tensor(lib: &Library, ctx: *mut ggml_context) -> Result<(), SelfTestError> {
    let g = &lib.ggml;
    // SAFETY: see `run`; tensors live as long as `ctx`.
    unsafe {
        let t = (g.ggml_new_tensor_4d)(ctx, GGML_TYPE_F32, 5, 3, 2, 7);
        check("ggml_tensor.type", (*t).type_, GGML_TYPE_F32)?;
        check("ggml_tensor.ne", (*t).ne, [5, 3, 2, 7])?;
        check("ggml_tensor.nb", (*t).nb, [4, 20, 60, 120])?;
        check("ggml_tensor.data", (*t).data.is_null(), true)?;
        check("ggml_tensor.buffer", (*t).buffer.is_null(), true)?;
        (g.ggml_set_name)(t, c"evenkeel-name".as_ptr());
        check("ggml_tensor.name", CStr::from_ptr((*t).name.as_ptr()), c"evenkeel-name")?;
        check("ggml_tensor.flags", (*t).flags, 0)?;
        (g.ggml_set_input)(t);
        check("ggml_set_input", (*t).flags, GGML_TENSOR_FLAG_INPUT as i32)?;
        (g.ggml_set_output)(t);
        check("ggml_set_output", (*t).flags, (GGML_TENSOR_FLAG_INPUT | GGML_TENSOR_FLAG_OUTPUT) as i32)?;
        let v = (g.ggml_view_1d)(ctx, t, 4, 24);
        check("ggml_tensor.view_src", (*v).view_src, t)?;
        check("ggml_tensor.view_offs", (*v).view_offs, 24)?;
        let s = (g.ggml_scale)(ctx, t, 0.75);
        check("ggml_tensor.op_params", f32::from_bits((*s).op_params[0] as u32), 0.75)?;
        let a = (g.ggml_add)(ctx, s, t);
        check("ggml_tensor.src", [(*a).src[0], (*a).src[1], (*a).src[2]], [s, t, std::ptr::null_mut()])?;
        check("ggml_op_name", CStr::from_ptr((g.ggml_op_name)((*a).op)), c"ADD")?;
        check("ggml_op_name", CStr::from_ptr((g.ggml_op_name)((*t).op)), c"NONE")?;
        check("ggml_nbytes", (g.ggml_nbytes)(t), 840)?;
    }
    Ok(())
}

/// Returns whether nodes carry the COMPUTE flag.
unsafe fn graph(lib: &Library, ctx: *mut ggml_context) -> Result<bool, SelfTestError> {
    // SAFETY: see `run`; the graph holds at most GRAPH_SIZE nodes.
    unsafe {
        let leaf = (lib.ggml.ggml_new_tensor_1d)(ctx, GGML_TYPE_F32, 4);
        let a = (lib.ggml.ggml_scale)(ctx, leaf, 2.0);
        let b = (lib.ggml.ggml_add)(ctx, a, leaf);
        let gf = (lib.graph.ggml_new_graph_custom)(ctx, GRAPH_SIZE, false);
        check("ggml_graph_size", (lib.graph.ggml_graph_size)(gf), GRAPH_SIZE as i32)?;
        (lib.graph.ggml_build_forward_expand)(gf, b);
        check("ggml_graph_n_nodes", (lib.graph.ggml_graph_n_nodes)(gf), 2)?;
        let nodes = (lib.graph.ggml_graph_nodes)(gf);
        check("ggml_graph_nodes", [*nodes, *nodes.add(1)], [a, b])?;
        let c = (lib.ggml.ggml_scale)(ctx, b, 1.0);
        (lib.graph.ggml_graph_add_node)(gf, c);
        check("ggml_graph_add_node", (lib.graph.ggml_graph_n_nodes)(gf), 3)?;
        check("ggml_graph_node", (lib.graph.ggml_graph_node)(gf, 2), c)?;
        Ok((*b).flags & GGML_TENSOR_FLAG_COMPUTE as i32 != 0)
    }
}

/// Substitutes the middle node of `y = 3·(x + x)` by `x + x + v`, as the plug-in does, and computes it on the CPU.
///
/// Returns false if the host has registered no CPU device yet, so that nothing can be computed.
unsafe fn substitution(lib: &Library, scratch: &Scratch) -> Result<bool, SelfTestError> {
    let (g, ctx) = (&lib.ggml, scratch.1);
    // SAFETY: see `run`. The buffer and the backend are freed once, after their last use; data is read and written
    // with the sizes of the tensors.
    unsafe {
        let device = (lib.backend.ggml_backend_dev_by_type)(GGML_BACKEND_DEVICE_TYPE_CPU);
        if device.is_null() {
            return Ok(false);
        }
        let x = (g.ggml_new_tensor_1d)(ctx, GGML_TYPE_F32, 4);
        let v = (g.ggml_new_tensor_1d)(ctx, GGML_TYPE_F32, 4);
        let sum = (g.ggml_add)(ctx, x, x);
        let y = (g.ggml_scale)(ctx, sum, 3.0);
        let gf = (lib.graph.ggml_new_graph_custom)(ctx, GRAPH_SIZE, false);
        (lib.graph.ggml_build_forward_expand)(gf, y);
        (lib.graph.ggml_build_forward_expand)(gf, v);
        check("leaf as a graph's root", (lib.graph.ggml_graph_n_nodes)(gf), 2)?;

        let clone = (g.ggml_dup_tensor)(ctx, sum);
        ((*clone).op, (*clone).op_params, (*clone).src) = ((*sum).op, (*sum).op_params, (*sum).src);
        (*clone).flags = (*sum).flags;
        let last = (g.ggml_add)(ctx, clone, v);
        ((*sum).op, (*sum).op_params, (*sum).src) = ((*last).op, (*last).op_params, (*last).src);
        (lib.graph.ggml_graph_add_node)(gf, clone);
        std::slice::from_raw_parts_mut((lib.graph.ggml_graph_nodes)(gf), 3).rotate_right(1);

        let buffer = (lib.backend.ggml_backend_alloc_ctx_tensors_from_buft)(
            ctx,
            (lib.backend.ggml_backend_dev_buffer_type)(device),
        );
        check("ggml_backend_alloc_ctx_tensors_from_buft", buffer.is_null(), false)?;
        let set = |t: *mut ggml_tensor, values: [f32; 4]| {
            (lib.backend.ggml_backend_tensor_set)(t, values.as_ptr().cast::<c_void>(), 0, size_of_val(&values));
        };
        set(x, [1.0, 2.0, 3.0, 4.0]);
        set(v, [0.5, -0.5, 10.0, 0.0]);
        let mut out = [0.0f32; 4];
        let backend = (lib.backend.ggml_backend_dev_init)(device, std::ptr::null());
        if !backend.is_null() {
            (lib.backend.ggml_backend_graph_compute)(backend, gf);
            (lib.backend.ggml_backend_tensor_get)(y, out.as_mut_ptr().cast::<c_void>(), 0, size_of_val(&out));
            (lib.backend.ggml_backend_free)(backend);
        }
        (lib.backend.ggml_backend_buffer_free)(buffer);
        check("a rewritten graph's result", out, [7.5, 10.5, 48.0, 24.0])?;
    }
    Ok(true)
}

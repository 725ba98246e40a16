//! Reads the residual stream after every layer through the evaluation callback that llama.cpp documents for such purposes
//! (`cb_eval`): what [`Capture`](super::Capture) is compared with, bit for bit. Nothing of the plug-in takes part.
//!
//! The host computes the graph piece by piece up to each `l_out-N`, waits for its devices, and the rows that are wanted are
//! copied. It must evaluate all rows of a batch at once and in their order.

use std::{
    ffi::{CStr, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Context, ContextOptions, HostError, Model, Row};
use crate::{
    generated::types::{GGML_TYPE_F32, GGML_TYPE_I32, ggml_tensor},
    selftest,
};

/// A context whose evaluations give residual streams.
pub struct CallbackCapture {
    // Freed before the state that its callback points to.
    context: Context,
    state: Owned,
}

/// The state, shared with the host by its address: never borrowed across a call of the host.
struct Owned(*mut State);

// SAFETY: plain data, used by one thread at a time as its context is.
unsafe impl Send for Owned {}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: made by Box::into_raw in `CallbackCapture::new`; the context that knew its address is gone.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl Owned {
    fn get(&self) -> &State {
        // SAFETY: lives as long as `self`, and nobody changes it but `CallbackCapture::read`, which has `&mut CallbackCapture`.
        unsafe { &*self.0 }
    }

    fn get_mut(&mut self) -> &mut State {
        // SAFETY: as above.
        unsafe { &mut *self.0 }
    }
}

type TensorGet = unsafe extern "C-unwind" fn(*const ggml_tensor, *mut c_void, usize, usize);

/// What the callback reads and writes. It runs on the thread that calls `llama_decode`, during that call.
struct State {
    get: TensorGet,
    n_embd: usize,
    n_layer: usize,
    /// The rows that one graph must hold, in this order.
    tokens: Vec<i32>,
    /// Of these, the ones that are read.
    wanted: Vec<usize>,
    /// Per layer, the rows that were read: `[wanted, n_embd]`.
    layers: Vec<Vec<f32>>,
    seen: Vec<bool>,
    /// The graph's own token input was compared with `tokens`.
    compared: bool,
    trouble: Option<String>,
}

/// The type of the callback, with the unwinding that the bindings leave out.
pub(super) type Callback = unsafe extern "C" fn(*mut ggml_tensor, bool, *mut c_void) -> bool;

impl CallbackCapture {
    /// Makes such a context: all rows of a batch go through one graph, and sequences share the cells, so that the graph's
    /// rows are the batch's, in its order.
    ///
    /// # Errors
    /// [`HostError::Context`]; [`HostError::Capture`] if tensors of this llama.cpp are not laid out as expected.
    pub fn new(model: &Model, options: &ContextOptions) -> Result<CallbackCapture, HostError> {
        let library = &model.0.llama.0.library;
        selftest::run(library).map_err(|e| HostError::Capture { why: e.to_string() })?;
        let state = Owned(Box::into_raw(Box::new(State {
            get: library.backend.ggml_backend_tensor_get,
            n_embd: model.n_embd(),
            n_layer: model.n_layer(),
            tokens: Vec::new(),
            wanted: Vec::new(),
            layers: vec![Vec::new(); model.n_layer() + 1],
            seen: vec![false; model.n_layer() + 1],
            compared: false,
            trouble: None,
        })));
        let options = ContextOptions { n_ubatch: options.n_batch, kv_unified: true, ..*options };
        let context = Context::with_callback(model, &options, Some((callback, state.0.cast())))?;
        Ok(CallbackCapture { context, state })
    }

    /// Rows that one call of [`CallbackCapture::read`] may have.
    pub fn n_batch(&self) -> usize {
        self.context.n_batch()
    }

    /// Forgets all sequences.
    pub fn clear(&mut self) {
        self.context.clear();
    }

    /// Evaluates rows, and gives for each layer that the graph names the residual stream of those with `output` set, as
    /// `[rows, n_embd]`, and last what the output matrix reads (`result_norm`); None for a layer without such a tensor.
    ///
    /// # Errors
    /// As [`Context::decode`]; [`HostError::Capture`] if the host splits or reorders the rows (recurrent models do with
    /// several sequences), or its graph has no such tensors.
    pub fn read(&mut self, rows: &[Row]) -> Result<Vec<Option<&[f32]>>, HostError> {
        let state = self.state.get_mut();
        state.tokens = rows.iter().map(|r| r.token).collect();
        state.wanted = rows.iter().enumerate().filter(|(_, r)| r.output).map(|(i, _)| i).collect();
        let length = state.wanted.len() * state.n_embd;
        state.layers.iter_mut().for_each(|l| l.resize(length, 0.0));
        state.seen.fill(false);
        (state.compared, state.trouble) = (false, None);
        let done = self.context.decode_rows(rows);
        self.context.synchronize();
        if let Some(why) = self.state.get_mut().trouble.take() {
            return Err(HostError::Capture { why });
        }
        done?;
        let state = self.state.get();
        if !state.compared || !state.seen.contains(&true) {
            let what = if state.compared { "the residual stream (l_out-N)" } else { "the input tokens (inp_tokens)" };
            return Err(HostError::Capture { why: format!("the graph of this model names no tensor of {what}") });
        }
        Ok(state.layers.iter().zip(&state.seen).map(|(l, seen)| seen.then_some(&l[..])).collect())
    }
}

/// # Safety
/// As llama.cpp calls it: `tensor` is a node of the graph under evaluation, `user` the state of [`CallbackCapture::new`].
unsafe extern "C" fn callback(tensor: *mut ggml_tensor, ask: bool, user: *mut c_void) -> bool {
    // SAFETY: `CallbackCapture` keeps the state alive as long as its context, and nobody else uses it during `llama_decode`.
    let state = unsafe { &mut *user.cast::<State>() };
    catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's promise; the layout of tensors was checked by the self-test.
        unsafe { if ask { state.wants(tensor) } else { state.take(tensor) } }
    }))
    .unwrap_or_else(|_| {
        state.trouble = Some("internal error in the callback".into());
        false
    })
}

impl State {
    /// Whether the graph must be computed up to here.
    unsafe fn wants(&mut self, tensor: *mut ggml_tensor) -> bool {
        // SAFETY: a node's sources are null or tensors of the same graph.
        unsafe {
            let read = (*tensor).src[1];
            if !self.compared && !read.is_null() && name(read) == b"inp_tokens" {
                self.compare(read);
            }
            self.layer(tensor).is_some()
        }
    }

    /// Compares the rows of the graph with those of the batch. Inputs are written before anything is computed.
    unsafe fn compare(&mut self, input: *mut ggml_tensor) {
        // SAFETY: an input tensor that the scheduler has allocated; as many bytes are read as it has elements.
        unsafe {
            let n = (*input).ne[0].max(0) as usize;
            let mut found = vec![0i32; n];
            let plain = (*input).type_ == GGML_TYPE_I32 && (*input).ne == [n as i64, 1, 1, 1];
            if plain {
                (self.get)(input, found.as_mut_ptr().cast(), 0, n * size_of::<i32>());
            }
            if found != self.tokens {
                let wanted = self.tokens.len();
                self.trouble =
                    Some(format!("the host evaluates {n} rows at once, in its own order, instead of {wanted}"));
            }
            self.compared = true;
        }
    }

    /// The layer whose residual stream the tensor is.
    unsafe fn layer(&self, tensor: *const ggml_tensor) -> Option<usize> {
        // SAFETY: a tensor of the graph.
        let (name, ne, kind) = unsafe { (name(tensor), (*tensor).ne, (*tensor).type_) };
        let layer: usize = match name {
            b"result_norm" => self.n_layer,
            _ => std::str::from_utf8(name.strip_prefix(b"l_out-")?).ok()?.parse().ok()?,
        };
        let fits =
            layer < self.layers.len() && kind == GGML_TYPE_F32 && ne[0] == self.n_embd as i64 && ne[2..] == [1, 1];
        fits.then_some(layer)
    }

    /// Copies the wanted rows; false when nothing more is needed of this graph.
    unsafe fn take(&mut self, tensor: *mut ggml_tensor) -> bool {
        // SAFETY: a node that was just computed and synchronised; rows that are read lie inside it.
        unsafe {
            let Some(layer) = self.layer(tensor) else { return true };
            if self.trouble.is_some() {
                return false;
            }
            let (rows, stride) = ((*tensor).ne[1].max(0) as usize, (*tensor).nb[1]);
            // The last layer has the output rows only.
            let all = rows == self.tokens.len();
            if !all && rows != self.wanted.len() {
                self.trouble = Some(format!("layer {layer} has {rows} rows, expected {}", self.wanted.len()));
                return false;
            }
            let width = self.n_embd;
            for (i, out) in self.layers[layer].chunks_exact_mut(width).enumerate() {
                let row = if all { self.wanted[i] } else { i };
                (self.get)(tensor, out.as_mut_ptr().cast(), row * stride, width * size_of::<f32>());
            }
            self.seen[layer] = true;
            layer + 1 < self.layers.len()
        }
    }
}

/// # Safety
/// A tensor of the host's.
unsafe fn name<'a>(tensor: *const ggml_tensor) -> &'a [u8] {
    // SAFETY: ggml ends names with a zero byte inside the array.
    unsafe { CStr::from_ptr((&raw const (*tensor).name).cast()).to_bytes() }
}

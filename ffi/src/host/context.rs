//! A context: the place where tokens are evaluated.

use std::ffi::c_void;

use super::{Embedded, HostError, Model, Plugin, PluginError, Token, callback::Callback, log, params};
use crate::generated::types::{GGML_TYPE_F16, ggml_type, llama_batch, llama_context};

/// When the fused attention kernel is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlashAttention {
    /// The host decides.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// How to make a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextOptions {
    /// Cells, for all sequences together. 0: what the model was trained on.
    pub n_ctx: u32,
    /// Rows in one call of decode.
    pub n_batch: u32,
    /// Rows in one graph.
    pub n_ubatch: u32,
    /// Sequences.
    pub n_seq_max: u32,
    /// Threads.
    pub threads: i32,
    /// All sequences share the cells.
    pub kv_unified: bool,
    /// Also compute embeddings.
    pub embeddings: bool,
    /// Type of keys and values.
    pub cache_type: ggml_type,
    /// Which attention kernel.
    pub flash_attention: FlashAttention,
}

impl Default for ContextOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(4, |n| n.get().min(64) as i32);
        ContextOptions {
            n_ctx: 2048,
            n_batch: 512,
            n_ubatch: 512,
            n_seq_max: 1,
            threads: cores,
            kv_unified: false,
            embeddings: false,
            cache_type: GGML_TYPE_F16,
            flash_attention: FlashAttention::Auto,
        }
    }
}

/// Which rows of a batch give logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// None.
    None,
    /// The last one.
    Last,
    /// Each.
    All,
}

/// One row of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The token.
    pub token: Token,
    /// Its position in its sequence.
    pub pos: i32,
    /// Its sequence.
    pub seq: i32,
    /// Whether its logits are wanted.
    pub output: bool,
}

/// A context of a model; freed when dropped.
pub struct Context {
    model: Model,
    raw: *mut llama_context,
    n_batch: usize,
    n_seq_max: i32,
    embedded: Option<Embedded>,
}

// SAFETY: a context may move between threads as long as one uses it at a time, which `&mut self` ensures.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(embedded) = self.embedded {
            // SAFETY: the context lives, and nobody else has it.
            unsafe { embedded.detach(self.raw) };
        }
        // SAFETY: made by llama_init_from_model and freed once.
        unsafe { (self.model.0.llama.0.host.llama_free)(self.raw) }
    }
}

impl Context {
    /// Makes a context.
    ///
    /// # Errors
    /// [`HostError::Context`] with the host's own last errors.
    pub fn new(model: &Model, options: &ContextOptions) -> Result<Context, HostError> {
        Context::with_callback(model, options, None)
    }

    /// The same with a function that is called for each node, and the pointer it is given.
    pub(super) fn with_callback(
        model: &Model,
        options: &ContextOptions,
        callback: Option<(Callback, *mut c_void)>,
    ) -> Result<Context, HostError> {
        let llama = &model.0.llama.0;
        let params = params::context_params(&llama.host, options, callback)?;
        log::take_errors();
        // SAFETY: the same function with room behind its last parameter, which is passed in memory.
        let new: params::NewContext = unsafe { std::mem::transmute(llama.llama.llama_init_from_model) };
        // SAFETY: a loaded model, and parameters whose layout was checked.
        let raw = unsafe { new(model.0.raw, params) };
        if raw.is_null() {
            return Err(HostError::Context { why: log::take_errors() });
        }
        // SAFETY: the context was just made.
        let n_batch = unsafe { (llama.host.llama_n_batch)(raw) } as usize;
        Ok(Context { model: model.clone(), raw, n_batch, n_seq_max: options.n_seq_max as i32, embedded: None })
    }

    /// Attaches it, as a program that contains llama.cpp does with its own.
    ///
    /// # Errors
    /// [`PluginError::Refused`] if the profile in force does not fit.
    pub fn attach(&mut self, plugin: &Plugin, embedded: Embedded) -> Result<(), PluginError> {
        // SAFETY: the context lives, and `&mut self` is the only way to it.
        unsafe { embedded.attach(plugin, self.raw)? };
        self.embedded = Some(embedded);
        Ok(())
    }

    /// Its model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Cells, for all sequences together.
    pub fn n_ctx(&self) -> usize {
        // SAFETY: the context lives.
        unsafe { (self.model.0.llama.0.host.llama_n_ctx)(self.raw) as usize }
    }

    /// Rows that one call of decode may have.
    pub fn n_batch(&self) -> usize {
        self.n_batch
    }

    /// The host's pointer, for comparison with what the plug-in reports.
    pub fn address(&self) -> usize {
        self.raw as usize
    }

    /// Evaluates tokens of one sequence that stand at `pos` and after.
    ///
    /// # Errors
    /// [`HostError::BatchSize`], [`HostError::Row`] before anything is evaluated; [`HostError::Decode`].
    pub fn decode(&mut self, tokens: &[Token], pos: usize, seq: i32, outputs: Outputs) -> Result<(), HostError> {
        let row = |(i, &token): (usize, &Token)| Row {
            token,
            pos: (pos + i) as i32,
            seq,
            output: match outputs {
                Outputs::None => false,
                Outputs::Last => i + 1 == tokens.len(),
                Outputs::All => true,
            },
        };
        let rows: Vec<Row> = tokens.iter().enumerate().map(row).collect();
        self.decode_rows(&rows)
    }

    /// Evaluates rows of any sequences.
    ///
    /// # Errors
    /// As [`Context::decode`].
    pub fn decode_rows(&mut self, rows: &[Row]) -> Result<(), HostError> {
        if rows.is_empty() || rows.len() > self.n_batch {
            return Err(HostError::BatchSize { rows: rows.len(), limit: self.n_batch });
        }
        let n_vocab = self.model.n_vocab() as i32;
        for (row, r) in rows.iter().enumerate() {
            for (what, value, limit) in [("token", r.token, n_vocab), ("sequence", r.seq, self.n_seq_max)] {
                if !(0..limit).contains(&value) {
                    return Err(HostError::Row { row, what, value, limit });
                }
            }
        }
        let mut token: Vec<i32> = rows.iter().map(|r| r.token).collect();
        let mut pos: Vec<i32> = rows.iter().map(|r| r.pos).collect();
        let mut seq: Vec<i32> = rows.iter().map(|r| r.seq).collect();
        let mut seqs: Vec<*mut i32> = seq.iter_mut().map(|s| s as *mut i32).collect();
        let mut n_seq_id = vec![1i32; rows.len()];
        let mut logits: Vec<i8> = rows.iter().map(|r| i8::from(r.output)).collect();
        let batch = llama_batch {
            n_tokens: rows.len() as i32,
            token: token.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: pos.as_mut_ptr(),
            n_seq_id: n_seq_id.as_mut_ptr(),
            seq_id: seqs.as_mut_ptr(),
            logits: logits.as_mut_ptr(),
        };
        if let Some(embedded) = self.embedded {
            // SAFETY: the context lives; the batch is what is decoded next.
            unsafe { embedded.before_decode(self.raw, &batch) };
        }
        // SAFETY: each array has n_tokens entries and lives across the call, which copies what it keeps; tokens and
        // sequences are in range.
        match unsafe { (self.model.0.llama.0.host.llama_decode)(self.raw, batch) } {
            0 => Ok(()),
            code => Err(HostError::Decode { code }),
        }
    }

    /// Waits until everything is computed. [`Context::logits`] does so by itself.
    pub fn synchronize(&mut self) {
        // SAFETY: the context lives.
        unsafe { (self.model.0.llama.0.host.llama_synchronize)(self.raw) }
    }

    /// The logits of row `i` of the last batch, one per token of the vocabulary; None if that row had no output.
    /// Negative numbers count outputs from the end: -1 is the last.
    pub fn logits(&mut self, i: i32) -> Option<&[f32]> {
        let length = self.model.n_vocab();
        // SAFETY: the context lives; llama.cpp answers null for a row without output.
        let row = unsafe { (self.model.0.llama.0.host.llama_get_logits_ith)(self.raw, i) };
        // SAFETY: llama.cpp's row has one value per token and stays until the next decode, which needs `&mut self`.
        (!row.is_null()).then(|| unsafe { std::slice::from_raw_parts(row, length) })
    }

    /// Adds llama.cpp's own control vector: `n_embd` values for each layer from layer 1 on; None removes it.
    ///
    /// # Errors
    /// [`HostError::ControlVector`] for a wrong size, [`HostError::ControlVectorRefused`].
    pub fn set_control_vector(&mut self, values: Option<&[f32]>) -> Result<(), HostError> {
        let n_embd = self.model.n_embd();
        let max = n_embd * self.model.n_layer().saturating_sub(1);
        let (data, length) = match values {
            None => (std::ptr::null(), 0),
            Some(v) if v.is_empty() || !v.len().is_multiple_of(n_embd) || v.len() > max => {
                return Err(HostError::ControlVector { found: v.len(), n_embd, max });
            }
            Some(v) => (v.as_ptr(), v.len()),
        };
        let last = (length / n_embd) as i32;
        // SAFETY: null, or as many values as are passed; llama.cpp copies them.
        let code = unsafe {
            (self.model.0.llama.0.host.llama_set_adapter_cvec)(self.raw, data, length, n_embd as i32, 1, last)
        };
        if code == 0 { Ok(()) } else { Err(HostError::ControlVectorRefused { code }) }
    }

    /// Forgets all sequences.
    pub fn clear(&mut self) {
        // SAFETY: the context lives; its memory may be null for models without one, which llama.cpp accepts.
        unsafe {
            let memory = (self.model.0.llama.0.host.llama_get_memory)(self.raw);
            (self.model.0.llama.0.host.llama_memory_clear)(memory, true);
        }
    }
}

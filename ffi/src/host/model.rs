//! A loaded model file and its vocabulary.

use std::{
    ffi::{CStr, CString, c_char},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
};

use super::{HostError, Llama, log, params};
use crate::generated::types::{llama_chat_message, llama_model, llama_vocab};

/// A token's number in the vocabulary.
pub type Token = i32;

/// How to load a model. The default is the host's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelOptions {
    /// Layers to put on a GPU; none given: as many as fit.
    pub gpu_layers: Option<i32>,
}

/// A loaded model. Cheap to clone; freed with the last clone.
#[derive(Clone)]
pub struct Model(pub(super) Arc<Loaded>);

pub(super) struct Loaded {
    pub llama: Llama,
    pub raw: *mut llama_model,
}

// SAFETY: llama.cpp's functions on a loaded model only read it, from any thread.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: made by llama_model_load_from_file, freed once; contexts hold an Arc of this and are gone.
        unsafe { (self.llama.0.host.llama_model_free)(self.raw) }
    }
}

impl Model {
    /// Loads a GGUF file.
    ///
    /// # Errors
    /// [`HostError::Model`] with the host's own last errors.
    pub fn load(llama: &Llama, path: &Path, options: ModelOptions) -> Result<Model, HostError> {
        let host = &llama.0.host;
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| HostError::Nul { text: path.display().to_string() })?;
        let params = params::model_params(host, options.gpu_layers)?;
        log::take_errors();
        // SAFETY: the same function with room behind its last parameter, which is passed in memory.
        let load: params::LoadModel = unsafe { std::mem::transmute(host.llama_model_load_from_file) };
        // SAFETY: a C string, and parameters whose layout was checked.
        let raw = unsafe { load(name.as_ptr(), params) };
        if raw.is_null() {
            return Err(HostError::Model { path: path.to_owned(), why: log::take_errors() });
        }
        Ok(Model(Arc::new(Loaded { llama: llama.clone(), raw })))
    }

    /// The library that loaded it.
    pub fn llama(&self) -> &Llama {
        &self.0.llama
    }

    /// Width of the residual stream.
    pub fn n_embd(&self) -> usize {
        // SAFETY: the model is loaded.
        unsafe { (self.0.llama.0.llama.llama_model_n_embd)(self.0.raw) as usize }
    }

    /// Number of blocks.
    pub fn n_layer(&self) -> usize {
        // SAFETY: the model is loaded.
        unsafe { (self.0.llama.0.llama.llama_model_n_layer)(self.0.raw) as usize }
    }

    /// Number of parameters.
    pub fn n_params(&self) -> u64 {
        // SAFETY: the model is loaded.
        unsafe { (self.0.llama.0.host.llama_model_n_params)(self.0.raw) }
    }

    /// Size of the weights in bytes.
    pub fn size(&self) -> u64 {
        // SAFETY: the model is loaded.
        unsafe { (self.0.llama.0.host.llama_model_size)(self.0.raw) }
    }

    /// A short description, for example `llama 1B Q8_0`.
    pub fn description(&self) -> String {
        let call = |buffer: *mut c_char, size| {
            // SAFETY: the model is loaded; the buffer has the size that is passed.
            unsafe { (self.0.llama.0.llama.llama_model_desc)(self.0.raw, buffer, size) }
        };
        c_text(call).unwrap_or_default()
    }

    /// A value of the file's metadata as text.
    pub fn metadata(&self, key: &str) -> Option<String> {
        let key = CString::new(key).ok()?;
        c_text(|buffer, size| {
            // SAFETY: as in `description`; the key is a C string.
            unsafe { (self.0.llama.0.llama.llama_model_meta_val_str)(self.0.raw, key.as_ptr(), buffer, size) }
        })
    }

    /// Number of tokens in the vocabulary.
    pub fn n_vocab(&self) -> usize {
        // SAFETY: the vocabulary lives as long as the model.
        unsafe { (self.0.llama.0.host.llama_vocab_n_tokens)(self.vocab()) as usize }
    }

    /// True if the token ends a generation.
    pub fn is_end(&self, token: Token) -> bool {
        // SAFETY: the vocabulary lives as long as the model; llama.cpp looks the token up in a set.
        unsafe { (self.0.llama.0.host.llama_vocab_is_eog)(self.vocab(), token) }
    }

    /// True if the token is a control token or one that the model's maker defined: text is searched for it as a whole.
    pub fn is_special(&self, token: Token) -> bool {
        /// `LLAMA_TOKEN_ATTR_UNUSED`, `_CONTROL` and `_USER_DEFINED`
        const SPECIAL: u32 = 1 << 1 | 1 << 3 | 1 << 4;
        let known = (0..self.n_vocab() as i32).contains(&token);
        // SAFETY: the vocabulary lives as long as the model, and has the token.
        known && unsafe { (self.0.llama.0.host.llama_vocab_get_attr)(self.vocab(), token) } & SPECIAL != 0
    }

    /// The tokens of a text. `special`: add the model's own first token, and read special tokens' names in the text.
    ///
    /// # Errors
    /// [`HostError::Tokenize`] if llama.cpp refuses.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, HostError> {
        self.tokens(text, special, special)
    }

    /// The tokens of a text that stands in another: special tokens' names are read, and nothing is added.
    ///
    /// # Errors
    /// As [`Self::tokenize`].
    pub fn tokenize_within(&self, text: &str) -> Result<Vec<Token>, HostError> {
        self.tokens(text, false, true)
    }

    fn tokens(&self, text: &str, add: bool, read: bool) -> Result<Vec<Token>, HostError> {
        let refused = |code| HostError::Tokenize { code };
        let length = i32::try_from(text.len()).map_err(|_| refused(i32::MIN))?;
        let mut tokens: Vec<Token> = vec![0; text.len() + 8];
        for _ in 0..2 {
            // SAFETY: text and buffer have the lengths that are passed.
            let n = unsafe {
                (self.0.llama.0.host.llama_tokenize)(
                    self.vocab(),
                    text.as_ptr().cast(),
                    length,
                    tokens.as_mut_ptr(),
                    tokens.len() as i32,
                    add,
                    read,
                )
            };
            match usize::try_from(n) {
                Ok(n) => {
                    tokens.truncate(n);
                    return Ok(tokens);
                }
                // The negative of the number that is needed, or i32::MIN for an overflow.
                Err(_) if n > i32::MIN => tokens.resize(n.unsigned_abs() as usize, 0),
                Err(_) => break,
            }
        }
        Err(refused(i32::MIN))
    }

    /// The bytes that a token stands for; a token may be part of a character.
    pub fn piece(&self, token: Token) -> Vec<u8> {
        let mut bytes = vec![0u8; 64];
        // llama.cpp answers an unknown token with an exception.
        if !(0..self.n_vocab() as i32).contains(&token) {
            return Vec::new();
        }
        for _ in 0..2 {
            let (buffer, length) = (bytes.as_mut_ptr().cast(), bytes.len() as i32);
            // SAFETY: the buffer has the length that is passed, and the token is in the vocabulary.
            let n = unsafe { (self.0.llama.0.host.llama_token_to_piece)(self.vocab(), token, buffer, length, 0, true) };
            match usize::try_from(n) {
                Ok(n) => {
                    bytes.truncate(n);
                    return bytes;
                }
                Err(_) => bytes.resize(n.unsigned_abs() as usize, 0),
            }
        }
        Vec::new()
    }

    /// The text of several tokens.
    pub fn text(&self, tokens: &[Token]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&t| self.piece(t)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One user message in the model's own chat template, if it has one that llama.cpp knows.
    pub fn chat(&self, message: &str) -> Option<String> {
        let host = &self.0.llama.0.host;
        let message = CString::new(message).ok()?;
        let turn = llama_chat_message { role: c"user".as_ptr(), content: message.as_ptr() };
        // SAFETY: the template is null or a C string that lives as long as the model.
        let template = unsafe { (host.llama_model_chat_template)(self.0.raw, std::ptr::null()) };
        if template.is_null() {
            return None;
        }
        let mut text = vec![0u8; message.as_bytes().len() * 2 + 1024];
        for _ in 0..2 {
            // SAFETY: one message of two C strings, and a buffer of the length that is passed.
            let n = unsafe {
                let length = text.len() as i32;
                (host.llama_chat_apply_template)(template, &raw const turn, 1, true, text.as_mut_ptr().cast(), length)
            };
            let n = usize::try_from(n).ok()?;
            if n <= text.len() {
                text.truncate(n);
                return String::from_utf8(text).ok();
            }
            text.resize(n, 0);
        }
        None
    }

    fn vocab(&self) -> *const llama_vocab {
        // SAFETY: the model is loaded.
        unsafe { (self.0.llama.0.host.llama_model_get_vocab)(self.0.raw) }
    }
}

/// The text that `snprintf`-like functions of llama.cpp give; None if they answer with a negative number.
fn c_text(call: impl Fn(*mut c_char, usize) -> i32) -> Option<String> {
    let mut buffer = vec![0u8; 256];
    let length = usize::try_from(call(buffer.as_mut_ptr().cast(), buffer.len())).ok()?;
    if length >= buffer.len() {
        buffer.resize(length + 1, 0);
        call(buffer.as_mut_ptr().cast(), buffer.len());
    }
    CStr::from_bytes_until_nul(&buffer).ok().map(|s| s.to_string_lossy().into_owned())
}

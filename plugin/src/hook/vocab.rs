//! What is asked of a model's vocabulary: the text of tokens, and which end a generation.

use std::sync::{Arc, Mutex};

use evenkeel_core::{
    invariance::{Marker, MarkerTexts, Markers},
    sequence::is_token,
    vocabulary::Vocabulary,
};
use evenkeel_ffi::generated::{
    symbols::Llama,
    types::{llama_model, llama_vocab},
};
use rustc_hash::FxHashMap;

use super::library::Host;
use crate::state::lock;

/// What makes a token impossible: finite, so that no difference of two of them is no number.
const IMPOSSIBLE: f32 = -1e30;

/// A model's vocabulary, which lives as long as the model.
#[derive(Clone, Copy)]
pub struct Vocab(usize);

impl Vocab {
    /// The vocabulary of a model; one without tokens if there is none.
    ///
    /// # Safety
    /// `model` is a loaded model that outlives every use.
    pub unsafe fn of(host: &Host, model: *const llama_model) -> Vocab {
        // SAFETY: the caller's promise.
        Vocab(host.lib.llama.as_ref().map_or(0, |llama| unsafe { (llama.llama_model_get_vocab)(model) } as usize))
    }

    fn pointer(self) -> *const llama_vocab {
        self.0 as *const llama_vocab
    }

    /// What is added to the logits of a row that may only end: 0 for tokens that end a generation, else something
    /// that no logit makes up for. `None` if no token ends one.
    pub fn refusal(self, host: &Host) -> Option<Arc<[f32]>> {
        let llama = host.lib.llama.as_ref().filter(|_| self.0 != 0)?;
        // SAFETY: the vocabulary of a loaded model.
        let n = unsafe { (llama.llama_vocab_n_tokens)(self.pointer()) };
        // SAFETY: as above; the token is one of its own.
        let ends = |token| unsafe { (llama.llama_vocab_is_eog)(self.pointer(), token) };
        let vector: Arc<[f32]> = (0..n).map(|token| if ends(token) { 0.0 } else { IMPOSSIBLE }).collect();
        vector.contains(&0.0).then_some(vector)
    }

    /// Whether there is such a token.
    fn has(self, host: &Host, token: i32) -> bool {
        // SAFETY: the vocabulary of a loaded model.
        let n = |llama: &Llama| unsafe { (llama.llama_vocab_n_tokens)(self.pointer()) };
        host.lib.llama.as_ref().filter(|_| self.0 != 0).is_some_and(|llama| (0..n(llama)).contains(&token))
    }

    /// The bytes of every token.
    pub fn all(self, host: &Host) -> Option<Vocabulary> {
        let llama = host.lib.llama.as_ref().filter(|_| self.0 != 0)?;
        // SAFETY: the vocabulary of a loaded model.
        let n = unsafe { (llama.llama_vocab_n_tokens)(self.pointer()) };
        Some(Vocabulary::new((0..n).map(|token| self.piece(host, token))))
    }

    /// The bytes of a token, special ones as they are written; empty for what is no token.
    fn piece(self, host: &Host, token: i32) -> Arc<[u8]> {
        let Some(llama) = host.lib.llama.as_ref().filter(|_| self.0 != 0) else { return Arc::new([]) };
        if !self.has(host, token) {
            return Arc::new([]);
        }
        let mut buffer = vec![0u8; 128];
        loop {
            let (into, room) = (buffer.as_mut_ptr().cast(), buffer.len() as i32);
            // SAFETY: the vocabulary of a loaded model; at most `room` bytes are written.
            let n = unsafe { (llama.llama_token_to_piece)(self.pointer(), token, into, room, 0, true) };
            match usize::try_from(n) {
                Ok(n) => return buffer[..n.min(buffer.len())].into(),
                Err(_) if buffer.len() >= n.unsigned_abs() as usize => return Arc::new([]),
                Err(_) => buffer.resize(n.unsigned_abs() as usize, 0),
            }
        }
    }
}

impl Vocab {
    /// The tokens of a text, special ones read. `prompt`: with what the model wants in front, as a server makes them. `None`
    /// if this llama.cpp was handed over without the function.
    fn tokens(self, host: &Host, text: &str, prompt: bool) -> Option<Vec<i32>> {
        let llama = host.lib.llama.as_ref().filter(|_| self.0 != 0)?;
        let tokenize = llama.llama_tokenize?;
        let mut tokens = vec![0i32; text.len() + 16];
        for _ in 0..2 {
            let (from, n, into, room) =
                (text.as_ptr().cast(), text.len() as i32, tokens.as_mut_ptr(), tokens.len() as i32);
            // SAFETY: the vocabulary of a loaded model; `n` bytes are read and at most `room` tokens written.
            let found = unsafe { tokenize(self.pointer(), from, n, into, room, prompt, true) };
            match usize::try_from(found) {
                Ok(found) => {
                    tokens.truncate(found);
                    return Some(tokens);
                }
                Err(_) => tokens.resize(found.unsigned_abs() as usize, 0),
            }
        }
        Some(vec![])
    }
}

/// `LLAMA_TOKEN_ATTR_UNUSED`
const UNUSED: u32 = 1 << 1;
/// `LLAMA_TOKEN_ATTR_CONTROL` and `LLAMA_TOKEN_ATTR_USER_DEFINED`
const SPECIAL: u32 = 1 << 3 | 1 << 4;
/// How many tokens are named that could be markers.
const NAMED: usize = 6;

impl Vocab {
    /// What a profile's markers are in this vocabulary.
    ///
    /// # Errors
    /// Which is no special token, and which special tokens could take its place.
    fn markers(self, host: &Host, texts: &MarkerTexts) -> Result<Markers, String> {
        let special = self.special(host);
        let marker = |key: &str, text: &str| match special.iter().find(|(_, piece, _)| **piece == *text.as_bytes()) {
            Some((token, ..)) => Ok(Marker::Token(*token)),
            None if texts.in_text => Ok(Marker::Text(text.trim().as_bytes().to_vec())),
            None => {
                let unused = |piece: &[u8], unused: bool| {
                    let name = String::from_utf8_lossy(piece).into_owned();
                    let free = unused || ["unused", "reserved", "extra_id"].iter().any(|word| name.contains(word));
                    free.then_some(name)
                };
                let names: Vec<String> =
                    special.iter().filter_map(|(_, piece, free)| unused(piece, *free)).take(NAMED).collect();
                let names = if names.is_empty() { "none of them is free".into() } else { names.join(", ") };
                Err(format!(
                    "{key}: no special token of this model, got \"{text}\", allowed: the text of one ({names}), or any text \
                     with markers-in-text = true"
                ))
            }
        };
        Ok(Markers { open: marker("open", &texts.open)?, close: marker("close", &texts.close)? })
    }

    /// Special tokens: number, text, and whether the vocabulary says that it is not used.
    fn special(self, host: &Host) -> Vec<(i32, Arc<[u8]>, bool)> {
        let Some(llama) = host.lib.llama.as_ref().filter(|_| self.0 != 0) else { return vec![] };
        let Some(get_attr) = llama.llama_vocab_get_attr else { return vec![] };
        // SAFETY: the vocabulary of a loaded model.
        let n = unsafe { (llama.llama_vocab_n_tokens)(self.pointer()) };
        // SAFETY: as above; the token is one of its own.
        let attr = |token| unsafe { get_attr(self.pointer(), token) };
        let special = (0..n).filter(|token| attr(*token) & (SPECIAL | UNUSED) != 0);
        special.map(|token| (token, self.piece(host, token), attr(token) & UNUSED != 0)).collect()
    }
}

/// The text of tokens, each asked for once.
pub struct Pieces {
    vocab: Vocab,
    known: Mutex<FxHashMap<i32, Arc<[u8]>>>,
}

impl Pieces {
    /// None yet.
    pub fn new(vocab: Vocab) -> Pieces {
        Pieces { vocab, known: Mutex::default() }
    }

    /// The vocabulary.
    pub fn vocab(&self) -> Vocab {
        self.vocab
    }

    /// What a profile's markers are in the vocabulary.
    ///
    /// # Errors
    /// Which is no special token, and which could take its place.
    pub fn markers(&self, host: &Host, texts: &MarkerTexts) -> Result<Markers, String> {
        self.vocab.markers(host, texts)
    }

    /// Whether the vocabulary has such a token.
    pub fn has(&self, host: &Host, token: i32) -> bool {
        self.vocab.has(host, token)
    }

    /// The tokens of a prompt; `None` where nothing makes them.
    pub fn tokens(&self, host: &Host, text: &str) -> Option<Vec<i32>> {
        self.vocab.tokens(host, text, true)
    }

    /// The tokens of a text in a prompt; `None` where nothing makes them.
    pub fn tokens_within(&self, host: &Host, text: &str) -> Option<Vec<i32>> {
        self.vocab.tokens(host, text, false)
    }

    /// The bytes of every token.
    pub fn all(&self, host: &Host) -> Option<Vocabulary> {
        self.vocab.all(host)
    }

    /// The bytes of a token; nothing, and nothing is asked, if they are not needed.
    pub fn get(&self, host: &Host, token: i32, needed: bool) -> Arc<[u8]> {
        if !needed || !is_token(token) {
            return Arc::new([]);
        }
        if let Some(piece) = lock(&self.known).get(&token) {
            return piece.clone();
        }
        let piece = self.vocab.piece(host, token);
        lock(&self.known).entry(token).or_insert(piece).clone()
    }
}

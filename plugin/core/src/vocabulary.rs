//! The tokens of a model, as text: what labels are looked up in.

use std::path::Path;

use crate::asset::gguf::{Cursor, Header, Metadata};
use crate::model::{ModelError, read_metadata};

/// The bytes of every token of one model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vocabulary {
    bytes: Vec<u8>,
    /// Where each token ends in `bytes`.
    ends: Vec<usize>,
}

/// Types of tokens, as GGUF files number them.
const NORMAL: i64 = 1;
const BYTE: i64 = 6;

impl Vocabulary {
    /// From the bytes of each token, by number. A token that is no text has none.
    pub fn new<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Vocabulary {
        let mut vocabulary = Vocabulary::default();
        for piece in pieces {
            vocabulary.bytes.extend_from_slice(piece.as_ref());
            vocabulary.ends.push(vocabulary.bytes.len());
        }
        vocabulary
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there is no token.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of a token; empty for what is no token.
    pub fn piece(&self, token: usize) -> &[u8] {
        let Some(&end) = self.ends.get(token) else { return &[] };
        let begin = token.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..end]
    }

    /// The tokens of a label, ascending: those that are its text or one of its spellings (see [`spellings`]), with or
    /// without one space in front.
    pub fn tokens_of(&self, label: &str) -> Vec<u32> {
        let spellings = spellings(label);
        let is = |piece: &[u8]| {
            let bare = piece.strip_prefix(b" ").unwrap_or(piece);
            spellings.iter().any(|s| s.as_bytes() == piece || s.as_bytes() == bare)
        };
        (0..self.len()).filter(|t| is(self.piece(*t))).map(|t| t as u32).collect()
    }

    /// Reads the tokens from a model's GGUF file; `None` if its tokenizer is of a kind whose texts are not known here.
    ///
    /// # Errors
    /// The first thing that is wrong with the file.
    pub fn read(path: &Path) -> Result<Option<Vocabulary>, ModelError> {
        read_metadata(path, |bytes| {
            let mut cursor = Cursor::new(bytes);
            let header = Header::read(&mut cursor)?;
            Ok(Self::of(&Metadata::read(&mut cursor, header)?))
        })
    }

    fn of(metadata: &Metadata<'_>) -> Option<Vocabulary> {
        let decode: fn(&[u8]) -> Vec<u8> = match metadata.text("tokenizer.ggml.model").ok()?? {
            "llama" | "t5" | "gemma4" => spaces,
            "gpt2" => mapped_bytes,
            "rwkv" => escapes,
            _ => return None,
        };
        let types = metadata.integers("tokenizer.ggml.token_type");
        let tokens = metadata.texts("tokenizer.ggml.tokens")?;
        let piece = |(i, text): (usize, &[u8])| match types.as_ref().and_then(|t| t.get(i).copied()).unwrap_or(NORMAL) {
            NORMAL => decode(text),
            BYTE => byte(text).map_or_else(|| text.to_vec(), |b| vec![b]),
            // Special tokens and those that a user added are written as they are.
            _ => text.to_vec(),
        };
        Some(Self::new(tokens.into_iter().enumerate().map(piece)))
    }
}

/// The spellings of a label: as it is; of a label of more than one letter also in small letters, with a capital in front,
/// and in capitals. A single letter stays as it is: "A" is an answer, "a" is a word.
pub fn spellings(label: &str) -> Vec<String> {
    let mut list = vec![label.to_owned()];
    if label.chars().count() > 1 {
        let mut letters = label.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        let capital = first + &letters.as_str().to_lowercase();
        for spelling in [label.to_lowercase(), capital, label.to_uppercase()] {
            if !list.contains(&spelling) {
                list.push(spelling);
            }
        }
    }
    list
}

/// SentencePiece writes a space as U+2581.
fn spaces(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text).replace('\u{2581}', " ").into_bytes()
}

/// Byte-level BPE writes each byte as a character: printable ones as themselves, the others from U+0100 on in order.
fn mapped_bytes(text: &[u8]) -> Vec<u8> {
    let own = |b: &u8| matches!(b, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let byte = |c: char| match u32::from(c) {
        n @ 0x100.. => (0u8..=255).filter(|b| !own(b)).nth(n as usize - 0x100),
        n => Some(n as u8),
    };
    let Ok(text) = std::str::from_utf8(text) else { return text.to_vec() };
    text.chars().map(byte).collect::<Option<_>>().unwrap_or_else(|| text.as_bytes().to_vec())
}

/// RWKV's vocabulary writes some bytes as `\t`, `\n`, `\r` and `\xHH`.
fn escapes(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, n) = match (first, after) {
            (b'\\', [b't', ..]) => (b'\t', 1),
            (b'\\', [b'n', ..]) => (b'\n', 1),
            (b'\\', [b'r', ..]) => (b'\r', 1),
            (b'\\', [b'x', high, low, ..]) if let Some(byte) = hex(&[*high, *low]) => (byte, 3),
            (b'\\', [other, ..]) => (*other, 1),
            _ => (first, 0),
        };
        bytes.push(byte);
        rest = &after[n..];
    }
    bytes
}

/// `<0x41>`
fn byte(text: &[u8]) -> Option<u8> {
    hex(text.strip_prefix(b"<0x")?.strip_suffix(b">")?)
}

fn hex(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_in_all_their_spellings() {
        let vocabulary = Vocabulary::new(["yes", " Yes", "YES", "yEs", " yes", "  yes", "A", "a", " A", ""]);
        assert_eq!(vocabulary.tokens_of("Yes"), [0, 1, 2, 4]);
        assert_eq!(vocabulary.tokens_of("A"), [6, 8]);
        assert!(vocabulary.tokens_of("maybe").is_empty());
    }

    #[test]
    fn texts_are_decoded_as_each_tokenizer_writes_them() {
        assert_eq!(spaces("\u{2581}yes".as_bytes()), b" yes");
        assert_eq!(mapped_bytes("Ġyes".as_bytes()), b" yes");
        assert_eq!(mapped_bytes("é".as_bytes()), [0xE9]);
        assert_eq!(escapes(br"\n\x41\\b"), b"\nA\\b");
        assert_eq!((byte(b"<0x41>"), byte(b"<s>")), (Some(0x41), None));
    }
}

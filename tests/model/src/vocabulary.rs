//! A vocabulary for llama.cpp's SentencePiece tokenizer that accepts every input.

use crate::gguf::Value;

/// `<unk>`, `<s>`, `</s>`, the 256 single bytes.
const FIXED: usize = 3 + 256;

/// Token types, as llama.cpp numbers them.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// Metadata of a vocabulary of `size` tokens: special tokens, all bytes (without them the tokenizer aborts on unknown
/// input), the space mark, letters, and then numbered words that no text contains.
///
/// # Panics
/// When `size` leaves no room for the fixed tokens.
pub(crate) fn metadata(size: usize) -> Vec<(String, Value)> {
    assert!(size >= FIXED, "a vocabulary needs {FIXED} tokens, not {size}");
    let mut tokens = vec![("<unk>".to_owned(), UNKNOWN), ("<s>".to_owned(), CONTROL), ("</s>".to_owned(), CONTROL)];
    tokens.extend((0..256).map(|byte| (format!("<0x{byte:02X}>"), BYTE)));
    let pieces = ["\u{2581}".to_owned(), ".".to_owned(), ",".to_owned()]
        .into_iter()
        .chain(('a'..='z').map(String::from))
        .chain(('a'..='z').map(|letter| format!("\u{2581}{letter}")))
        .chain((0..).map(|i| format!("\u{2581}word{i}")));
    tokens.extend(pieces.take(size - FIXED).map(|piece| (piece, NORMAL)));

    let scores = (0..size).map(|i| if i < FIXED { 0.0 } else { -((i - FIXED) as f32) }).collect();
    let (texts, types) = tokens.into_iter().unzip();
    [
        ("model", Value::Text("llama".into())),
        ("tokens", Value::Texts(texts)),
        ("scores", Value::F32s(scores)),
        ("token_type", Value::I32s(types)),
        ("unknown_token_id", Value::U32(0)),
        ("bos_token_id", Value::U32(1)),
        ("eos_token_id", Value::U32(2)),
        ("add_bos_token", Value::Bool(true)),
        ("add_eos_token", Value::Bool(false)),
    ]
    .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_distinct() {
        let metadata = metadata(1000);
        let Some((_, Value::Texts(texts))) = metadata.iter().find(|(key, _)| key.ends_with(".tokens")) else {
            panic!("no tokens");
        };
        let distinct: std::collections::HashSet<_> = texts.iter().collect();
        assert_eq!((texts.len(), distinct.len()), (1000, 1000));
    }
}

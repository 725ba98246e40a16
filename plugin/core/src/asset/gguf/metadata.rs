//! The header and the metadata of a GGUF file.

use std::collections::HashMap;

use super::{Cursor, GgufError, MAGIC};
use crate::asset::bound::MAX_GGUF_KEYS;

/// The fixed part at the beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) n_tensors: u64,
    n_keys: u64,
}

impl Header {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, GgufError> {
        let magic = cursor.take(4)?;
        if magic != MAGIC {
            return Err(GgufError::Magic { got: magic.to_vec() });
        }
        match cursor.u32()? {
            2 | 3 => {}
            got if got != 0 && got & 0xFFFF == 0 => return Err(GgufError::BigEndian),
            got => return Err(GgufError::Version { got }),
        }
        let (n_tensors, n_keys) = (cursor.u64()?, cursor.u64()?);
        if n_keys > MAX_GGUF_KEYS {
            return Err(GgufError::TooMany { what: "metadata keys", got: n_keys, max: MAX_GGUF_KEYS });
        }
        Ok(Self { n_tensors, n_keys })
    }
}

/// A metadata value; of lists the type and number of their elements, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(&'a [u8]),
    List { kind: u32, n: u64, bytes: &'a [u8] },
}

impl Value<'_> {
    /// The value as a message shows it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Unsigned(n) => n.to_string(),
            Self::Signed(n) => n.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Text(t) => format!("{:?}", String::from_utf8_lossy(&t[..t.len().min(60)])),
            Self::List { .. } => "a list".into(),
        }
    }
}

/// All metadata.
#[derive(Debug, Default)]
pub(crate) struct Metadata<'a> {
    values: HashMap<&'a str, Value<'a>>,
}

impl<'a> Metadata<'a> {
    /// Reads all of it. Nothing larger than what was already read is ever allocated.
    pub(crate) fn read(cursor: &mut Cursor<'a>, header: Header) -> Result<Self, GgufError> {
        let mut values = HashMap::new();
        for _ in 0..header.n_keys {
            let key = cursor.name()?;
            let kind = cursor.u32()?;
            let value = value(cursor, key, kind)?;
            if values.insert(key, value).is_some() {
                return Err(GgufError::DuplicateKey { key: key.into() });
            }
        }
        Ok(Self { values })
    }

    pub(crate) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.values.get(key).copied()
    }

    /// A text, if the key is there.
    pub(crate) fn text(&self, key: &'static str) -> Result<Option<&'a str>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value {
            Value::Text(bytes) if let Ok(text) = std::str::from_utf8(bytes) => Ok(Some(text)),
            other => Err(GgufError::Value { key, got: other.describe(), allowed: "a text in UTF-8" }),
        }
    }

    /// A whole number that is not negative, of whatever integer type.
    pub(crate) fn count(&self, key: &str) -> Option<Result<u64, String>> {
        Some(match self.get(key)? {
            Value::Unsigned(n) => Ok(n),
            Value::Signed(n) => u64::try_from(n).map_err(|_| n.to_string()),
            other => Err(other.describe()),
        })
    }

    /// A list of texts, if the key is there and is one.
    pub(crate) fn texts(&self, key: &str) -> Option<Vec<&'a [u8]>> {
        let Value::List { kind: STRING, n, bytes } = self.get(key)? else { return None };
        let mut cursor = Cursor::new(bytes);
        (0..n).map(|_| cursor.string().ok()).collect()
    }

    /// A list of 32-bit integers, if the key is there and is one.
    pub(crate) fn integers(&self, key: &str) -> Option<Vec<i64>> {
        let Value::List { kind: 4 | 5, bytes, .. } = self.get(key)? else { return None };
        Some(bytes.as_chunks().0.iter().map(|b| i64::from(i32::from_le_bytes(*b))).collect())
    }
}

const STRING: u32 = 8;
const LIST: u32 = 9;

/// Bytes of a value of a fixed size.
fn size(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

fn value<'a>(cursor: &mut Cursor<'a>, key: &str, kind: u32) -> Result<Value<'a>, GgufError> {
    let bad = |got| GgufError::ValueType { key: key.into(), got };
    match kind {
        STRING => cursor.string().map(Value::Text),
        LIST => {
            let (kind, n) = (cursor.u32()?, cursor.u64()?);
            let begin = cursor.clone();
            if kind == STRING {
                // Every turn takes at least 8 bytes, so the loop ends with the file however large `n` is.
                for _ in 0..n {
                    cursor.string()?;
                }
            } else {
                let size = size(kind).ok_or_else(|| bad(kind))?;
                cursor.take(n.saturating_mul(size))?;
            }
            let bytes = begin.clone().take(cursor.at() - begin.at())?;
            Ok(Value::List { kind, n, bytes })
        }
        _ => {
            let mut raw = [0; 8];
            let bytes = cursor.take(size(kind).ok_or_else(|| bad(kind))?)?;
            raw[..bytes.len()].copy_from_slice(bytes);
            let bits = u64::from_le_bytes(raw);
            // Moves the sign bit to the top, and back down with its copies.
            let shift = 64 - 8 * bytes.len() as u32;
            Ok(match kind {
                1 | 3 | 5 | 11 => Value::Signed((bits << shift).cast_signed() >> shift),
                6 => Value::Float(f64::from(f32::from_bits(bits as u32))),
                7 => Value::Bool(bits != 0),
                12 => Value::Float(f64::from_bits(bits)),
                _ => Value::Unsigned(bits),
            })
        }
    }
}

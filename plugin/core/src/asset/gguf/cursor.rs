//! Reading numbers and names from bytes, front to back.

use super::GgufError;
use crate::asset::bound::MAX_GGUF_NAME;

/// A place in a file's bytes.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub(crate) fn at(&self) -> u64 {
        self.at as u64
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: u64) -> Result<&'a [u8], GgufError> {
        let end = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n));
        let found = end.and_then(|end| Some((end, self.bytes.get(self.at..end)?)));
        let Some((end, found)) = found else {
            return Err(GgufError::Truncated { need: self.at().saturating_add(n), have: self.bytes.len() as u64 });
        };
        self.at = end;
        Ok(found)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, GgufError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, GgufError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A string: its length and its bytes, which need not be UTF-8.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], GgufError> {
        let len = self.u64()?;
        self.take(len)
    }

    /// A metadata key or a tensor's name.
    pub(crate) fn name(&mut self) -> Result<&'a str, GgufError> {
        let at = self.at();
        let bad = |got: String| GgufError::BadName { at, got };
        let len = self.u64()?;
        if len == 0 || len > MAX_GGUF_NAME {
            return Err(bad(format!("{len} bytes")));
        }
        let name = std::str::from_utf8(self.take(len)?).map_err(|_| bad("bytes that are not UTF-8".into()))?;
        // Names stand in messages, and a message is one line that leaves a terminal alone.
        if name.chars().any(char::is_control) { Err(bad("control characters".into())) } else { Ok(name) }
    }
}

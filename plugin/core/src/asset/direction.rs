//! A vector file that was found and read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::bound::MAX_ASSET_BYTES;
use super::file::read_regular;
use super::vectors::{Vectors, parse_with, peek};
use super::{AssetError, Factors, Raw};

/// Metadata by which a file says what it is meant to be used for; the plan compares it with the rule.
pub(super) const OPERATOR: &str = "evenkeel.operator";

/// Metadata by which a file says where it is meant to act, or be read; the plan compares it with the rule.
pub(super) const SITE: &str = "evenkeel.site";

/// One vector file.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    /// The file, links resolved.
    pub file: PathBuf,
    /// SHA-256 of its bytes, as `sha256sum` prints it.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What it holds.
    pub vectors: Vectors,
    /// For erasers and features: the map of each layer of `vectors`.
    pub factors: BTreeMap<u32, Factors>,
}

impl Direction {
    /// Reads a file that [`super::Places::resolve`] found; `raw` is what the profile says of it.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(file: &Path, raw: &Raw) -> Result<Self, AssetError> {
        let bytes = read_regular(file, MAX_ASSET_BYTES, |first| peek(first, raw))?;
        let vectors = parse_with(&bytes, raw)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        Ok(Self { file: file.to_owned(), sha256, bytes: bytes.len() as u64, vectors, factors: BTreeMap::new() })
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

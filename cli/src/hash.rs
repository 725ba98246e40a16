//! What tells one file from another in reports.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{failure::Failure, screen};

/// SHA-256 of a file, read in parts.
pub fn file_sha256(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let bar = screen::progress_bytes(file.metadata().map_err(failed)?.len(), "hashing the model");
    let (mut hash, mut part) = (Sha256::new(), vec![0u8; 1 << 20]);
    loop {
        match file.read(&mut part).map_err(failed)? {
            0 => break,
            n => {
                hash.update(&part[..n]);
                bar.inc(n as u64);
            }
        }
    }
    bar.finish_and_clear();
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

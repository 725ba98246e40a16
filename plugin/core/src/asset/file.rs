//! Reading a file that may be anything: a pipe, a device, a folder, or one that someone is writing.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::path::Path;

use super::AssetError;

/// A file that changes while it is read is read again, this often in all.
const ATTEMPTS: usize = 3;

/// Opens a regular file and nothing else; never waits (opening a pipe otherwise waits for its writer).
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), AssetError> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    // Before it is opened, because opening alone can have effects on a device. After, because it may have been replaced.
    regular(&path.metadata().map_err(unreadable)?)?;
    let file = options.open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    regular(&metadata)?;
    Ok((file, metadata))
}

/// All bytes of a regular file of at most `max` bytes. `peek` sees the first bytes before the rest is read and can
/// refuse the file.
pub(crate) fn read_regular(
    path: &Path,
    max: u64,
    peek: impl Fn(&[u8]) -> Result<(), AssetError>,
) -> Result<Vec<u8>, AssetError> {
    let mut outcome = Err(AssetError::Changed { got: 0, expected: 0 });
    for _ in 0..ATTEMPTS {
        outcome = read_once(path, max, &peek);
        if !matches!(outcome, Err(AssetError::Changed { .. })) {
            break;
        }
    }
    outcome
}

fn read_once(path: &Path, max: u64, peek: &impl Fn(&[u8]) -> Result<(), AssetError>) -> Result<Vec<u8>, AssetError> {
    const PEEK: u64 = 4096;
    let (mut file, before) = open_regular(path)?;
    let expected = before.len();
    let mut bytes = vec![];
    (&mut file).take(PEEK).read_to_end(&mut bytes).map_err(unreadable)?;
    peek(&bytes)?;
    if expected > max {
        return Err(AssetError::TooLarge { got: expected, max });
    }
    let no_memory = |_| AssetError::OutOfMemory { bytes: expected };
    let more = usize::try_from(expected).unwrap_or(usize::MAX).saturating_sub(bytes.len());
    // One more, so that the end is seen without growing.
    bytes.try_reserve_exact(more.saturating_add(1)).map_err(no_memory)?;
    let room = (expected + 1).saturating_sub(bytes.len() as u64);
    file.take(room).read_to_end(&mut bytes).map_err(unreadable)?;
    let after = path.metadata().map_err(unreadable)?;
    let got = bytes.len() as u64;
    if got != expected || after.len() != expected || after.modified().ok() != before.modified().ok() {
        return Err(AssetError::Changed { got, expected });
    }
    Ok(bytes)
}

fn unreadable(error: std::io::Error) -> AssetError {
    AssetError::Unreadable { why: format!("\"{error}\"") }
}

fn regular(metadata: &Metadata) -> Result<(), AssetError> {
    if metadata.is_file() {
        return Ok(());
    }
    let kind = if metadata.is_dir() { "a folder" } else { "a pipe, socket or device" };
    Err(AssetError::NotRegular { kind })
}

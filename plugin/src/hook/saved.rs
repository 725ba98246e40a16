//! The hooks on saved sequences: what goes with them says what their keys and values were computed under.
//!
//! Where no plan acts, a state is the host's own, byte for byte. One without our trailer was saved that way, or
//! by a host without the library, which is the same.

use std::{
    cell::RefCell,
    ffi::{CStr, c_char},
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::Arc,
};

use evenkeel_core::sequence::{Cell, Cells, EMBEDDED_TOKEN, Saved, TRAILER_END, UNKNOWN_TOKEN};

use super::{decode::end_of, dispatch::Verdict, entry::Registers};
use crate::{
    log,
    state::{self, Live, PLAIN},
};

/// `LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY`: only what cannot be rolled back, of sliding windows and recurrent states.
const PARTIAL: usize = 1;
/// The largest trailer of a file that is read: that of sixteen million cells.
const MAX_TRAILER: u64 = 1 << 27;

thread_local! {
    /// The trailer of the state that is being restored on this thread, and its length.
    static FOUND: RefCell<Option<(Saved, usize)>> = const { RefCell::new(None) };
}

/// Nothing is to be done before.
pub fn before_any(_r: &Registers) -> Verdict {
    Verdict::Continue
}

fn live(r: &Registers) -> Option<Arc<Live>> {
    state::get().live(r.argument(0))
}

/// What goes with a sequence of a context in which a plan acts; also where it touched none of the cells, so that their
/// tokens are known.
fn trailer(live: &Live, seq: i32) -> Option<Vec<u8>> {
    let cells = live.cells_of(seq);
    let needed = !cells.is_empty() && live.structure().merged.is_some();
    needed.then(|| Saved::of(&cells, live.announced_segments(seq), |id| state::get().identities.hash(id)).to_bytes())
}

/// `size_t llama_state_seq_get_size_ext(ctx, seq, flags)`
pub fn after_size(r: &Registers, size: usize) -> usize {
    let more = live(r).filter(|_| size > 0).and_then(|live| trailer(&live, r.argument(1) as i32));
    size + more.map_or(0, |bytes| bytes.len())
}

/// `size_t llama_state_seq_get_data_ext(ctx, data, size, seq, flags)`
pub fn after_save(r: &Registers, written: usize) -> usize {
    let Some(live) = live(r).filter(|_| written > 0) else { return written };
    let Some(bytes) = trailer(&live, r.argument(3) as i32) else { return written };
    let (data, size) = (r.argument(1) as *mut u8, r.argument(2));
    if size.saturating_sub(written) < bytes.len() {
        log::error!("a sequence's state needs {} bytes, the host gives {size}: it is not saved", written + bytes.len());
        return 0;
    }
    // SAFETY: the host's buffer has `size` bytes, of which its function wrote the first `written`.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), data.add(written), bytes.len()) };
    written + bytes.len()
}

/// `size_t llama_state_seq_set_data_ext(ctx, data, size, seq, flags)`: the host's function is not shown the trailer.
pub fn before_restore(r: &Registers) -> Verdict {
    let (data, size) = (r.argument(1) as *const u8, r.argument(2));
    // SAFETY: the host's buffer has `size` bytes.
    let state = if data.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(data, size) } };
    let found = Saved::length_in(state).and_then(|length| Some((Saved::read(state)?, length)));
    if let Some((_, length)) = &found {
        r.set_argument(2, size - length);
    }
    FOUND.set(found);
    Verdict::Continue
}

/// After it.
pub fn after_restore(r: &Registers, read: usize) -> usize {
    let found = FOUND.take();
    let more = found.as_ref().map_or(0, |(_, length)| *length);
    if read == 0 {
        return 0;
    }
    restored(r, r.argument(3) as i32, found.map(|(saved, _)| saved), r.argument(4) & PARTIAL != 0);
    read + more
}

/// A sequence of a context of ours came from elsewhere.
fn restored(r: &Registers, seq: i32, saved: Option<Saved>, partial: bool) {
    let Some(live) = live(r) else { return };
    let (cells, region) = match saved {
        Some(saved) => (real(&live, saved.restore(|hash| state::get().identities.id(hash))), saved.region),
        None => (plain(end_of(&live, seq).unwrap_or(0)), None),
    };
    live.restore(seq, (cells, region), partial);
}

/// The cells without tokens that this model does not have: nobody's bytes are fed to the host.
fn real(live: &Live, mut cells: Cells) -> Cells {
    let all = cells.clone();
    for (pos, cell) in all.iter() {
        let strange = |token| token != EMBEDDED_TOKEN && !live.pieces.has(&live.host, token);
        if let Some(cell) = cell.filter(|cell| strange(cell.token)) {
            cells.put(pos, Cell { token: UNKNOWN_TOKEN, ..cell });
        }
    }
    cells
}

/// Cells that the host computed by itself; their tokens nobody saw.
fn plain(end: i32) -> Cells {
    let mut cells = Cells::default();
    (0..end).for_each(|pos| cells.put(pos, Cell { token: UNKNOWN_TOKEN, identity: PLAIN }));
    cells
}

/// `size_t llama_state_seq_save_file(ctx, path, seq, tokens, n_tokens)`
pub fn after_save_file(r: &Registers, written: usize) -> usize {
    let Some(live) = live(r).filter(|_| written > 0) else { return written };
    let Some(bytes) = trailer(&live, r.argument(2) as i32) else { return written };
    let Some(path) = path(r.argument(1)) else { return written };
    let appended = OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(&bytes));
    match appended {
        Ok(()) => written + bytes.len(),
        Err(error) => {
            // Without it the file would be taken for the host's own computation.
            let removed = std::fs::remove_file(path).is_ok();
            log::error!(
                "{}: cannot be completed ({error}), {}",
                path.display(),
                if removed { "removed" } else { "delete it" }
            );
            0
        }
    }
}

/// `size_t llama_state_seq_load_file(ctx, path, seq, tokens, capacity, n_tokens)`: without a place for tokens it only tells
/// how many there are.
pub fn after_load_file(r: &Registers, read: usize) -> usize {
    if read == 0 || r.argument(3) == 0 {
        return read;
    }
    let (saved, length) = match path(r.argument(1)).map(from_file) {
        Some(Ok(Some((saved, length)))) => (Some(saved), length),
        Some(Ok(None)) => (None, 0),
        // Whatever the file is, nothing is known of it.
        Some(Err(_)) | None => (Some(Saved::default()), 0),
    };
    restored(r, r.argument(2) as i32, saved, false);
    read + length
}

fn path<'a>(text: usize) -> Option<&'a Path> {
    use std::os::unix::ffi::OsStrExt as _;
    let text = text as *const c_char;
    // SAFETY: the host passes a C string that lives during the call.
    let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })?;
    Some(Path::new(std::ffi::OsStr::from_bytes(text.to_bytes())))
}

/// The trailer at the end of a file, if there is one, and its length.
fn from_file(path: &Path) -> std::io::Result<Option<(Saved, usize)>> {
    let mut file = File::open(path)?;
    let size = file.seek(SeekFrom::End(0))?;
    let end = size.min(TRAILER_END as u64);
    let mut mark = vec![0; end as usize];
    file.seek(SeekFrom::Start(size - end))?;
    file.read_exact(&mut mark)?;
    let Some(length) = Saved::announced_in(&mark).filter(|n| *n <= size.min(MAX_TRAILER)) else { return Ok(None) };
    let mut bytes = vec![0; length as usize];
    file.seek(SeekFrom::Start(size - length))?;
    file.read_exact(&mut bytes)?;
    Ok(Saved::read(&bytes).map(|saved| (saved, bytes.len())))
}

/// `llama_state_set_data` and `llama_state_load_file`: whole contexts come from elsewhere.
pub fn before_restore_all(r: &Registers) -> Verdict {
    if let Some(live) = live(r) {
        live.forget();
    }
    Verdict::Continue
}

//! The counters in a file, for `evenkeel top`: written where `EVENKEEL_STATS` asks for it, by whichever thread of the host
//! comes along. No thread of our own, and nothing that a process has to do when it ends.

use std::{
    path::Path,
    sync::{
        Mutex, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use evenkeel_core::snapshot::{Folder, Process};
use serde_json::json;

use super::{State, lock, stats_json};
use crate::log;

/// How often a file is written while the model runs.
const INTERVAL: Duration = Duration::from_secs(1);

/// When the file was written last, and what was said of it.
#[derive(Default)]
pub struct Writer {
    /// Locked by the thread that writes.
    last: Mutex<Option<Instant>>,
    said: AtomicBool,
    failed: AtomicBool,
}

/// Called between two calls to decode: writes the counters once a second. A thread never waits for another here.
pub fn at_boundary(state: &State) {
    let Some(folder) = &state.config.stats else { return };
    let mut last = match state.snapshots.last.try_lock() {
        Ok(last) => last,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    if last.is_none_or(|last| last.elapsed() >= INTERVAL) {
        *last = Some(Instant::now());
        write(state, folder);
    }
}

/// Called where the set of contexts changes, which is rare: writes the counters now.
pub fn now(state: &State) {
    let Some(folder) = &state.config.stats else { return };
    let mut last = lock(&state.snapshots.last);
    *last = Some(Instant::now());
    write(state, folder);
}

fn write(state: &State, folder: &Path) {
    let (process, program) = (Process::own(), std::env::current_exe().unwrap_or_default());
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let snapshot = json!({
        "pid": process.pid,
        "program": program.file_name().unwrap_or_default().to_string_lossy(),
        "started": process.started,
        "namespace": process.namespace,
        "unix_ms": time.as_millis() as u64,
        "stats": stats_json(state),
    });
    let text = snapshot.to_string();
    // The folder is opened each time: one that was cleaned away meanwhile is made again.
    let write = |folder: Folder| {
        let failed = |e| format!("{}: {e}", folder.path().display());
        folder.write(process.pid, text.as_bytes()).map_err(failed)
    };
    match Folder::make(folder).map_err(|e| e.to_string()).and_then(write) {
        Ok(()) => {
            if !state.snapshots.said.swap(true, Ordering::Relaxed) {
                log::info!("counters are written to {}: `evenkeel top` shows them", folder.display());
            }
        }
        Err(why) => {
            if !state.snapshots.failed.swap(true, Ordering::Relaxed) {
                log::error!("EVENKEEL_STATS: counters cannot be written: {why}");
            }
        }
    }
}

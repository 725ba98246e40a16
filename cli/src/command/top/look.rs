//! What lies in the folders.

use std::{io, path::PathBuf};

use evenkeel_core::snapshot::{Folder, FolderError, Process};
use serde::{Deserialize, Serialize};

use crate::stats::Stats;

/// The counters of one process at one time, as the plug-in wrote them. Fields that a version lacks are empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// Its number.
    pub pid: u32,
    /// Its program.
    pub program: String,
    /// When it began, in the kernel's ticks.
    pub started: Option<u64>,
    /// Where its number counts.
    pub namespace: Option<String>,
    /// When this was written, since 1970.
    pub unix_ms: u64,
    /// The counters.
    pub stats: Stats,
}

/// One look into all folders.
#[derive(Debug, Default)]
pub struct Look {
    /// Each process's, with whether it still runs (`None`: cannot be told from here); by number.
    pub snapshots: Vec<(Snapshot, Option<bool>)>,
    /// Processes that are gone; what they left was removed.
    pub removed: Vec<u32>,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// Looks, and removes what processes left that are gone.
pub fn look(folders: &[PathBuf]) -> Look {
    let mut look = Look::default();
    for path in folders {
        let folder = match Folder::open(path) {
            Ok(folder) => folder,
            Err(FolderError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(why) => {
                look.problems.push(why.to_string());
                continue;
            }
        };
        match folder.pids() {
            Ok(pids) => pids.into_iter().for_each(|pid| look.add(&folder, pid)),
            Err(why) => look.problems.push(format!("{}: {why}", path.display())),
        }
    }
    look.snapshots.sort_by_key(|(snapshot, _)| snapshot.pid);
    look
}

impl Look {
    fn add(&mut self, folder: &Folder, pid: u32) {
        let problem = |why: String| format!("{}/{pid}.json: {why}", folder.path().display());
        let snapshot: Snapshot = match folder.read(pid) {
            // Removed meanwhile, or nothing of the user's own.
            Ok(None) => return,
            Ok(Some(text)) => match serde_json::from_str(&text) {
                Ok(snapshot) => Snapshot { pid, ..snapshot },
                Err(why) => return self.problems.push(problem(format!("is no snapshot of evenkeel's: {why}"))),
            },
            Err(why) => return self.problems.push(problem(why.to_string())),
        };
        let process = Process { pid, started: snapshot.started, namespace: snapshot.namespace.clone() };
        match process.is_alive() {
            Some(false) => match folder.remove(pid) {
                Ok(()) => self.removed.push(pid),
                Err(why) => {
                    self.problems.push(problem(format!("its process is gone, and it cannot be removed: {why}")))
                }
            },
            alive => self.snapshots.push((snapshot, alive)),
        }
    }
}

//! Where a process leaves its counters for those who watch it: one file per process, in a folder that nobody else can
//! write to.
//!
//! The plug-in writes, `evenkeel top` reads; both find the folder by what is said here. A file holds one JSON object, is
//! replaced in one step, and belongs to its user alone (mode 0600).

mod folder;
mod place;
mod process;

pub use folder::{Folder, FolderError};
pub use place::{BadPlace, Place};
pub use process::Process;

/// The largest file that is read: 64 rules in each of 16 profiles and some hundred sequences are a tenth of it.
pub const MAX_BYTES: u64 = 4 << 20;

//! A folder of snapshots: who owns it is checked on the opened folder, and files are reached through it, so that nobody can
//! put another one in its place in between.

use std::{
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, renameat, unlinkat},
    process::geteuid,
};

use super::MAX_BYTES;

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// It cannot be made or opened.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// It is something else.
    #[error("{path}: is a link or no folder, allowed: a folder", path = path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// It is somebody else's.
    #[error("{path}: belongs to user {owner}, allowed: a folder of user {own}", path = path.display())]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who asks.
        own: u32,
    },
    /// Others may write to it.
    #[error("{path}: others may write to it, got mode {mode:04o}, allowed: 0700", path = path.display())]
    Mode {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// An open folder that is the user's own.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens it, and makes it (mode 0700, as are its parents) where it is not there.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn make(path: &Path) -> Result<Folder, FolderError> {
        match DirBuilder::new().mode(0o700).recursive(true).create(path) {
            // What is there instead is told below.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(FolderError::Io { path: path.to_owned(), error })
            }
            _ => Folder::open(path),
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`FolderError`]; [`io::ErrorKind::NotFound`] in [`FolderError::Io`] where it is not there.
    pub fn open(path: &Path) -> Result<Folder, FolderError> {
        let failed = |error: rustix::io::Errno| match error {
            rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP => FolderError::NoFolder { path: path.to_owned() },
            error => FolderError::Io { path: path.to_owned(), error: error.into() },
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
        let (stat, own, path) = (fstat(&fd).map_err(failed)?, geteuid().as_raw(), path.to_owned());
        if stat.st_uid != own {
            return Err(FolderError::Owner { path, owner: stat.st_uid, own });
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(FolderError::Mode { path, mode: stat.st_mode & 0o7777 });
        }
        Ok(Folder { fd, path })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `bytes` in place of the file of process `pid`, in one step. Only one thread of a process at a time.
    ///
    /// # Errors
    /// The system's; nothing is left behind then, and an earlier file stays.
    pub fn write(&self, pid: u32, bytes: &[u8]) -> io::Result<()> {
        let new = format!(".{pid}.new");
        // What a process of this number left when it was killed.
        let _ = unlinkat(&self.fd, &new, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.fd, &new, flags, Mode::RUSR | Mode::WUSR)?);
        let written = file.write_all(bytes).and_then(|()| Ok(renameat(&self.fd, &new, &self.fd, name(pid))?));
        if written.is_err() {
            let _ = unlinkat(&self.fd, &new, AtFlags::empty());
        }
        written
    }

    /// The processes that have a file here, in ascending order.
    ///
    /// # Errors
    /// The system's.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let pid = entry.file_name().to_str().ok().and_then(|n| n.strip_suffix(".json")?.parse().ok());
            pids.extend(pid.filter(|pid| entry.file_name().to_bytes() == name(*pid).as_bytes()));
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// The text of the file of process `pid`; `None` if there is none, or no file of the user's own.
    ///
    /// # Errors
    /// The system's; a file over [`MAX_BYTES`], or one that is no text.
    pub fn read(&self, pid: u32) -> io::Result<Option<String>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match openat(&self.fd, name(pid), flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => return Ok(None),
            fd => fd?,
        };
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_uid != geteuid().as_raw() {
            return Ok(None);
        }
        let mut text = String::new();
        let read = File::from(fd).take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if read as u64 > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("over {MAX_BYTES} bytes")));
        }
        Ok(Some(text))
    }

    /// Removes what process `pid` left.
    ///
    /// # Errors
    /// The system's; that nothing is there is none.
    pub fn remove(&self, pid: u32) -> io::Result<()> {
        for name in [name(pid), format!(".{pid}.new")] {
            match unlinkat(&self.fd, name, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn name(pid: u32) -> String {
    format!("{pid}.json")
}

//! Where vector files may lie.

use std::path::{Path, PathBuf};

use super::AssetError;
use crate::profile::nearest;

/// The folders from which files may be read, links resolved: the profile's own first, then the asset-dirs.
#[derive(Debug, Clone)]
pub struct Places {
    roots: Vec<PathBuf>,
}

impl Places {
    /// `folder` is the profile's. Nothing but it is allowed until [`Places::add`].
    ///
    /// # Errors
    /// [`AssetError::NotAFolder`].
    pub fn new(folder: &Path) -> Result<Self, AssetError> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Ok(Self { roots: vec![canonical_folder(folder, &folder.to_string_lossy())?] })
    }

    /// Allows one more folder, relative to the profile's or absolute.
    ///
    /// # Errors
    /// [`AssetError::NotAFolder`].
    pub fn add(&mut self, typed: &str) -> Result<(), AssetError> {
        let folder = canonical_folder(&self.roots[0].join(typed), typed)?;
        if !self.roots.contains(&folder) {
            self.roots.push(folder);
        }
        Ok(())
    }

    /// The file that a path means: the first that exists, tried in the folders in order. An absolute path stands for
    /// itself. Links are followed, and what they lead to has to lie below one of the folders.
    ///
    /// # Errors
    /// [`AssetError::NotFound`], [`AssetError::Outside`], [`AssetError::Unreadable`].
    pub fn resolve(&self, typed: &str) -> Result<PathBuf, AssetError> {
        let mut trouble = None;
        for root in &self.roots {
            match root.join(typed).canonicalize() {
                Ok(file) if self.roots.iter().any(|r| file.starts_with(r)) => return Ok(file),
                Ok(file) => {
                    return Err(AssetError::Outside { got: typed.into(), file, roots: self.roots.clone() });
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => trouble = Some(AssetError::Unreadable { why: format!("\"{e}\"") }),
            }
        }
        Err(trouble.unwrap_or_else(|| {
            let suggestion = self.roots.iter().find_map(|root| similar(root, typed));
            AssetError::NotFound { got: typed.into(), suggestion, roots: self.roots.clone() }
        }))
    }
}

impl Places {
    /// Where a file is that need not be there: in the first of the folders that has its folder.
    ///
    /// # Errors
    /// [`AssetError::NotFound`] of its folder, and as [`Places::resolve`].
    pub fn resolve_new(&self, typed: &str) -> Result<PathBuf, AssetError> {
        match self.resolve(typed) {
            Err(AssetError::NotFound { .. }) => {}
            found => return found,
        }
        let path = Path::new(typed);
        let (folder, Some(name)) = (path.parent().unwrap_or(Path::new("")), path.file_name()) else {
            return Err(AssetError::NotRegular { kind: "a folder" });
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Ok(self.resolve(&folder.to_string_lossy())?.join(name))
    }
}

/// A file with a similar name beside the one that is missing, if that is below `root`.
fn similar(root: &Path, typed: &str) -> Option<String> {
    const MAX_ENTRIES: usize = 1000;
    let (folder, name) = (Path::new(typed).parent()?, Path::new(typed).file_name()?.to_str()?);
    let inside = root.join(folder).canonicalize().ok().filter(|f| f.starts_with(root))?;
    let entries = inside.read_dir().ok()?.take(MAX_ENTRIES).flatten().filter(|e| e.path().is_file());
    let mut names: Vec<_> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    let found = nearest(name, names.iter().map(String::as_str))?;
    Some(folder.join(found).to_string_lossy().into_owned())
}

fn canonical_folder(folder: &Path, typed: &str) -> Result<PathBuf, AssetError> {
    let bad = |why: String| AssetError::NotAFolder { got: typed.into(), why };
    let folder = folder.canonicalize().map_err(|e| bad(e.to_string()))?;
    if folder.is_dir() { Ok(folder) } else { Err(bad("it is a file".into())) }
}

//! A program or library with all it is linked with.

use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

use super::{Image, ImageError};

/// Folders that the loader searches by itself on common systems.
const SYSTEM: [&str; 8] = [
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
];

/// What was found from one file on.
#[derive(Debug)]
pub struct Scan {
    /// The file that was named, then all it needs, in the loader's order.
    pub images: Vec<Image>,
    /// Needed libraries that were not found.
    pub unresolved: Vec<String>,
    /// ggml backends that lie beside, loaded at run time (`libggml-cpu-*.so`).
    pub backends: Vec<PathBuf>,
}

impl Scan {
    /// Reads `path` and what it needs.
    pub fn of(path: &Path) -> Result<Scan, ImageError> {
        let mut scan = Scan { images: Vec::new(), unresolved: Vec::new(), backends: Vec::new() };
        let mut queue = VecDeque::from([Image::read(path)?]);
        let mut seen = BTreeSet::new();
        let inherited = queue[0].runpath.clone();
        while let Some(image) = queue.pop_front() {
            for name in &image.needed {
                if !seen.insert(name.clone()) {
                    continue;
                }
                let found = search(name, &image, &inherited).find_map(|p| Image::read(&p).ok());
                match found {
                    Some(found) => queue.push_back(found),
                    None => scan.unresolved.push(name.clone()),
                }
            }
            scan.images.push(image);
        }
        scan.backends = scan.folders().iter().flat_map(|f| backends(f)).collect();
        Ok(scan)
    }

    /// Adds a library that is loaded at run time rather than linked, with what it needs.
    pub fn join(&mut self, other: Scan) {
        for image in other.images {
            if !self.images.iter().any(|i| i.path == image.path) {
                self.images.push(image);
            }
        }
        self.backends.extend(other.backends);
        self.backends.sort();
        self.backends.dedup();
    }

    /// Gives the file that was named another name, where it was reached by a detour.
    pub fn rename_root(&mut self, path: &Path) {
        self.images[0].path = path.to_owned();
    }

    /// The file that was named.
    pub fn root(&self) -> &Image {
        &self.images[0]
    }

    /// The first file that exports `name`.
    pub fn defining(&self, name: &str) -> Option<&Image> {
        self.images.iter().find(|i| i.defined.contains(name))
    }

    /// The first file that has `name` inside without exporting it.
    pub fn hiding(&self, name: &str) -> Option<&Image> {
        self.images.iter().find(|i| i.inside.contains(name))
    }

    /// Folders of llama.cpp's own files.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let ours = |i: &&Image| i.defined.iter().any(|s| s.starts_with("ggml_backend_") || s == "llama_decode");
        self.images.iter().filter(ours).filter_map(|i| i.path.parent().map(Path::to_owned)).collect()
    }
}

/// Where the loader would look for `name`, and then the folder of the file that needs it.
fn search(name: &str, image: &Image, inherited: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    let env = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let env: Vec<PathBuf> = env.split(':').filter(|p| !p.is_empty()).map(PathBuf::from).collect();
    let beside = image.path.parent().map(Path::to_owned);
    let folders: Vec<PathBuf> = (image.runpath.iter().cloned())
        .chain(inherited.iter().cloned())
        .chain(env)
        .chain(SYSTEM.iter().map(PathBuf::from))
        .chain(beside)
        .map(|folder| folder.join(name))
        .filter(|file| file.is_file())
        .collect();
    folders.into_iter()
}

fn backends(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|p| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libggml-") && name.ends_with(".so") && !name.starts_with("libggml-base")
        })
        .collect();
    files.sort();
    files
}

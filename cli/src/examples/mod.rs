//! Labelled texts: read from files of strangers, checked, and split.
//!
//! A file that cannot be read is an error; a line that cannot is left out, named and counted. Nothing is guessed.

mod check;
mod problem;
mod read;
mod split;

use std::path::{Path, PathBuf};

pub use problem::{Kind, Problems};
pub use read::{Source, read};
pub use split::{Part, Split, split};

/// One text of one of two classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// What comes before the answer; empty where the text has no such part.
    pub prompt: String,
    /// The text, or the answer after the prompt.
    pub text: String,
    /// Whether it is of the class that a direction points to.
    pub positive: bool,
    /// What it has in common with others: they are never on both sides of a split.
    pub group: String,
    /// Where it came from.
    pub origin: Origin,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
}

/// What a file gave.
#[derive(Debug, Clone)]
pub struct Examples {
    /// In the order of the file; with `paired`, a positive one and its negative one take turns.
    pub all: Vec<Example>,
    /// Every positive text has its negative one.
    pub paired: bool,
    /// What the two classes are called.
    pub names: [String; 2],
    /// What was left out.
    pub problems: Problems,
    /// SHA-256 over the bytes of all files.
    pub sha256: String,
}

impl Examples {
    /// Examples that belong together: two where they are paired, else one.
    pub fn unit(&self) -> usize {
        if self.paired { 2 } else { 1 }
    }

    /// Leaves out the units (see [`Examples::unit`]) for which `bad` gives a reason for one of their texts.
    pub fn leave_out(&mut self, kind: Kind, bad: impl Fn(usize, &Example) -> Option<String>) {
        let unit = self.unit();
        let old = std::mem::take(&mut self.all);
        for (u, part) in old.chunks(unit).enumerate() {
            let found = part.iter().enumerate().find_map(|(i, e)| Some((e, bad(u * unit + i, e)?)));
            match found {
                Some((e, detail)) => self.problems.add(kind, &e.origin, detail),
                None => self.all.extend_from_slice(part),
            }
        }
    }

    /// Examples of each class: positive, negative.
    pub fn counts(&self) -> [usize; 2] {
        let positive = self.all.iter().filter(|e| e.positive).count();
        [positive, self.all.len() - positive]
    }
}

/// The name that files derived from this data get: the file's, without its ending.
pub fn stem(path: &Path) -> String {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = stem.chars().map(plain).take(48).collect();
    if name.is_empty() { "learned".into() } else { name }
}

//! How every stage reports trouble: complete lines `file:line:col key: what, got, allowed`, all of a file at once.

use std::fmt;
use std::sync::Arc;

/// A report holds at most this many errors; the rest is counted.
pub const MAX_ERRORS: usize = 100;

/// A position in a text, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
}

/// A value and where in the profile it was typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it begins.
    pub pos: Pos,
}

/// An error, and the place in the profile that has to change.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<E> {
    /// The profile, as its path was given.
    pub file: Arc<str>,
    /// The place in it; `None` if the file as a whole is meant.
    pub pos: Option<Pos>,
    /// The key, for example `steer.strength`; empty if the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub error: E,
}

impl<E> Located<E> {
    /// The same place with another error.
    pub fn map<F>(self, f: impl FnOnce(E) -> F) -> Located<F> {
        Located { file: self.file, pos: self.pos, key: self.key, error: f(self.error) }
    }
}

impl<E: fmt::Display> fmt::Display for Located<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Pos { line, col }) = self.pos {
            write!(f, ":{line}:{col}")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        write!(f, ": {}", self.error)
    }
}

/// All errors of one file, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors<E> {
    list: Vec<Located<E>>,
    omitted: usize,
}

impl<E> Errors<E> {
    /// The collected errors, or `Ok` if there are none.
    pub(crate) fn check(list: Vec<Located<E>>) -> Result<(), Self> {
        Self::check_with(list, 0)
    }

    /// The same with a number of errors that were counted and not collected.
    pub(crate) fn check_with(mut list: Vec<Located<E>>, more: usize) -> Result<(), Self> {
        if list.is_empty() {
            return Ok(());
        }
        list.sort_by_key(|e| e.pos);
        let omitted = list.len().saturating_sub(MAX_ERRORS) + more;
        list.truncate(MAX_ERRORS);
        Err(Self { list, omitted })
    }

    /// One error.
    pub(crate) fn one(error: Located<E>) -> Self {
        Self { list: vec![error], omitted: 0 }
    }

    /// The errors.
    pub fn iter(&self) -> std::slice::Iter<'_, Located<E>> {
        self.list.iter()
    }

    /// How many more there were than [`MAX_ERRORS`].
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Every error changed by `f`, the places kept.
    pub fn map<F>(self, mut f: impl FnMut(E) -> F) -> Errors<F> {
        let list = self.list.into_iter().map(|e| e.map(&mut f)).collect();
        Errors { list, omitted: self.omitted }
    }
}

impl<E> IntoIterator for Errors<E> {
    type Item = Located<E>;
    type IntoIter = std::vec::IntoIter<Located<E>>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, e) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{e}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n... and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for Errors<E> {}

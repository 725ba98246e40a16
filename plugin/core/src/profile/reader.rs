//! The file that is being read, and what was wrong with it so far.

use std::sync::Arc;

use super::error::ProfileError;
use super::text::Text;
use crate::report::{Located, MAX_ERRORS};

/// Collects the errors of one file.
pub(super) struct Reader<'a> {
    pub(super) file: Arc<str>,
    pub(super) text: Text<'a>,
    pub(super) errors: Vec<Located<ProfileError>>,
    /// Errors beyond those collected.
    pub(super) more: usize,
}

impl Reader<'_> {
    pub(super) fn fail(&mut self, at: usize, key: &str, error: ProfileError) {
        // A position costs time in the length of its line, so a hostile file gets no more of them than are shown.
        if self.errors.len() >= MAX_ERRORS {
            self.more += 1;
            return;
        }
        let pos = Some(self.text.pos(at));
        self.errors.push(Located { file: self.file.clone(), pos, key: key.to_owned(), error });
    }
}

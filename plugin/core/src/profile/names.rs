//! The names of rules: each once in a profile, whichever table it stands in.

use std::collections::HashMap;

use super::error::ProfileError;
use super::read::Section;
use crate::report::{Pos, Spanned};

/// Names so far, each with its first place.
#[derive(Default)]
pub(super) struct Names(HashMap<String, Pos>);

impl Names {
    /// The table's `name`, compared with all before it even where the rest of the table has errors.
    pub(super) fn take(&mut self, section: &mut Section<'_, '_, '_>) -> Option<Spanned<String>> {
        let name = section.name("name")?;
        let first = *self.0.entry(name.value.clone()).or_insert(name.pos);
        if first != name.pos
            && let Some(at) = section.get("name")
        {
            let error = ProfileError::DuplicateName { got: name.value.clone(), first_line: first.line };
            section.fail(at, "name", error);
        }
        Some(name)
    }
}

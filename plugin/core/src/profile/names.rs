//! Tables of rules, and the names of rules: each once in a profile, whichever table it stands in.

use std::collections::HashMap;

use super::error::ProfileError;
use super::read::Section;
use crate::asset::MAX_RULES;
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

/// All tables `[[key]]`, each read by `rule`; what cannot be read is reported and left out.
pub(super) fn rules<R>(
    top: &mut Section<'_, '_, '_>,
    key: &'static str,
    names: &mut Names,
    rule: impl Fn(&mut Section<'_, '_, '_>, &mut Names) -> Option<R>,
) -> Vec<R> {
    let tables = top.tables(key, MAX_RULES);
    let read = |(table, span)| rule(&mut Section::new(top.reader, key, table, span), names);
    tables.into_iter().filter_map(read).collect()
}

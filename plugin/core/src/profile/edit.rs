//! `[[edit]]`.

use toml::de::DeTable;

use super::names::Names;
use super::read::Section;
use super::reader::Reader;
use super::tokens;
use super::types::{EditRule, ModelHint};
use crate::asset::MAX_RULES;
use crate::report::Spanned;

/// All `[[edit]]` tables.
pub(super) fn rules(top: &mut Section<'_, '_, '_>, names: &mut Names) -> Vec<EditRule> {
    let tables = top.tables("edit", MAX_RULES);
    tables.into_iter().filter_map(|(table, span)| rule(top.reader, names, table, span)).collect()
}

fn rule<'t>(
    reader: &mut Reader<'_>,
    names: &mut Names,
    table: &'t DeTable<'t>,
    span: std::ops::Range<usize>,
) -> Option<EditRule> {
    let mut section = Section::new(reader, "edit", table, span);
    let pos = section.pos();
    ["name", "file"].iter().for_each(|key| section.require(key));
    let name = names.take(&mut section);
    let file = section.text("file");
    let strength = section.number_in("strength", -MAX_STRENGTH..=MAX_STRENGTH).unwrap_or(Spanned { value: 1.0, pos });
    let tokens = tokens::tokens(&mut section);
    let adjustable = section.bool("adjustable").unwrap_or(false);
    let model_hint = section.choice("model-hint", &[ModelHint::Check, ModelHint::Ignore]).unwrap_or(ModelHint::Check);
    Some(EditRule { pos, name: name?, file: file?, strength, tokens, adjustable, model_hint })
}

/// The norms of a file's matrices are bounded: times this, what they make of any activation is finite.
const MAX_STRENGTH: f32 = 1e3;

//! `[[edit]]`.

use super::names::Names;
use super::read::Section;
use super::tokens;
use super::types::{EditRule, ModelHint};
use crate::report::Spanned;

/// One `[[edit]]` table.
pub(super) fn rule(section: &mut Section<'_, '_, '_>, names: &mut Names) -> Option<EditRule> {
    let pos = section.pos();
    ["name", "file"].iter().for_each(|key| section.require(key));
    let name = names.take(section);
    let file = section.text("file");
    let strength = section.number_in("strength", -MAX_STRENGTH..=MAX_STRENGTH).unwrap_or(Spanned { value: 1.0, pos });
    let tokens = tokens::tokens(section);
    let adjustable = section.bool("adjustable").unwrap_or(false);
    let model_hint = section.choice("model-hint", &[ModelHint::Check, ModelHint::Ignore]).unwrap_or(ModelHint::Check);
    Some(EditRule { pos, name: name?, file: file?, strength, tokens, adjustable, model_hint })
}

/// The norms of a file's matrices are bounded: times this, what they make of any activation is finite.
const MAX_STRENGTH: f32 = 1e3;

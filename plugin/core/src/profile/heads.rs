//! `[[heads]]`.

use super::error::ProfileError;
use super::names::Names;
use super::read::{Section, Value};
use super::tokens;
use super::types::{Head, HeadsRule};
use super::value::describe;
use crate::asset::MAX_HEADS;
use crate::report::Spanned;

/// One `[[heads]]` table.
pub(super) fn rule(section: &mut Section<'_, '_, '_>, names: &mut Names) -> Option<HeadsRule> {
    let pos = section.pos();
    ["name", "scale", "heads"].iter().for_each(|key| section.require(key));
    let name = names.take(section);
    let scale = section.number_in("scale", -MAX_SCALE..=MAX_SCALE);
    let adjustable = section.bool("adjustable").unwrap_or(false);
    let tokens = tokens::tokens(section);
    let heads = heads(section);
    Some(HeadsRule { pos, name: name?, scale: scale?, heads: heads?, tokens, adjustable })
}

/// What a head may be multiplied by: far beyond any use, and finite times anything that a model computes.
const MAX_SCALE: f32 = 1e3;

fn heads(section: &mut Section<'_, '_, '_>) -> Option<Vec<Spanned<Head>>> {
    let at = section.get("heads")?;
    let Some(list) = at.get_ref().as_array() else { return section.wrong_type(at, "heads") };
    if list.is_empty() {
        return bad(section, at, "the list is empty");
    }
    if list.len() > MAX_HEADS {
        return bad(section, &list[MAX_HEADS], "too many heads");
    }
    let mut heads: Vec<Spanned<Head>> = vec![];
    for item in list {
        let Some(head) = head(section, item) else { continue };
        if heads.iter().any(|known| known.value == head.value) {
            bad::<()>(section, item, "named twice");
        }
        heads.push(head);
    }
    Some(heads)
}

/// `14.3`: a layer and a head, both from 0.
fn head(section: &mut Section<'_, '_, '_>, at: &Value<'_>) -> Option<Spanned<Head>> {
    // 14.3 as a number would be a mistake that shows only at "14.10".
    let Some(text) = at.get_ref().as_str() else { return section.wrong_type(at, "heads") };
    let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let found =
        text.split_once('.').and_then(|(layer, head)| Some(Head { layer: number(layer)?, head: number(head)? }));
    match found {
        Some(value) => Some(Spanned { value, pos: section.reader.text.pos(at.span().start) }),
        None => bad(section, at, "not a head"),
    }
}

fn bad<T>(section: &mut Section<'_, '_, '_>, at: &Value<'_>, why: &'static str) -> Option<T> {
    let error = ProfileError::BadHeads { why, got: describe(at.get_ref()), allowed: section.allowed("heads") };
    section.fail(at, "heads", error);
    None
}

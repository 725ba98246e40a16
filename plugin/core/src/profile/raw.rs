//! `shape` and `rows`: what a file does not say about itself.

use toml::de::DeValue;

use super::error::ProfileError;
use super::layers::LayerItem;
use super::read::{Section, Value};
use super::value::describe;
use crate::asset::{MAX_TENSORS, MAX_WIDTH, Raw};

pub(super) fn raw(section: &mut Section<'_, '_, '_>) -> Raw {
    Raw { shape: shape(section), rows: rows(section) }
}

/// `[43, 4096]`
fn shape(section: &mut Section<'_, '_, '_>) -> Option<(u32, u32)> {
    let at = section.get("shape")?;
    let Some([rows, width]) = at.get_ref().as_array().map(|list| &list[..]) else {
        return section.wrong_type(at, "shape");
    };
    let mut number = |at: &Value<'_>, max: u64| {
        let Some(int) = at.get_ref().as_integer() else { return section.wrong_type(at, "shape") };
        let found = u32::from_str_radix(int.as_str(), int.radix()).ok().filter(|n| (1..=max).contains(&u64::from(*n)));
        found.or_else(|| section.out_of_range(at, "shape", int.as_str()))
    };
    Some((number(rows, MAX_TENSORS)?, number(width, MAX_WIDTH)?))
}

/// `"0..42"`, `[14]` or `["1..3", 7]`, each layer once.
fn rows(section: &mut Section<'_, '_, '_>) -> Option<Vec<u32>> {
    let at = section.get("rows")?;
    let items: Vec<&Value<'_>> = match at.get_ref() {
        DeValue::Array(list) => list.iter().collect(),
        _ => vec![at],
    };
    let mut layers = vec![];
    for item in items {
        let found = match item.get_ref() {
            DeValue::Integer(int) => u32::from_str_radix(int.as_str(), int.radix()).ok().map(LayerItem::Layer),
            DeValue::String(text) => LayerItem::parse(text).ok(),
            _ => return section.wrong_type(item, "rows"),
        };
        let range = match found {
            Some(LayerItem::Layer(layer)) => layer..=layer,
            Some(LayerItem::Range(from, to)) if u64::from(to - from) < MAX_TENSORS => from..=to,
            _ => return bad(section, item, "neither a layer nor a range of layers"),
        };
        for layer in range {
            if layers.len() as u64 >= MAX_TENSORS {
                return bad(section, item, "too many layers");
            }
            if layers.contains(&layer) {
                return bad(section, item, "a layer twice");
            }
            layers.push(layer);
        }
    }
    if layers.is_empty() { bad(section, at, "the list is empty") } else { Some(layers) }
}

fn bad<T>(section: &mut Section<'_, '_, '_>, at: &Value<'_>, why: &'static str) -> Option<T> {
    let error = ProfileError::BadLayers { why, got: describe(at.get_ref()), allowed: section.allowed("rows") };
    section.fail(at, "rows", error);
    None
}

//! `[contrast]`.

use super::error::ProfileError;
use super::layers::Layers;
use super::read::{Section, Value};
use super::steer::layers;
use super::text::shorten;
use super::types::ContrastTable;
use crate::contrast::{Contrast, Counterfactual, Weights, Without};
use crate::invariance::MarkerTexts;
use crate::report::Spanned;

/// The table, if it is there.
pub(super) fn table(s: &mut Section<'_, '_, '_>) -> Option<ContrastTable> {
    s.require("without");
    let pos = s.pos();
    let alpha = s.number_in("alpha", 0.0..=10.0).map_or(1.0, |a| a.value);
    let plausibility = s.number_in("plausibility", 0.0..=1.0).map_or(0.1, |p| p.value);
    let in_text = s.bool("markers-in-text");
    let at = s.get("without")?;
    let Some(inner) = at.get_ref().as_table() else {
        s.choice("without", &[()])?;
        if in_text.is_some() {
            s.fail_here("markers-in-text", ProfileError::NoMarkers { key: "without" });
        }
        let contrast = Contrast { alpha, plausibility, without: Without::Image, attention: None };
        return Some(ContrastTable { pos, contrast, layers: None });
    };
    let mut inner = Section::new(s.reader, "contrast.without", inner, at.span());
    let (weights, layers) = attention(&mut inner).map_or((None, None), |(weights, layers)| (weights, Some(layers)));
    let attention = weights.map(|weights| Counterfactual { weights, layers: vec![] });
    let whole =
        inner.get("attention").is_some() && ["open", "close", "instead"].iter().all(|key| inner.get(key).is_none());
    let without = if whole { Without::Nothing } else { contexts(&mut inner, in_text)? };
    if whole && in_text.is_some() {
        s.fail_here("markers-in-text", ProfileError::NoMarkers { key: "without" });
    }
    Some(ContrastTable { pos, contrast: Contrast { alpha, plausibility, without, attention }, layers })
}

/// What stands around contexts, and in their place.
fn contexts(inner: &mut Section<'_, '_, '_>, in_text: Option<bool>) -> Option<Without> {
    inner.require("open");
    inner.require("close");
    let (open, close) = (inner.text("open")?.value, inner.text("close")?.value);
    if open == close {
        inner.fail_whole(ProfileError::SameMarkers);
        return None;
    }
    let instead = match inner.get("instead") {
        None => None,
        Some(at) => Some(instead(inner, at, [&open, &close])?),
    };
    let markers = MarkerTexts { open, close, in_text: in_text.unwrap_or(false) };
    Some(Without::Contexts { markers, instead })
}

/// What stands in the place of attention weights, and at which layers; `None` if nothing does.
fn attention(s: &mut Section<'_, '_, '_>) -> Option<(Option<Weights>, Spanned<Layers>)> {
    let typed = s.get("layers");
    if s.get("attention").is_none() {
        if let Some(at) = typed {
            s.fail(at, "layers", ProfileError::LayersOfNothing);
        }
        return None;
    }
    let all = Spanned { value: Layers::All, pos: s.pos() };
    let layers = if typed.is_some() { layers(s) } else { None };
    let options = [Weights::Uniform, Weights::Random, Weights::Reversed, Weights::Shuffled];
    Some((s.choice("attention", &options), layers.unwrap_or(all)))
}

/// Most bytes of what stands in the place of a context.
const MAX_INSTEAD: usize = 4096;

/// What stands in the place of a context. It can have line breaks, unlike most texts.
fn instead(s: &mut Section<'_, '_, '_>, at: &Value<'_>, markers: [&str; 2]) -> Option<String> {
    let Some(text) = at.get_ref().as_str() else { return s.wrong_type(at, "instead") };
    if text.is_empty() {
        s.fail(at, "instead", ProfileError::NothingInstead);
        return None;
    }
    if let Some(marker) = markers.into_iter().find(|marker| text.contains(*marker)) {
        s.fail(at, "instead", ProfileError::MarkerInstead { got: shorten(text), marker: marker.to_owned() });
        return None;
    }
    if text.len() > MAX_INSTEAD || text.contains('\0') {
        return s.bad_text(at, "instead", text);
    }
    Some(text.to_owned())
}

//! `[[steer]]`.

use toml::de::DeValue;

use super::error::ProfileError;
use super::layers::{LayerItem, Layers};
use super::names::Names;
use super::raw;
use super::read::{Section, Value};
use super::tokens;
use super::types::{ModelHint, Operator, SteerRule, Unit};
use super::value::describe;
use super::when;
use crate::asset::MAX_CONDITIONS;
use crate::plan::Site;
use crate::report::Spanned;

/// One `[[steer]]` table.
pub(super) fn rule(section: &mut Section<'_, '_, '_>, names: &mut Names) -> Option<SteerRule> {
    let pos = section.pos();
    section.require("name");
    let name = names.take(section);
    let (operator, strength) = operator(section);
    section.require(operator.file_key());
    let direction = section.text(operator.file_key());
    let plane = section.text("plane");
    let debias = section.text("debias");
    let unit = section.choice("unit", &[Unit::Direction, Unit::Norm]).unwrap_or(Unit::Direction);
    if unit == Unit::Norm
        && let Some(at) = section.get("debias")
    {
        section.fail(at, "debias", ProfileError::NormDebias);
    }
    let raw = raw::raw(section);
    let layers = layers(section).unwrap_or(Spanned { value: Layers::All, pos });
    let site = section.choice("site", SITES).unwrap_or(Site::Residual);
    let tokens = tokens::tokens(section);
    let adjustable = section.bool("adjustable").unwrap_or(false);
    if adjustable && let Some(at) = section.get("debias") {
        section.fail(at, "debias", ProfileError::AdjustableDebias);
    }
    let mut left = MAX_CONDITIONS;
    let when = section.get("when").and_then(|at| when::condition(section.reader, at, &mut left));
    let model_hint = section.choice("model-hint", &[ModelHint::Check, ModelHint::Ignore]).unwrap_or(ModelHint::Check);
    Some(SteerRule {
        pos,
        name: name?,
        direction: direction?,
        plane,
        debias,
        unit,
        raw,
        operator,
        strength,
        layers,
        site,
        tokens,
        adjustable,
        when,
        model_hint,
    })
}

/// What bounds and targets may be, as magnitudes: beyond, squares of activations would not be finite.
const MAX_BOUND: f32 = 1e12;

/// The sites of a rule, in the order of the table of keys.
const SITES: &[Site] = &[Site::Residual, Site::AttnOut, Site::FfnOut, Site::FinalNorm];

/// Keys that not every operator has.
const KEYS: [(&str, &[&str]); 14] = [
    ("direction", &["add", "project", "clamp", "rotate"]),
    ("eraser", &["affine"]),
    ("feature", &["sae"]),
    ("strength", &["add"]),
    ("fraction", &["project", "affine"]),
    ("min", &["clamp"]),
    ("max", &["clamp"]),
    ("plane", &["rotate"]),
    ("debias", &["add"]),
    ("unit", &["add"]),
    ("shape", &["add", "project", "clamp", "rotate"]),
    ("rows", &["add", "project", "clamp", "rotate"]),
    ("angle", &["rotate"]),
    ("target", &["sae"]),
];

/// The operator with its own keys, and its dose.
fn operator(section: &mut Section<'_, '_, '_>) -> (Operator, Spanned<f32>) {
    const CLAMP: Operator = Operator::Clamp { min: None, max: None };
    const SAE: Operator = Operator::Sae { target: 0.0 };
    const ROTATE: Operator = Operator::Rotate { angle: 0.0 };
    let typed = section.choice("operator", &[Operator::Add, Operator::Project, CLAMP, ROTATE, Operator::Affine, SAE]);
    // With an operator that cannot be read, nobody knows which keys belong to it.
    let known = typed.is_some() || section.get("operator").is_none();
    let operator = typed.unwrap_or(Operator::Add);
    for (got, allowed) in KEYS {
        if let Some(at) = section.get(got)
            && known
            && !allowed.contains(&operator.name())
        {
            let allowed = allowed.join("\" or \"");
            section.fail(at, got, ProfileError::KeyOfOperator { got, operator: operator.name(), allowed });
        }
    }
    let one = Spanned { value: 1.0, pos: section.pos() };
    let strength = section.number("strength");
    let fraction = section.number_in("fraction", 0.0..=1.0);
    let (min, max) =
        (section.number_in("min", -MAX_BOUND..=MAX_BOUND), section.number_in("max", -MAX_BOUND..=MAX_BOUND));
    let angle = section.number_in("angle", -360.0..=360.0);
    let target = section.number_in("target", 0.0..=MAX_BOUND);
    match operator {
        Operator::Add | Operator::Heads { .. } | Operator::Edit | Operator::Calibrate(_) => {
            (operator, strength.unwrap_or(one))
        }
        Operator::Project | Operator::Affine => (operator, fraction.unwrap_or(one)),
        Operator::Sae { .. } => {
            section.require("target");
            (Operator::Sae { target: target.map_or(0.0, |t| t.value) }, one)
        }
        Operator::Clamp { .. } => {
            let (min, max) = (min.map(|m| m.value), max.map(|m| m.value));
            bounds(section, min, max);
            (Operator::Clamp { min, max }, one)
        }
        Operator::Rotate { .. } => {
            section.require("plane");
            section.require("angle");
            (Operator::Rotate { angle: angle.map_or(0.0, |a| a.value) }, one)
        }
    }
}

fn bounds(section: &mut Section<'_, '_, '_>, min: Option<f32>, max: Option<f32>) {
    match (min, max) {
        (Some(min), Some(max)) if min > max => {
            if let Some(at) = section.get("min") {
                section.fail(at, "min", ProfileError::BoundsCross { min, max });
            }
        }
        (None, None) if section.get("min").is_none() && section.get("max").is_none() => {
            section.fail_here("min", ProfileError::NoBounds);
        }
        _ => {}
    }
}

pub(super) fn layers(section: &mut Section<'_, '_, '_>) -> Option<Spanned<Layers>> {
    let at = section.get("layers")?;
    let pos = section.reader.text.pos(at.span().start);
    let value = match at.get_ref() {
        DeValue::String(text) if text == "all" => Layers::All,
        DeValue::Array(list) if list.is_empty() => return bad(section, at, "the list is empty"),
        DeValue::Array(list) => Layers::Some(list.iter().filter_map(|v| item(section, v)).collect()),
        _ => Layers::Some(vec![item(section, at)?]),
    };
    Some(Spanned { value, pos })
}

fn item(section: &mut Section<'_, '_, '_>, at: &Value<'_>) -> Option<LayerItem> {
    match at.get_ref() {
        DeValue::Integer(int) => match u32::from_str_radix(int.as_str(), int.radix()) {
            Ok(layer) => Some(LayerItem::Layer(layer)),
            Err(_) => bad(section, at, "not a layer number"),
        },
        DeValue::String(text) => LayerItem::parse(text).map_err(|why| bad::<()>(section, at, why)).ok(),
        _ => section.wrong_type(at, "layers"),
    }
}

fn bad<T>(section: &mut Section<'_, '_, '_>, at: &Value<'_>, why: &'static str) -> Option<T> {
    let error = ProfileError::BadLayers { why, got: describe(at.get_ref()), allowed: section.allowed("layers") };
    section.fail(at, "layers", error);
    None
}

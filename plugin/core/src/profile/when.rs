//! Reading `when`.

use toml::de::DeValue;

use super::condition::{Ask, At, Condition, Reading};
use super::error::ProfileError;
use super::read::{Section, Value};
use super::reader::Reader;
use super::value::describe;
use crate::asset::MAX_CONDITIONS;

const PATH: &str = "steer.when";

/// What a table of a condition is; it has exactly one of these keys.
const FORMS: &[&str] = &["similar-to", "probe", "all", "any", "not"];

/// The condition of a rule; `left` tables may still be read for it.
pub(super) fn condition(reader: &mut Reader<'_>, at: &Value<'_>, left: &mut usize) -> Option<Condition> {
    let DeValue::Table(table) = at.get_ref() else {
        let got = describe(at.get_ref());
        reader.fail(at.span().start, PATH, ProfileError::WrongType { got, allowed: super::keys::allowed(PATH) });
        return None;
    };
    let Some(rest) = left.checked_sub(1) else {
        reader.fail(at.span().start, PATH, ProfileError::TooManyConditions { max: MAX_CONDITIONS });
        return None;
    };
    *left = rest;
    let mut section = Section::new(reader, PATH, table, at.span());
    let found: Vec<&'static str> = FORMS.iter().copied().filter(|form| section.get(form).is_some()).collect();
    let &[form] = &found[..] else {
        let got = if found.is_empty() { "none of them".to_owned() } else { found.join(" and ") };
        section.fail_whole(ProfileError::NotOneForm { got, allowed: FORMS.join(", ") });
        return None;
    };
    let keys: &[&str] = match form {
        "similar-to" => &["layer", "above", "at", "below"],
        "probe" => &["layer", "above", "soft", "at", "below"],
        _ => &[],
    };
    for got in ["layer", "above", "soft", "at", "below"] {
        if let Some(found) = section.get(got)
            && !keys.contains(&got)
        {
            let allowed = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
            section.fail(found, got, ProfileError::KeyOfCondition { got, form, allowed });
        }
    }
    let value = section.get(form)?;
    match form {
        "all" => parts(&mut section, value, form, left).map(Condition::All),
        "any" => parts(&mut section, value, form, left).map(Condition::Any),
        "not" => condition(section.reader, value, left).map(|part| Condition::Not(Box::new(part))),
        _ => ask(&mut section, form).map(Condition::Ask),
    }
}

fn parts(
    section: &mut Section<'_, '_, '_>,
    value: &Value<'_>,
    form: &'static str,
    left: &mut usize,
) -> Option<Vec<Condition>> {
    match value.get_ref() {
        DeValue::Array(list) if !list.is_empty() => {
            let parts: Vec<_> = list.iter().map(|part| condition(section.reader, part, left)).collect();
            parts.into_iter().collect()
        }
        _ => section.wrong_type(value, form),
    }
}

fn ask(section: &mut Section<'_, '_, '_>, form: &'static str) -> Option<Ask> {
    let pos = section.pos();
    section.require("layer");
    let (file, layer) = (section.text(form), section.layer("layer"));
    let reading = if form == "similar-to" {
        section.require("above");
        section.number_between("above", -1.0, 1.0).map(|above| Reading::Similarity { above })
    } else if section.bool("soft") == Some(true) {
        if let Some(above) = section.get("above") {
            section.fail(above, "above", ProfileError::SoftAbove);
        }
        Some(Reading::Soft)
    } else {
        section.require("above");
        section.number_between("above", 0.0, 1.0).map(|above| Reading::Probability { above })
    };
    let at = at(section, form, reading);
    Some(Ask { pos, file: file?, layer: layer?, reading: reading?, at: at? })
}

/// On which row; `None` if something about it was reported.
fn at(section: &mut Section<'_, '_, '_>, form: &str, reading: Option<Reading>) -> Option<At> {
    let typed = section.get("at").is_some();
    let at = section.choice("at", &[At::Row, At::Prompt { below: None }]);
    let Some(key) = section.get("below") else { return if typed { at } else { Some(At::Row) } };
    let low = if form == "similar-to" { -1.0 } else { 0.0 };
    let below = section.number_between("below", low, 1.0);
    if at.is_none_or(|at| at == At::Row) {
        if at.is_some() || !typed {
            section.fail(key, "below", ProfileError::BelowOfRow);
        }
        return None;
    }
    match (reading?, below?) {
        (Reading::Soft, _) => section.fail(key, "below", ProfileError::SoftBelow),
        (Reading::Similarity { above } | Reading::Probability { above }, below) if below >= above => {
            section.fail(key, "below", ProfileError::ThresholdsCross { above, below });
        }
        (_, below) => return Some(At::Prompt { below: Some(below) }),
    }
    None
}

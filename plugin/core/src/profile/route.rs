//! `[[route]]`.

use toml::de::DeValue;

use super::error::ProfileError;
use super::read::{Section, Value};
use super::types::Route;
use crate::asset::MAX_ROUTES;

/// All `[[route]]` tables.
pub(super) fn routes<'t>(top: &mut Section<'_, '_, 't>) -> Vec<Route> {
    let Some(at) = top.get("route") else { return vec![] };
    let list = at.get_ref().as_array();
    let Some(tables) = list.filter(|list| list.iter().all(|v| v.get_ref().is_table())) else {
        return top.wrong_type(at, "route").unwrap_or_default();
    };
    if tables.len() > MAX_ROUTES {
        let error = ProfileError::TooManyRoutes { got: tables.len(), max: MAX_ROUTES };
        top.fail(&tables[MAX_ROUTES], "route", error);
    }
    tables.iter().take(MAX_ROUTES).filter_map(|table| route(top, table)).collect()
}

fn route<'t>(top: &mut Section<'_, '_, 't>, at: &'t Value<'t>) -> Option<Route> {
    let DeValue::Table(table) = at.get_ref() else { return None };
    let mut section = Section::new(top.reader, "route", table, at.span());
    let pos = section.pos();
    section.require("when");
    let target = section.name("use");
    let when = section.get("when")?;
    let Some(inner) = when.get_ref().as_table() else { return section.wrong_type(when, "when") };
    let mut when = Section::new(section.reader, "route.when", inner, when.span());
    when.require("text");
    Some(Route { pos, text: when.text("text")?, target })
}

//! From text to [`Profile`].

use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::calibrate;
use super::contrast;
use super::edit;
use super::error::ProfileError;
use super::heads;
use super::invariance;
use super::names::{Names, rules};
use super::read::Section;
use super::reader::Reader;
use super::route;
use super::steer;
use super::text::{Text, shorten};
use super::types::{CachePolicy, ModelGuard, OnError, Profile, Reload, Requests, Runtime};
use super::value::is_name;
use crate::report::{Errors, MAX_ERRORS};

/// Most plans that one graph may be asked to hold.
const MAX_PLANS: u32 = 16;

impl Profile {
    /// Reads a profile's text. `file` is the path as messages shall show it; its name is the default of `name`.
    ///
    /// # Errors
    /// All errors of the text at once, in the order of its lines.
    pub fn parse(text: &str, file: &str) -> Result<Self, Errors<ProfileError>> {
        let (root, syntax) = DeTable::parse_recoverable(text);
        let mut reader = Reader { file: Arc::from(file), text: Text::new(text), errors: vec![], more: 0 };
        let profile = top(&mut reader, root.get_ref(), file);
        if !syntax.is_empty() {
            after_syntax_errors(&mut reader, &syntax);
        }
        Errors::check_with(reader.errors, reader.more)?;
        Ok(profile)
    }
}

fn top(reader: &mut Reader<'_>, root: &DeTable<'_>, file: &str) -> Profile {
    let file_name = reader.file.clone();
    let mut top = Section::new(reader, "", root, 0..0);
    top.require("schema");
    schema(&mut top);
    let name = top.name("name").map_or_else(|| name_of(file), |n| n.value);
    let description = top.text("description").map(|d| d.value);
    let model = table(&mut top, "model", |s| ModelGuard {
        arch: s.text("arch"),
        embedding_length: s.count("embedding-length"),
        block_count: s.count("block-count"),
        embeddings: s.bool("embeddings").unwrap_or(false),
    });
    let runtime = table(&mut top, "runtime", |s| Runtime {
        asset_dirs: s.texts("asset-dirs").unwrap_or_default(),
        on_error: s.choice("on-error", &[OnError::Refuse, OnError::Bypass]).unwrap_or_default(),
        reload: s.choice("reload", &[Reload::Watch, Reload::Off]).unwrap_or_default(),
        cache: s.choice("cache", &[CachePolicy::Exact, CachePolicy::Keep]).unwrap_or_default(),
        max_plans: s.count_up_to("max-plans", MAX_PLANS),
    });
    let requests = table(&mut top, "requests", |s| Requests { choose: s.names("choose").unwrap_or_default() });
    let routes = route::routes(&mut top);
    let invariance = table(&mut top, "invariance", invariance::table);
    let contrast = table(&mut top, "contrast", contrast::table);
    let mut names = Names::default();
    let steer = rules(&mut top, "steer", &mut names, steer::rule);
    let heads = rules(&mut top, "heads", &mut names, heads::rule);
    let edits = rules(&mut top, "edit", &mut names, edit::rule);
    let known = (contrast.is_some() || top.get("contrast").is_none()).then_some(contrast.as_ref());
    let calibrate = rules(&mut top, "calibrate", &mut names, |s, names| calibrate::rule(s, names, known));
    let file = file_name;
    Profile {
        file,
        name,
        description,
        model,
        runtime,
        requests,
        routes,
        invariance,
        contrast,
        steer,
        heads,
        edits,
        calibrate,
    }
}

fn schema(top: &mut Section<'_, '_, '_>) {
    let Some(at) = top.get("schema") else { return };
    match at.get_ref() {
        DeValue::Integer(int) if int.as_str() == "1" => {}
        DeValue::Integer(int) => {
            let (got, allowed) = (shorten(int.as_str()), top.allowed("schema"));
            top.fail(at, "schema", ProfileError::OutOfRange { got, allowed });
        }
        _ => top.wrong_type(at, "schema").unwrap_or_default(),
    }
}

fn table<T: Default>(
    top: &mut Section<'_, '_, '_>,
    name: &'static str,
    read: impl FnOnce(&mut Section<'_, '_, '_>) -> T,
) -> T {
    let Some(at) = top.get(name) else { return T::default() };
    let Some(inner) = at.get_ref().as_table() else { return top.wrong_type(at, name).unwrap_or_default() };
    read(&mut Section::new(top.reader, name, inner, at.span()))
}

/// The file's name without its ending, if that can be a name.
fn name_of(file: &str) -> String {
    let stem = Path::new(file).file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    if is_name(stem) { stem.to_owned() } else { "profile".to_owned() }
}

/// Adds the syntax errors, and drops what may only be their consequence: keys that seem to be missing, and anything
/// on a line that could not be read.
fn after_syntax_errors(reader: &mut Reader<'_>, syntax: &[toml::de::Error]) {
    let found = std::mem::take(&mut reader.errors);
    reader.more += syntax.len().saturating_sub(MAX_ERRORS);
    for error in syntax.iter().take(MAX_ERRORS) {
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        let at = error.span().map_or(0, |s| s.start);
        let got = shorten(reader.text.line(at));
        reader.fail(at, "", ProfileError::Syntax { got, message });
    }
    let broken: Vec<_> = reader.errors.iter().filter_map(|e| e.pos.map(|p| p.line)).collect();
    let stands = |line: u32| !broken.contains(&line);
    reader.errors.extend(
        found
            .into_iter()
            .filter(|e| !matches!(e.error, ProfileError::Missing { .. }) && e.pos.is_some_and(|p| stands(p.line))),
    );
}

//! The text of `evenkeel explain KEY`.

use super::key::Kind;
use super::keys::{KEYS, find};
use super::suggest::nearest;

/// No such key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The language does not have this key.
    #[error("{key}: no such key{}, allowed: {}", hint(.suggestion), paths())]
    Unknown {
        /// What was asked for.
        key: String,
        /// The key that was probably meant.
        suggestion: Option<&'static str>,
    },
}

fn hint(suggestion: &Option<&'static str>) -> String {
    suggestion.map_or(String::new(), |s| format!(" (did you mean {s}?)"))
}

fn paths() -> String {
    KEYS.iter().map(|k| k.path).collect::<Vec<_>>().join(", ")
}

/// What is known about a key, several lines without a final newline.
///
/// `path` is table and key (`steer.strength`) or the key alone (`strength`): that of `[[steer]]`, or of the only table that
/// has it.
///
/// # Errors
/// If there is no such key; the message has all keys.
pub fn explain(path: &str) -> Result<String, ExplainError> {
    let path = path.trim_matches(['[', ']']);
    let by_name = || {
        let mut all = KEYS.iter().filter(|k| k.name() == path);
        let only = all.next().filter(|_| all.next().is_none());
        find(&format!("steer.{path}")).or(only)
    };
    let Some(key) = find(path).or_else(by_name) else {
        let suggestion =
            nearest(path, KEYS.iter().map(|k| k.path)).or_else(|| nearest(path, KEYS.iter().map(|k| k.name())));
        return Err(ExplainError::Unknown { key: path.into(), suggestion });
    };
    let kind = match key.kind {
        Kind::Table => "table",
        Kind::Tables => "table, repeated",
        Kind::Text => "text",
        Kind::Texts => "list of texts",
        Kind::List => "list of numbers",
        Kind::Integer => "whole number",
        Kind::Number => "number",
        Kind::Bool => "true or false",
        Kind::Layers => "number, text or list",
    };
    let mut text = format!("{}\n  {}\n  type:    {kind}\n", key.path, key.doc);
    if !key.unit.is_empty() {
        text += &format!("  unit:    {}\n", key.unit);
    }
    text += &format!("  allowed: {}\n  default: {}", key.allowed, key.default);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_explained() {
        for key in KEYS {
            let text = explain(key.path).unwrap();
            assert!(text.starts_with(key.path) && text.contains(key.doc), "{text}");
        }
        assert_eq!(explain("strength"), explain("steer.strength"));
        assert_eq!(explain("[[steer]]"), explain("steer"));
    }

    #[test]
    fn others_are_refused_with_a_suggestion() {
        assert!(explain("strenght").unwrap_err().to_string().contains("did you mean strength?"));
        assert!(matches!(explain("zebra"), Err(ExplainError::Unknown { suggestion: None, .. })));
    }
}

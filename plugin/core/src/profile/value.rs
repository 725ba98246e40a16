//! What a value is, in words.

use toml::de::DeValue;

use super::text::shorten;

/// Whether a text can be a name.
pub(super) fn is_name(text: &str) -> bool {
    let ok = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&text.chars().count()) && text.chars().all(ok)
}

/// A value and its type, for a message.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(s) => format!("the text {:?}", shorten(s)),
        DeValue::Integer(i) => format!("the number {}", shorten(i.as_str())),
        DeValue::Float(f) => format!("the number {}", shorten(f.as_str())),
        DeValue::Boolean(b) => format!("{b}"),
        DeValue::Datetime(d) => format!("the date {d}"),
        DeValue::Array(a) if a.iter().all(|v| v.get_ref().is_table()) && !a.is_empty() => "a list of tables".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

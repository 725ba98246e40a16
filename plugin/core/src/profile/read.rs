//! Reading typed values from TOML tables; every trouble is noted and reading goes on.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::ProfileError;
use super::keys;
use super::reader::Reader;
use super::suggest::nearest;
use super::text::shorten;
use super::value::{describe, is_name};
use crate::report::{MAX_ERRORS, Pos, Spanned};

/// One table of the file.
pub(super) struct Section<'r, 'a, 't> {
    pub(super) reader: &'r mut Reader<'a>,
    /// Its name in [`keys::KEYS`]; empty for the top of the file.
    path: &'static str,
    table: &'t DeTable<'t>,
    span: Range<usize>,
}

/// Longest text of a profile in bytes: that of a path.
const MAX_TEXT: usize = 4096;

pub(super) type Value<'t> = toml::Spanned<DeValue<'t>>;

impl<'r, 'a, 't> Section<'r, 'a, 't> {
    /// Begins a table; unknown keys in it are noted at once.
    pub(super) fn new(
        reader: &'r mut Reader<'a>,
        path: &'static str,
        table: &'t DeTable<'t>,
        span: Range<usize>,
    ) -> Self {
        let mut section = Self { reader, path, table, span };
        section.unknown_keys();
        section
    }

    fn unknown_keys(&mut self) {
        let names = keys::names_in(self.path);
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if names.contains(&name) {
                continue;
            }
            // Looking for a similar key takes time, which a hostile file could multiply.
            if self.reader.errors.len() >= MAX_ERRORS {
                self.reader.more += 1;
                continue;
            }
            let (got, path) = (shorten(name), self.full(&shorten(name)));
            let allowed = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            let suggestion = nearest(name, names.iter().copied());
            self.reader.fail(key.span().start, &path, ProfileError::UnknownKey { got, suggestion, allowed });
        }
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn pos(&self) -> Pos {
        self.reader.text.pos(self.span.start)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'t Value<'t>> {
        self.table.get(name)
    }

    pub(super) fn allowed(&self, name: &str) -> &'static str {
        keys::allowed(&self.full(name))
    }

    pub(super) fn fail(&mut self, at: &Value<'_>, name: &str, error: ProfileError) {
        self.reader.fail(at.span().start, &self.full(name), error);
    }

    fn spanned<T>(&self, at: &Value<'_>, value: T) -> Spanned<T> {
        Spanned { value, pos: self.reader.text.pos(at.span().start) }
    }

    pub(super) fn wrong_type<T>(&mut self, at: &Value<'_>, name: &str) -> Option<T> {
        let error = ProfileError::WrongType { got: describe(at.get_ref()), allowed: self.allowed(name) };
        self.fail(at, name, error);
        None
    }

    pub(super) fn out_of_range<T>(&mut self, at: &Value<'_>, name: &str, got: &str) -> Option<T> {
        let error = ProfileError::OutOfRange { got: shorten(got), allowed: self.allowed(name) };
        self.fail(at, name, error);
        None
    }

    /// A finite number between two others.
    pub(super) fn number_between(&mut self, name: &str, low: f32, high: f32) -> Option<f32> {
        let found = self.number(name)?.value;
        if low < found && found < high {
            return Some(found);
        }
        let at = self.get(name)?;
        self.out_of_range(at, name, &found.to_string())
    }

    /// A layer's number, from 0.
    pub(super) fn layer(&mut self, name: &str) -> Option<Spanned<u32>> {
        let at = self.get(name)?;
        let Some(int) = at.get_ref().as_integer() else { return self.wrong_type(at, name) };
        match u32::from_str_radix(int.as_str(), int.radix()) {
            Ok(n) => Some(self.spanned(at, n)),
            Err(_) => self.out_of_range(at, name, int.as_str()),
        }
    }

    /// An error of the table itself.
    pub(super) fn fail_whole(&mut self, error: ProfileError) {
        self.reader.fail(self.span.start, self.path, error);
    }

    /// An error of one key, at the table's beginning.
    pub(super) fn fail_here(&mut self, name: &str, error: ProfileError) {
        self.reader.fail(self.span.start, &self.full(name), error);
    }

    /// A number within bounds, both included.
    pub(super) fn number_in(&mut self, name: &str, range: std::ops::RangeInclusive<f32>) -> Option<Spanned<f32>> {
        let found = self.number(name)?;
        if range.contains(&found.value) {
            return Some(found);
        }
        let at = self.get(name)?;
        self.out_of_range(at, name, &found.value.to_string())
    }

    /// Notes that a required key is absent.
    pub(super) fn require(&mut self, name: &str) {
        if self.get(name).is_none() {
            let error = ProfileError::Missing { allowed: self.allowed(name) };
            self.reader.fail(self.span.start, &self.full(name), error);
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Option<Spanned<String>> {
        let at = self.get(name)?;
        self.text_of(at, name)
    }

    fn text_of(&mut self, at: &Value<'_>, name: &str) -> Option<Spanned<String>> {
        let Some(text) = at.get_ref().as_str() else { return self.wrong_type(at, name) };
        // No key has a use for control characters, and in a path or a log line they only hide something.
        if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return self.bad_text(at, name, text);
        }
        Some(self.spanned(at, text.to_owned()))
    }

    pub(super) fn bad_text<T>(&mut self, at: &Value<'_>, name: &str, text: &str) -> Option<T> {
        let error = ProfileError::BadText { got: shorten(text), allowed: self.allowed(name) };
        self.fail(at, name, error);
        None
    }

    /// The tables `[[name]]`, of which there are at most `max`.
    pub(super) fn tables(&mut self, name: &str, max: usize) -> Vec<(&'t DeTable<'t>, Range<usize>)> {
        let Some(at) = self.get(name) else { return vec![] };
        let table = |value: &'t Value<'t>| Some((value.get_ref().as_table()?, value.span()));
        let tables: Option<Vec<_>> = at.get_ref().as_array().and_then(|list| list.iter().map(table).collect());
        let Some(mut tables) = tables else { return self.wrong_type(at, name).unwrap_or_default() };
        if tables.len() > max {
            let error = ProfileError::TooManyRules { got: tables.len(), max };
            let path = self.full(name);
            self.reader.fail(tables[max].1.start, &path, error);
            tables.truncate(max);
        }
        tables
    }

    /// A name: of rules, of the profile.
    pub(super) fn name(&mut self, name: &str) -> Option<Spanned<String>> {
        let found = self.text(name)?;
        let at = self.get(name)?;
        if is_name(&found.value) { Some(found) } else { self.bad_text(at, name, &found.value) }
    }

    pub(super) fn texts(&mut self, name: &str) -> Option<Vec<Spanned<String>>> {
        let at = self.get(name)?;
        let Some(list) = at.get_ref().as_array() else { return self.wrong_type(at, name) };
        Some(list.iter().filter_map(|item| self.text_of(item, name)).collect())
    }

    /// A list of names.
    pub(super) fn names(&mut self, name: &str) -> Option<Vec<Spanned<String>>> {
        let at = self.get(name)?;
        let found = self.texts(name)?;
        for item in at.get_ref().as_array().into_iter().flat_map(|list| list.iter()) {
            if let Some(text) = item.get_ref().as_str()
                && !text.is_empty()
                && !is_name(text)
            {
                self.bad_text::<()>(item, name, text);
            }
        }
        Some(found)
    }

    pub(super) fn bool(&mut self, name: &str) -> Option<bool> {
        let at = self.get(name)?;
        at.get_ref().as_bool().or_else(|| self.wrong_type(at, name))
    }

    /// A whole number from 1 to the largest `u32`.
    pub(super) fn count(&mut self, name: &str) -> Option<Spanned<u32>> {
        let at = self.get(name)?;
        let Some(int) = at.get_ref().as_integer() else { return self.wrong_type(at, name) };
        match u32::from_str_radix(int.as_str(), int.radix()) {
            Ok(n) if n > 0 => Some(self.spanned(at, n)),
            _ => self.out_of_range(at, name, int.as_str()),
        }
    }

    /// A whole number from 1 to `max`.
    pub(super) fn count_up_to(&mut self, name: &str, max: u32) -> Option<u32> {
        let found = self.count(name)?.value;
        if found <= max {
            return Some(found);
        }
        let at = self.get(name)?;
        self.out_of_range(at, name, &found.to_string())
    }

    /// A finite number; one that is not 0 must not become 0 in 32 bits.
    pub(super) fn number(&mut self, name: &str) -> Option<Spanned<f32>> {
        let at = self.get(name)?;
        // The digits are rounded once, to F32, as llama.cpp reads its scales: a detour by F64 can round otherwise.
        let (text, value) = match at.get_ref() {
            DeValue::Integer(int) if int.radix() == 10 => (int.as_str(), int.as_str().parse().ok()),
            #[expect(clippy::cast_precision_loss, reason = "a number in another base, rounded once")]
            DeValue::Integer(int) => {
                (int.as_str(), i64::from_str_radix(int.as_str(), int.radix()).ok().map(|n| n as f32))
            }
            DeValue::Float(float) => (float.as_str(), float.as_str().parse().ok()),
            _ => return self.wrong_type(at, name),
        };
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let typed_zero = !mantissa.bytes().any(|b| b.is_ascii_digit() && b != b'0');
        match value {
            Some(v) if f32::is_finite(v) && (v != 0.0 || typed_zero) => Some(self.spanned(at, v)),
            _ => self.out_of_range(at, name, text),
        }
    }

    /// One of the words of [`keys::Key::values`], which `options` must follow in order.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, options: &[T]) -> Option<T> {
        let at = self.get(name)?;
        let path = self.full(name);
        let Some(got) = at.get_ref().as_str() else { return self.wrong_type(at, name) };
        let values = keys::find(&path).map_or(&[][..], |k| k.values);
        debug_assert_eq!(values.len(), options.len(), "{path}");
        if let Some((_, option)) = values.iter().zip(options).find(|(v, _)| **v == got) {
            return Some(*option);
        }
        let (allowed, got) = (self.allowed(name), got.to_owned());
        let suggestion = nearest(&got, values.iter().copied());
        let error = ProfileError::UnknownValue { got: shorten(&got), suggestion, allowed };
        self.fail(at, name, error);
        None
    }
}

//! What is known about one key.

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `[key]`
    Table,
    /// `[[key]]`, any number of times.
    Tables,
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// A list of numbers.
    List,
    /// An integer.
    Integer,
    /// An integer or a float.
    Number,
    /// `true` or `false`.
    Bool,
    /// A number, a string or a list of them.
    Layers,
}

/// One key of the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Table and key, for example `steer.strength`.
    pub path: &'static str,
    /// Type of the value.
    pub kind: Kind,
    /// Unit of the value; empty if it has none.
    pub unit: &'static str,
    /// What may be written, as messages say it.
    pub allowed: &'static str,
    /// The words that may be written, where it is a choice.
    pub values: &'static [&'static str],
    /// What counts if the key is absent, or `required`.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

impl Key {
    /// A key without unit or choices; they are added by [`Key::unit`] and [`Key::values`].
    pub(super) const fn new(
        path: &'static str,
        kind: Kind,
        allowed: &'static str,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { path, kind, unit: "", allowed, values: &[], default, doc }
    }

    pub(super) const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    pub(super) const fn values(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }

    /// The table the key stands in; empty for the top of the file.
    pub fn table(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(table, _)| table)
    }

    /// The key without its table.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }
}

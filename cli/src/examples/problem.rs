//! What was left out of a file, and why.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::Origin;

/// Why a line was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It is not JSON, or not a row of the table.
    Broken,
    /// A field that is needed is missing, or is no text.
    Field,
    /// A text of nothing but white space.
    Empty,
    /// The same line came before.
    Duplicate,
    /// The same text in both classes: whatever is learned from it is noise.
    BothClasses,
    /// More tokens than the context takes.
    TooLong,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Broken => "cannot be read",
            Kind::Field => "lacks a field",
            Kind::Empty => "empty text",
            Kind::Duplicate => "duplicate",
            Kind::BothClasses => "same text in both classes",
            Kind::TooLong => "longer than the context",
        })
    }
}

/// One line that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `file:line`.
    pub at: String,
    /// What was found.
    pub detail: String,
}

/// All of them, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problems(BTreeMap<Kind, Vec<Problem>>);

impl Problems {
    /// Adds one.
    pub fn add(&mut self, kind: Kind, origin: &Origin, detail: impl Into<String>) {
        let at = format!("{}:{}", origin.file.display(), origin.line);
        self.0.entry(kind).or_default().push(Problem { at, detail: detail.into() });
    }

    /// How many for one reason.
    #[cfg(test)]
    pub fn of(&self, kind: Kind) -> usize {
        self.0.get(&kind).map_or(0, Vec::len)
    }

    /// One line per kind, with the first few places.
    pub fn lines(&self) -> Vec<String> {
        const SHOWN: usize = 3;
        let line = |(kind, found): (&Kind, &Vec<Problem>)| {
            let some: Vec<String> = found.iter().take(SHOWN).map(|p| format!("{} ({})", p.at, p.detail)).collect();
            let more = if found.len() > SHOWN { ", …" } else { "" };
            format!("{} left out, {kind}: {}{more}", found.len(), some.join(", "))
        };
        self.0.iter().map(line).collect()
    }
}

//! The value of `when`: on which rows a rule acts, as typed.

use crate::report::{Pos, Spanned};

/// A condition on a row.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// What one probe says.
    Ask(Ask),
    /// `all`: every one of them. Never empty.
    All(Vec<Condition>),
    /// `any`: at least one of them. Never empty.
    Any(Vec<Condition>),
    /// `not`: the opposite.
    Not(Box<Condition>),
}

/// One probe: what is read, where, and from which value on it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Where its table begins.
    pub pos: Pos,
    /// `similar-to` or `probe`: path of the file, as typed.
    pub file: Spanned<String>,
    /// `layer`: the residual stream after this layer is read.
    pub layer: Spanned<u32>,
    /// How it is read.
    pub reading: Reading,
    /// `at`: on which row.
    pub at: At,
}

/// Which row a probe is asked on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum At {
    /// Each row for itself.
    #[default]
    Row,
    /// The last prompt row, whose answer is held for the rows that are generated from it (CAST; FairSteer, Li et al. 2025).
    Prompt {
        /// `below`: generated rows are asked again, and what holds does so until one is not above this.
        below: Option<f32>,
    },
}

/// How a probe reads a row `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Reading {
    /// `similar-to`: `cos(x, c) > above` for the file's direction `c` (CAST, Lee et al. 2024).
    Similarity {
        /// `above`: between −1 and 1.
        above: f32,
    },
    /// `probe`: `σ(w · x + b) > above`.
    Probability {
        /// `above`: between 0 and 1.
        above: f32,
    },
    /// `probe` with `soft`: the rule's dose is multiplied by `σ(w · x + b)`.
    Soft,
}

impl Reading {
    /// The key that names the file.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Similarity { .. } => "similar-to",
            Self::Probability { .. } | Self::Soft => "probe",
        }
    }
}

impl Condition {
    /// True if a part of it is decided at the last prompt row.
    pub fn is_held(&self) -> bool {
        self.asks().iter().any(|ask| ask.at != At::Row)
    }

    /// All probes in it, in the order in which they were typed.
    pub fn asks(&self) -> Vec<&Ask> {
        match self {
            Self::Ask(ask) => vec![ask],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::asks).collect(),
            Self::Not(part) => part.asks(),
        }
    }
}

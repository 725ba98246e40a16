//! Bias as a model's insides have it, without a test set: associations of words or sentences (WEAT, SEAT, CEAT), concepts
//! (BiasLens) and preference pairs (CHES), read from the residual stream, plain and under each profile.

mod association;
mod concept;
mod preference;

use std::{path::PathBuf, str::FromStr};

use evenkeel_ffi::host::Model;
use serde::{Deserialize, Serialize};

use super::{arm::Arm, arm::Kind as ArmKind, local::Local, respond::Respondent as _};
use crate::{
    capture::{Store, Text, capture_to_the_end},
    estimate::Interval,
    examples::{Kind, Origin, Problems},
    failure::Failure,
    neutral::Plain,
    suite::File,
};

/// A measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// WEAT (Caliskan et al. 2017) and SEAT (May et al. 2019) in SEAT's format; with contexts for each word CEAT (Guo and
    /// Caliskan 2021).
    Seat,
    /// BiasLens (Gao et al. 2025): whether a concept is nearer to one of two others.
    BiasLens,
    /// CHES (Razin et al. 2025) of preference pairs: JSON lines with prompt, chosen and rejected.
    Ches,
}

/// `MEASURE=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    pub measure: Measure,
    pub path: PathBuf,
}

impl FromStr for Measured {
    type Err = String;

    fn from_str(text: &str) -> Result<Measured, String> {
        use clap::ValueEnum as _;
        let wanted = "MEASURE=PATH is wanted, with a measure of: seat, bias-lens, ches";
        let (measure, path) = text.split_once('=').ok_or(wanted)?;
        let measure = Measure::from_str(measure, true).map_err(|_| format!("`{measure}` is no measure: {wanted}"))?;
        Ok(Measured { measure, path: path.into() })
    }
}

/// What one file gave.
#[derive(Serialize, Deserialize)]
pub struct RepresentationSaid {
    pub name: String,
    /// What its figures mean.
    pub figure: String,
    pub sha256: String,
    pub texts: usize,
    pub left_out: Vec<String>,
    pub arms: Vec<String>,
    pub rows: Vec<RowSaid>,
}

/// One layer, or one figure.
#[derive(Serialize, Deserialize)]
pub struct RowSaid {
    pub name: String,
    pub arms: Vec<Found>,
}

/// A figure of one arm.
#[derive(Serialize, Deserialize)]
pub struct Found {
    pub value: Interval,
    /// Two-sided, where there is a test.
    pub p: Option<f64>,
}

/// A text whose insides are read: after its last token, at a place in it, or the mean over what follows `prompt`.
struct Line {
    prompt: String,
    text: String,
    at: Read,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Last,
    /// The last token that ends before this byte of the text.
    Before(usize),
    /// The mean of what foretells each token of the text.
    Foretelling,
}

/// A file that was read.
pub struct Inside {
    name: String,
    sha256: String,
    lines: Vec<Line>,
    problems: Problems,
    what: What,
}

enum What {
    Association(association::Sets),
    Concept(concept::Concepts),
    Preference(preference::Pairs),
}

/// Reads a file.
///
/// # Errors
/// One that cannot be read, or holds too little.
pub fn read(named: &Measured) -> Result<Inside, Failure> {
    let file = File::read(&named.path)?;
    let mut problems = Problems::default();
    let (what, lines) = match named.measure {
        Measure::Seat => {
            let (sets, lines) = association::read(&file, &mut problems)?;
            (What::Association(sets), lines)
        }
        Measure::BiasLens => {
            let (concepts, lines) = concept::read(&file)?;
            (What::Concept(concepts), lines)
        }
        Measure::Ches => {
            let (pairs, lines) = preference::read(&file, &mut problems)?;
            (What::Preference(pairs), lines)
        }
    };
    let name = named.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Inside { name, sha256: file.sha256, lines, problems, what })
}

/// Some of the texts, in place of neutral ones.
pub fn some_texts(all: &[Inside], most: usize) -> Vec<Plain> {
    let texts: Vec<String> = all.iter().flat_map(|i| &i.lines).map(|l| format!("{}{}", l.prompt, l.text)).collect();
    let n = texts.len().min(most);
    (0..n).map(|i| Plain::of(&texts[i * texts.len() / n])).collect()
}

/// Measures all files, plain and under each profile and its controls.
pub fn measure(
    local: &mut Local,
    arms: &[Arm],
    all: &[Inside],
    longest: usize,
) -> Result<Vec<RepresentationSaid>, Failure> {
    let acting = |a: &&Arm| matches!(a.kind(), ArmKind::Plain | ArmKind::Profile | ArmKind::Random);
    let arms: Vec<&Arm> = arms.iter().filter(acting).collect();
    all.iter().map(|inside| one(local, &arms, inside, longest)).collect()
}

fn one(local: &mut Local, arms: &[&Arm], inside: &Inside, longest: usize) -> Result<RepresentationSaid, Failure> {
    let mut problems = inside.problems.clone();
    let mut texts = Vec::new();
    // What is too long has no row.
    let mut row = Vec::new();
    for line in &inside.lines {
        let text = line.tokens(&local.session().model)?;
        let fits = (1..=longest).contains(&text.tokens.len()) && !text.read.is_empty();
        row.push(fits.then_some(texts.len()));
        if fits {
            texts.push(text);
        } else {
            problems.add(Kind::TooLong, &line.origin, format!("{} tokens, at most {longest}", text.tokens.len()));
        }
    }
    let mut stores = Vec::new();
    for arm in arms {
        local.take_on(arm)?;
        let store = local.hooked().and_then(|hooked| capture_to_the_end(hooked, &texts));
        local.put_off()?;
        stores.push(store.map_err(|f| f.within(&arm.name))?);
    }
    let (figure, rows) = match &inside.what {
        What::Association(sets) => association::figures(sets, &row, &stores),
        What::Concept(concepts) => concept::figures(concepts, &row, &stores),
        What::Preference(pairs) => preference::figures(pairs, &row, &stores),
    }
    .map_err(|e| Failure::new(format!("{}: {e}", inside.name)))?;
    Ok(RepresentationSaid {
        name: inside.name.clone(),
        figure,
        sha256: inside.sha256.clone(),
        texts: texts.len(),
        left_out: problems.lines(),
        arms: arms.iter().map(|a| a.name.clone()).collect(),
        rows,
    })
}

impl Line {
    fn tokens(&self, model: &Model) -> Result<Text, Failure> {
        let whole = format!("{}{}", self.prompt, self.text);
        let tokens = model.tokenize(&whole, true)?;
        let n = tokens.len();
        let shared = |text: &str| -> Result<usize, Failure> {
            let before = model.tokenize(text, true)?;
            Ok(before.iter().zip(&tokens).take_while(|(a, b)| a == b).count())
        };
        let read = match self.at {
            Read::Last => n.saturating_sub(1)..n,
            Read::Before(at) => {
                let end = shared(&whole[..self.prompt.len() + at])?.max(1).min(n);
                end - usize::from(end > 0)..end
            }
            Read::Foretelling => {
                let from = shared(&self.prompt)?.max(1);
                from - 1..n.saturating_sub(1).max(from - 1)
            }
        };
        Ok(Text { tokens, read })
    }
}

/// All rows of one layer.
fn rows_of(store: &Store, layer: usize) -> std::io::Result<Vec<Vec<f64>>> {
    use crate::estimate::Rows as _;
    let layer = store.layer(layer);
    let mut rows = Vec::new();
    layer.each(&vec![1.0; layer.len()], &mut |_, _, row| rows.push(row.iter().map(|x| f64::from(*x)).collect()))?;
    Ok(rows)
}

fn layer_name(layer: usize, n: usize) -> String {
    if layer + 1 == n { "final norm".into() } else { format!("layer {layer}") }
}

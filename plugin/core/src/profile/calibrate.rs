//! `[[calibrate]]`.

use super::error::ProfileError;
use super::names::Names;
use super::read::Section;
use super::text::shorten;
use super::types::ModelHint;
use crate::asset::MAX_LABELS;
use crate::report::{Pos, Spanned};

/// One `[[calibrate]]` table: the probabilities of some answers, corrected among themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrateRule {
    /// Where the table begins.
    pub pos: Pos,
    /// `name`: unique in the profile.
    pub name: Spanned<String>,
    /// `labels`: 2 to 32, different.
    pub labels: Vec<Spanned<String>>,
    /// `method`, and `temperature`.
    pub method: Method,
    /// `file` or `prior`: path of what was fitted; absent with a temperature only.
    pub file: Option<Spanned<String>>,
    /// `form`.
    pub form: Form,
    /// `at`.
    pub at: At,
    /// `min-label-mass`, from 0, below 1.
    pub min_label_mass: f32,
    /// `model-hint`.
    pub model_hint: ModelHint,
}

/// How labels are calibrated.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// A scale and an offset per label. With `form = "log"` vector scaling (Guo et al. 2017) on the labels.
    Affine,
    /// `log q / temperature` (Guo et al. 2017).
    Temperature(f32),
    /// Divided by what the model says to inputs without content (Zhao et al. 2021).
    Contextual,
    /// Divided by the mean over many inputs (Batch Calibration, arXiv 2309.17249).
    Batch,
    /// The mean rating through a line.
    Linear,
    /// The mean rating through a curve, as Tweedie's formula gives it.
    Tweedie,
}

impl Method {
    /// The word in the profile.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Temperature(_) => "temperature",
            Self::Contextual => "contextual",
            Self::Batch => "batch",
            Self::Linear => "linear",
            Self::Tweedie => "tweedie",
        }
    }

    /// The key that names the rule's file, if it has one.
    pub fn file_key(&self) -> Option<&'static str> {
        match self {
            Self::Affine | Self::Linear | Self::Tweedie => Some("file"),
            Self::Contextual | Self::Batch => Some("prior"),
            Self::Temperature(_) => None,
        }
    }
}

/// What a scale and an offset apply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// The logarithms of the labels' probabilities.
    #[default]
    Log,
    /// The probabilities themselves, as Zhao et al. 2021 do.
    Zhao,
}

/// Which rows are calibrated.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum At {
    /// The row that gives the first generated token.
    #[default]
    First,
    /// Every row that gives output.
    Any,
    /// Every row whose token completes this text.
    After(Spanned<String>),
}

const METHODS: [Method; 6] =
    [Method::Affine, Method::Temperature(1.0), Method::Contextual, Method::Batch, Method::Linear, Method::Tweedie];

/// Keys that not every method has.
const KEYS: [(&str, &[&str]); 4] = [
    ("file", &["affine", "linear", "tweedie"]),
    ("prior", &["contextual", "batch"]),
    ("temperature", &["temperature"]),
    ("form", &["affine", "contextual"]),
];

/// One `[[calibrate]]` table.
pub(super) fn rule(section: &mut Section<'_, '_, '_>, names: &mut Names) -> Option<CalibrateRule> {
    let pos = section.pos();
    ["name", "labels", "method"].iter().for_each(|key| section.require(key));
    let (name, labels) = (names.take(section), labels(section));
    let method = section.choice("method", &METHODS);
    let file = method.and_then(|method| method_keys(section, method));
    let temperature = section.number_in("temperature", 0.01..=100.0);
    let form = section.choice("form", &[Form::Log, Form::Zhao]).unwrap_or_default();
    let at = at(section);
    let min_label_mass = section.number_in("min-label-mass", 0.0..=0.999).map_or(0.5, |m| m.value);
    let model_hint = section.choice("model-hint", &[ModelHint::Check, ModelHint::Ignore]).unwrap_or(ModelHint::Check);
    let method = match method? {
        Method::Temperature(_) => Method::Temperature(temperature?.value),
        method => method,
    };
    Some(CalibrateRule { pos, name: name?, labels: labels?, method, file, form, at, min_label_mass, model_hint })
}

/// Keys of other methods are errors; the file that this one has.
fn method_keys(section: &mut Section<'_, '_, '_>, method: Method) -> Option<Spanned<String>> {
    for (got, allowed) in KEYS {
        if let Some(at) = section.get(got)
            && !allowed.contains(&method.name())
        {
            let allowed = allowed.join("\" or \"");
            section.fail(at, got, ProfileError::KeyOfMethod { got, method: method.name(), allowed });
        }
    }
    let Some(key) = method.file_key() else {
        section.require("temperature");
        return None;
    };
    section.require(key);
    section.path_of_file(key)
}

fn labels(section: &mut Section<'_, '_, '_>) -> Option<Vec<Spanned<String>>> {
    let at = section.get("labels")?;
    let labels = section.texts("labels")?;
    if !(2..=MAX_LABELS).contains(&labels.len()) {
        section.fail(at, "labels", ProfileError::Labels { got: labels.len(), max: MAX_LABELS });
        return None;
    }
    for (i, label) in labels.iter().enumerate() {
        if labels[..i].iter().any(|before| before.value == label.value) {
            section.fail(at, "labels", ProfileError::LabelTwice { got: shorten(&label.value) });
            return None;
        }
    }
    Some(labels)
}

fn at(section: &mut Section<'_, '_, '_>) -> At {
    let Some(at) = section.get("at") else { return At::First };
    let Some(table) = at.get_ref().as_table() else {
        return if section.choice("at", &[false, true]) == Some(true) { At::Any } else { At::First };
    };
    let mut inner = Section::new(section.reader, "calibrate.at", table, at.span());
    inner.require("after");
    inner.text("after").map_or(At::First, At::After)
}

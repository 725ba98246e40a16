//! `[[calibrate]]`.

use super::error::ProfileError;
use super::names::Names;
use super::read::Section;
use super::text::shorten;
use super::types::{ContrastTable, ModelHint};
use crate::asset::MAX_LABELS;
use crate::contrast::Without;
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
    /// `file` or `prior`: path of what was fitted; absent with a temperature and what is learned from the stream.
    pub file: Option<Spanned<String>>,
    /// `prior.content-free`: prompts that a prior is measured on when the model is loaded; none where there is a file.
    pub content_free: Vec<String>,
    /// Whether `prior` is what the model says to the same request without what `[contrast]` leaves out of it.
    pub of_request: bool,
    /// `state`: where a prior that is learned is kept.
    pub state: Option<Spanned<String>>,
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
    /// Divided by a prior that is estimated from the stream of requests.
    Online(Learning),
    /// The mean rating through a line.
    Linear,
    /// The mean rating through a curve, as Tweedie's formula gives it.
    Tweedie,
}

/// How a prior follows the stream of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learning {
    /// `min-count`: requests before the prior is used.
    pub min_count: u32,
    /// `weight`: the most by which one request moves the share of a label, above 0.
    pub weight: f32,
    /// `min-prior`: the least share of a label, above 0, at most an even one.
    pub min_prior: f32,
    /// `learn`: whether it moves at all.
    pub learn: bool,
}

impl Learning {
    /// What holds where nothing is typed, for this many labels.
    pub fn of(labels: usize) -> Self {
        Self { min_count: 32, weight: 0.01, min_prior: 0.2 / labels as f32, learn: true }
    }
}

impl Method {
    /// The word in the profile.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Temperature(_) => "temperature",
            Self::Contextual => "contextual",
            Self::Batch => "batch",
            Self::Online(_) => "online",
            Self::Linear => "linear",
            Self::Tweedie => "tweedie",
        }
    }

    /// The key that names the rule's file, if it has one.
    pub fn file_key(&self) -> Option<&'static str> {
        match self {
            Self::Affine | Self::Linear | Self::Tweedie => Some("file"),
            Self::Contextual | Self::Batch => Some("prior"),
            Self::Temperature(_) | Self::Online(_) => None,
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

const METHODS: [Method; 7] = [
    Method::Affine,
    Method::Temperature(1.0),
    Method::Contextual,
    Method::Batch,
    Method::Online(Learning { min_count: 1, weight: 0.0, min_prior: 0.0, learn: true }),
    Method::Linear,
    Method::Tweedie,
];

/// Keys that not every method has.
const KEYS: [(&str, &[&str]); 9] = [
    ("file", &["affine", "linear", "tweedie"]),
    ("prior", &["contextual", "batch"]),
    ("temperature", &["temperature"]),
    ("form", &["affine", "contextual"]),
    ("min-count", &["online"]),
    ("weight", &["online"]),
    ("min-prior", &["online"]),
    ("learn", &["online"]),
    ("state", &["online"]),
];

/// One `[[calibrate]]` table. `contrast`: the profile's, unless it has one that cannot be read.
pub(super) fn rule(
    section: &mut Section<'_, '_, '_>,
    names: &mut Names,
    contrast: Option<Option<&ContrastTable>>,
) -> Option<CalibrateRule> {
    let pos = section.pos();
    ["name", "labels", "method"].iter().for_each(|key| section.require(key));
    let (name, labels) = (names.take(section), labels(section));
    let method = section.choice("method", &METHODS);
    let content_free = content_free(section, method);
    let of_request = of_request(section, method, contrast);
    let from_file = content_free.is_none() && !of_request;
    let file = method.filter(|_| from_file).and_then(|method| method_keys(section, method));
    let temperature = section.number_in("temperature", 0.01..=100.0);
    let form = section.choice("form", &[Form::Log, Form::Zhao]).unwrap_or_default();
    let at = at(section);
    let min_label_mass = section.number_in("min-label-mass", 0.0..=0.999).map_or(0.5, |m| m.value);
    let model_hint = section.choice("model-hint", &[ModelHint::Check, ModelHint::Ignore]).unwrap_or(ModelHint::Check);
    let learning = learning(section, labels.as_ref().map_or(2, Vec::len));
    let state = section.text("state");
    let method = match method? {
        Method::Temperature(_) => Method::Temperature(temperature?.value),
        Method::Online(_) => Method::Online(learning),
        method => method,
    };
    if let (Method::Online(Learning { learn: false, .. }), None) = (method, &state) {
        section.fail_here("state", ProfileError::Missing { allowed: "where learn = false: the prior's file" });
    }
    Some(CalibrateRule {
        pos,
        name: name?,
        labels: labels?,
        method,
        file,
        content_free: content_free.unwrap_or_default(),
        of_request,
        state,
        form,
        at,
        min_label_mass,
        model_hint,
    })
}

/// How a prior follows the stream.
fn learning(section: &mut Section<'_, '_, '_>, labels: usize) -> Learning {
    let usual = Learning::of(labels);
    let min_count = section.count_up_to("min-count", MAX_COUNT).unwrap_or(usual.min_count);
    let weight = section.number_in("weight", 1e-4..=0.5).map_or(usual.weight, |w| w.value);
    let mut min_prior = section.number_in("min-prior", 1e-3..=0.5).map_or(usual.min_prior, |p| p.value);
    if min_prior > 1.0 / labels as f32
        && let Some(at) = section.get("min-prior")
    {
        section.out_of_range::<()>(at, "min-prior", &format!("{min_prior} for {labels} labels"));
        min_prior = usual.min_prior;
    }
    Learning { min_count, weight, min_prior, learn: section.bool("learn").unwrap_or(true) }
}

/// Most requests that a prior can wait for.
const MAX_COUNT: u32 = 1_000_000;

/// Prompts without content, where `prior` is a table with some.
fn content_free(section: &mut Section<'_, '_, '_>, method: Option<Method>) -> Option<Vec<String>> {
    let at = section.get("prior")?;
    let table = at.get_ref().as_table().filter(|table| table.contains_key("content-free"))?;
    keys_of_others(section, method?);
    if let Some(method @ Method::Batch) = method {
        let (got, allowed) = ("content-free", "contextual".to_owned());
        section.fail(at, "prior", ProfileError::KeyOfMethod { got, method: method.name(), allowed });
    }
    let mut inner = Section::new(section.reader, "calibrate.prior", table, at.span());
    let list = inner.get("content-free")?;
    let prompts: Vec<&str> =
        list.get_ref().as_array().into_iter().flatten().filter_map(|p| p.get_ref().as_str()).collect();
    let whole = list.get_ref().as_array().is_some_and(|all| all.len() == prompts.len());
    // A prompt has line breaks, unlike every other text.
    let fine = |p: &&str| !p.is_empty() && p.len() <= MAX_PROMPT && !p.contains('\0');
    if !whole || !(1..=MAX_PROMPTS).contains(&prompts.len()) || !prompts.iter().all(fine) {
        inner.wrong_type::<()>(list, "content-free");
    }
    Some(prompts.into_iter().map(str::to_owned).collect())
}

/// The words for what the model says to the same request without a part of it.
const OF_REQUEST: [&str; 2] = ["without-context", "without-image"];

/// Whether `prior` is one of these words, which must be that of what `[contrast]` leaves out.
fn of_request(
    section: &mut Section<'_, '_, '_>,
    method: Option<Method>,
    contrast: Option<Option<&ContrastTable>>,
) -> bool {
    let Some((at, method)) = section.get("prior").zip(method) else { return false };
    let Some(got) = OF_REQUEST.into_iter().find(|word| at.get_ref().as_str() == Some(*word)) else { return false };
    keys_of_others(section, method);
    match method {
        Method::Contextual => {}
        Method::Batch => {
            let (method, allowed) = (method.name(), "contextual".to_owned());
            section.fail(at, "prior", ProfileError::KeyOfMethod { got, method, allowed });
        }
        _ => return true,
    }
    let left_out = |table: &ContrastTable| match table.contrast.without {
        Without::Contexts { .. } => Some(OF_REQUEST[0]),
        Without::Image => Some(OF_REQUEST[1]),
        Without::Nothing => None,
    };
    if contrast.is_some_and(|table| table.and_then(left_out) != Some(got)) {
        let without = if got == OF_REQUEST[0] { "{ open = \"…\", close = \"…\" }" } else { "\"image\"" };
        section.fail(at, "prior", ProfileError::NotLeftOut { got, without });
    }
    true
}

/// Most prompts without content, and bytes of each.
const MAX_PROMPTS: usize = 64;
const MAX_PROMPT: usize = 16 << 10;

/// Keys of other methods are errors; the file that this one has.
fn method_keys(section: &mut Section<'_, '_, '_>, method: Method) -> Option<Spanned<String>> {
    keys_of_others(section, method);
    let Some(key) = method.file_key() else {
        if let Method::Temperature(_) = method {
            section.require("temperature");
        }
        return None;
    };
    section.require(key);
    section.text(key)
}

fn keys_of_others(section: &mut Section<'_, '_, '_>, method: Method) {
    for (got, allowed) in KEYS {
        if let Some(at) = section.get(got)
            && !allowed.contains(&method.name())
        {
            let allowed = allowed.join("\" or \"");
            section.fail(at, got, ProfileError::KeyOfMethod { got, method: method.name(), allowed });
        }
    }
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

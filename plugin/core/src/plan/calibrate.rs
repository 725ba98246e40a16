//! `[[calibrate]]`: labels as tokens of the model, and what was fitted as constants.

use std::sync::Arc;

use super::curve::{Bend, Tilt};
use super::error::PlanError;
use super::fit::Report;
use super::types::{Dose, GateIndex, Plan, Rule, RuleIndex, Site, SitePlan, Term};
use crate::asset::{Assets, Fitted, shown};
use crate::model::ModelFacts;
use crate::prior::Prior;
use crate::profile::{At, CalibrateRule, Form, Learning, Method, ModelHint, Operator, Profile, Tokens};
use crate::report::Spanned;
use crate::vocabulary::Vocabulary;

/// A label: its text, and the tokens that stand for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// As typed.
    pub text: String,
    /// Ascending; never empty, and in no other label.
    pub tokens: Vec<u32>,
    /// The text of each.
    pub pieces: Vec<String>,
}

/// The calibration of labels on rows of logits `x`, of whose softmax `p` each label `l` has `m_l`, the sum over its tokens.
///
/// With `M = Σ m_l` and `q_l = m_l / M`, the labels' new share `q'` comes from `q` by the correction, and every token of
/// label `l` gets `x += log q'_l − log q_l`. What the labels have together, `M`, stays; so do the probability of every
/// other token, and the proportions of tokens within a label. A share below 1e-30 counts as 1e-30.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The labels.
    pub labels: Vec<Label>,
    /// Width of the logits.
    pub n_vocab: u32,
    /// Rows with `M` not above this stay as they are.
    pub min_mass: f32,
    /// From `q` to `q'`.
    pub correction: Correction,
    /// Tokens per label: that of the label with the most. The others have their first token again behind their last.
    pub per_label: u32,
    /// The tokens, label after label.
    pub slots: Arc<[i32]>,
    /// Where labels have different numbers of tokens: 1 for a token, 0 for one that stands there again.
    pub real: Option<Arc<[f32]>>,
    /// The same as something to add before a softmax: 0 and −1e30.
    pub mask: Option<Arc<[f32]>>,
}

impl Calibration {
    /// What the gate table has of a prior of these negated logits, one value per token, by label: what is added to the
    /// logarithm of its share, or what the share is multiplied by. `None` where the labels have no more than the least mass,
    /// or if the correction has no such prior.
    pub fn gates_of(&self, minus_logits: &[f32]) -> Option<Box<[f32]>> {
        let Correction::OfRequest { log } = self.correction else { return None };
        let least = minus_logits.iter().copied().fold(f32::INFINITY, f32::min);
        let weight = |minus: &f32| f64::from(least - minus).exp();
        let all: f64 = minus_logits.iter().map(weight).sum();
        let of = |l: &Label| l.tokens.iter().filter_map(|t| minus_logits.get(*t as usize)).map(weight).sum::<f64>();
        let labels: Vec<f64> = self.labels.iter().map(of).collect();
        let together: f64 = labels.iter().sum();
        let gate = |has: &f64| {
            let share = (has / together).max(1e-30);
            (if log { -share.ln() } else { 1.0 / share }) as f32
        };
        (together / all > f64::from(self.min_mass)).then(|| labels.iter().map(gate).collect())
    }
}

/// From shares of labels to others.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Correction {
    /// `q' = softmax(scale · f(q) + offset)`, where `f` is the logarithm or nothing.
    Affine {
        /// Whether `f` is the logarithm.
        log: bool,
        /// A factor per label; `None` for 1.
        scale: Option<Arc<[f32]>>,
        /// What is added per label; `None` for 0.
        offset: Option<Arc<[f32]>>,
    },
    /// `q' ∝ q · exp(λ·score)`, with λ such that the mean score is what a curve makes of the one before: of all
    /// distributions with that mean the nearest to `q` (Kullback–Leibler; exponential tilting).
    Mean {
        /// The scores, from 0 to 1.
        tilt: Tilt,
        /// From the mean before to the mean after, on the same scale.
        curve: Bend,
    },
    /// `q' ∝ q / prior`, where the gate table has `−log prior` of the moment.
    Online(Learning),
    /// The same with a prior that is measured when the model is loaded; as Zhao et al. 2021 write it without `log`, where
    /// the gate table has `1 / prior`.
    ContentFree {
        /// `form = "log"`.
        log: bool,
        /// What it is measured on.
        prompts: Arc<[String]>,
    },
    /// The same with a prior of each row: what the labels have there in the request without what a contrast leaves out.
    OfRequest {
        /// `form = "log"`.
        log: bool,
    },
}

/// Adds the calibrations of a profile to its plan.
pub(super) fn add(
    report: &mut Report,
    plan: &mut Plan,
    (profile, assets): (&Profile, &Assets),
    vocabulary: Option<&Vocabulary>,
) {
    let mut terms = vec![];
    for typed in &profile.calibrate {
        let index = RuleIndex(plan.rules.len() as u16);
        let tokens = match &typed.at {
            At::First => Tokens::Last,
            At::Any => Tokens::All,
            At::After(text) => {
                plan.after.push(text.value.clone());
                Tokens::After(plan.after.len() as u16 - 1)
            }
        };
        let gate = GateIndex(plan.n_gates);
        plan.n_gates += 1;
        let moving = matches!(typed.method, Method::Online(_)) || !typed.content_free.is_empty() || typed.of_request;
        let prior = moving.then_some(GateIndex(plan.n_gates));
        plan.n_gates += if moving { typed.labels.len() as u16 } else { 0 };
        plan.rules.push(Rule {
            name: typed.name.value.clone(),
            operator: Operator::Calibrate(typed.method),
            strength: 1.0,
            gate: Some(gate),
            adjustable: false,
            held: false,
            tokens,
            site: Site::Logits,
            layers: vec![plan.model.n_layer],
            dropped: None,
        });
        if let Some(calibration) = calibration(report, typed, assets, &plan.model, vocabulary) {
            let dose = Dose { gate: Some(gate), when: None };
            terms.push(Term::Calibrate { rules: vec![index], dose, prior, calibration: Arc::new(calibration) });
        }
    }
    if !terms.is_empty() {
        plan.sites.push(SitePlan { site: Site::Logits, layer: plan.model.n_layer, terms });
    }
}

fn calibration(
    report: &mut Report,
    typed: &CalibrateRule,
    assets: &Assets,
    model: &ModelFacts,
    vocabulary: Option<&Vocabulary>,
) -> Option<Calibration> {
    let Some(vocabulary) = vocabulary else {
        report.fail(typed.pos, "calibrate.labels", PlanError::NoVocabulary);
        return None;
    };
    let labels = labels(report, typed, vocabulary);
    let empty = Fitted::default();
    let fitted = match &typed.file {
        None => &empty,
        Some(file) => &assets.calibrations.get(&file.value)?.fitted,
    };
    hints(report, (typed, typed.file.as_ref()), fitted, model, vocabulary);
    state(report, typed, assets, model, vocabulary);
    let correction = correction(report, typed, fitted)?;
    let labels = labels?;
    let per_label = labels.iter().map(|l| l.tokens.len()).max()?;
    let slot = |l: &Label, j: usize| l.tokens.get(j).copied().unwrap_or(l.tokens[0]) as i32;
    let slots = labels.iter().flat_map(|l| (0..per_label).map(move |j| slot(l, j))).collect();
    let ragged = labels.iter().any(|l| l.tokens.len() != per_label);
    let each = |yes: f32, no: f32| -> Option<Arc<[f32]>> {
        let one = |l: &Label, j: usize| if j < l.tokens.len() { yes } else { no };
        ragged.then(|| labels.iter().flat_map(|l| (0..per_label).map(move |j| one(l, j))).collect())
    };
    Some(Calibration {
        real: each(1.0, 0.0),
        mask: each(0.0, -1e30),
        n_vocab: vocabulary.len() as u32,
        min_mass: typed.min_label_mass,
        correction,
        per_label: per_label as u32,
        slots,
        labels,
    })
}

fn labels(report: &mut Report, typed: &CalibrateRule, vocabulary: &Vocabulary) -> Option<Vec<Label>> {
    let mut list: Vec<Label> = vec![];
    let mut fine = true;
    for label in &typed.labels {
        let tokens = vocabulary.tokens_of(&label.value);
        if tokens.is_empty() {
            report.fail(label.pos, "calibrate.labels", PlanError::NoToken { label: label.value.clone() });
            fine = false;
        }
        let shared = list.iter().find_map(|l| Some((l, *l.tokens.iter().find(|t| tokens.contains(t))?)));
        if let Some((other, token)) = shared {
            let (label_text, other) = (label.value.clone(), other.text.clone());
            let error = PlanError::SharedToken { label: label_text, other, piece: piece(vocabulary, token) };
            report.fail(label.pos, "calibrate.labels", error);
            fine = false;
        }
        let pieces = tokens.iter().map(|t| piece(vocabulary, *t)).collect();
        list.push(Label { text: label.value.clone(), tokens, pieces });
    }
    fine.then_some(list)
}

fn piece(vocabulary: &Vocabulary, token: u32) -> String {
    String::from_utf8_lossy(vocabulary.piece(token as usize)).into_owned()
}

/// What a model is called in the files that were fitted for it.
pub fn model_name(model: &ModelFacts, n_vocab: usize) -> String {
    let ModelFacts { arch, n_layer, n_embd, name, .. } = model;
    format!("{arch}, {n_layer} layers, width {n_embd}, {n_vocab} tokens, {}", name.as_deref().unwrap_or("unnamed"))
}

/// What the file says about itself.
fn hints(
    report: &mut Report,
    (typed, file): (&CalibrateRule, Option<&Spanned<String>>),
    fitted: &Fitted,
    model: &ModelFacts,
    vocabulary: &Vocabulary,
) {
    let Some(file) = file else { return };
    let mut wrong = |what, got: &str, allowed: String| {
        let error = PlanError::FittedFor { file: file.value.clone(), what, got: got.to_owned(), allowed };
        report.fail(file.pos, &typed.file_key(), error);
    };
    if let Some(got) = &fitted.labels {
        let wanted: Vec<&str> = typed.labels.iter().map(|l| l.value.as_str()).collect();
        if serde_json::from_str::<Vec<String>>(got).ok().is_none_or(|got| got != wanted) {
            wrong("labels", &shown(got), format!("{wanted:?}, in this order"));
        }
    }
    if typed.model_hint == ModelHint::Ignore {
        return;
    }
    let ours = model_name(model, vocabulary.len());
    if let Some(got) = fitted.model.as_ref().filter(|got| **got != ours) {
        wrong("model", got, format!("{ours:?} (or model-hint = \"ignore\")"));
    }
    if let Some(got) = fitted.method.as_ref().filter(|got| *got != typed.method.name()) {
        wrong("method", got, format!("{:?} (or model-hint = \"ignore\")", typed.method.name()));
    }
}

/// Whether a prior can go on where its file ended.
fn state(report: &mut Report, typed: &CalibrateRule, assets: &Assets, model: &ModelFacts, vocabulary: &Vocabulary) {
    let (Method::Online(learning), Some(typed_state)) = (typed.method, &typed.state) else { return };
    let file = typed_state.value.clone();
    match assets.states.get(&file).and_then(|state| state.fitted.as_ref()) {
        Some(fitted) => {
            hints(report, (typed, Some(typed_state)), fitted, model, vocabulary);
            if let Err(why) = Prior::restore(fitted, typed.labels.len(), &learning) {
                report.fail(typed_state.pos, "calibrate.state", PlanError::State { file, why });
            }
        }
        None if learning.learn => {}
        None => report.fail(typed_state.pos, "calibrate.state", PlanError::NoState { file }),
    }
}

fn correction(report: &mut Report, typed: &CalibrateRule, fitted: &Fitted) -> Option<Correction> {
    let n = typed.labels.len();
    let log = typed.form == Form::Log;
    let mut tensor = |name: &'static str, lengths: std::ops::RangeInclusive<usize>, optional: bool| {
        let found = fitted.tensors.get(name);
        let got = found.map_or(0, Vec::len);
        if found.is_some_and(|_| lengths.contains(&got)) || found.is_none() && optional {
            return found;
        }
        let file = typed.file.as_ref()?;
        let allowed = match (lengths.start(), lengths.end()) {
            (a, b) if a == b => format!("{a}"),
            (a, b) => format!("{a} to {b}"),
        };
        let error = PlanError::FittedLength { file: file.value.clone(), tensor: name, got, allowed };
        report.fail(file.pos, &typed.file_key(), error);
        None
    };
    match typed.method {
        Method::Contextual if !typed.content_free.is_empty() => {
            Some(Correction::ContentFree { log, prompts: typed.content_free.clone().into() })
        }
        Method::Contextual if typed.of_request => Some(Correction::OfRequest { log }),
        Method::Online(learning) => Some(Correction::Online(learning)),
        Method::Temperature(t) => {
            let scale = (t != 1.0).then(|| vec![1.0 / t; n].into());
            Some(Correction::Affine { log: true, scale, offset: None })
        }
        Method::Affine => {
            let (scale, offset) = (tensor("scale", n..=n, false), tensor("offset", n..=n, false));
            let (scale, offset) = (Some(scale?[..].into()), Some(offset?[..].into()));
            Some(Correction::Affine { log, scale, offset })
        }
        Method::Contextual | Method::Batch => {
            let prior = tensor("prior", n..=n, false)?;
            let file = typed.file.as_ref()?;
            if let Some(index) = prior.iter().position(|p| *p < 1e-30) {
                let (got, label) = (prior[index], typed.labels[index].value.clone());
                let error = PlanError::Prior { file: file.value.clone(), label, got };
                report.fail(file.pos, &typed.file_key(), error);
                return None;
            }
            let sum: f64 = prior.iter().map(|p| f64::from(*p)).sum();
            let share = prior.iter().map(|p| f64::from(*p) / sum);
            Some(match typed.form {
                Form::Log => {
                    let offset = share.map(|p| -p.ln() as f32).collect();
                    Correction::Affine { log: true, scale: None, offset: Some(offset) }
                }
                Form::Zhao => {
                    let scale = share.map(|p| (1.0 / p) as f32).collect();
                    Correction::Affine { log: false, scale: Some(scale), offset: None }
                }
            })
        }
        Method::Linear | Method::Tweedie => {
            let scores = tensor("scores", n..=n, true).cloned();
            let (knots, values) = if typed.method == Method::Linear {
                let line = tensor("line", 2..=2, false)?;
                (vec![0.0, 1.0], vec![line[0], line[0] + line[1]])
            } else {
                let (knots, values) = (tensor("knots", 2..=64, false), tensor("values", 2..=64, false));
                (knots?.clone(), values?.clone())
            };
            mean(report, typed, scores, &knots, &values)
        }
    }
}

fn mean(
    report: &mut Report,
    typed: &CalibrateRule,
    scores: Option<Vec<f32>>,
    knots: &[f32],
    values: &[f32],
) -> Option<Correction> {
    let scores = match scores {
        Some(scores) => scores,
        None => {
            let number = |l: &str| l.parse::<f32>().ok().filter(|s| s.is_finite() && s.abs() <= 1e6);
            if let Some(label) = typed.labels.iter().find(|l| number(&l.value).is_none()) {
                report.fail(label.pos, "calibrate.labels", PlanError::NoScore { label: label.value.clone() });
                return None;
            }
            typed.labels.iter().filter_map(|l| number(&l.value)).collect()
        }
    };
    let correction = Tilt::new(&scores).zip(Bend::new(knots, values, &scores));
    if correction.is_none() {
        let file = typed.file.as_ref()?;
        report.fail(file.pos, &typed.file_key(), PlanError::Curve { file: file.value.clone() });
    }
    correction.map(|(tilt, curve)| Correction::Mean { tilt, curve })
}

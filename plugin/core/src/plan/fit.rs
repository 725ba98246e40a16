//! Checks of profile and vector files against a model, and the layers of each rule.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::PlanError;
use super::hint;
use super::types::Site;
use crate::asset::{Assets, Direction, Vectors};
use crate::contrast::{Contrast, Without};
use crate::invariance;
use crate::model::ModelFacts;
use crate::profile::{Condition, Layers, ModelHint, Profile, Reading, SteerRule, Tokens};
use crate::report::{Located, Pos, Spanned};

/// Collects errors.
pub(super) struct Report {
    pub(super) file: Arc<str>,
    pub(super) errors: Vec<Located<PlanError>>,
}

impl Report {
    pub(super) fn fail(&mut self, pos: Pos, key: &str, error: PlanError) {
        self.errors.push(Located { file: self.file.clone(), pos: Some(pos), key: key.to_owned(), error });
    }
}

/// `[model]` against the model.
pub(super) fn guard(report: &mut Report, profile: &Profile, model: &ModelFacts) {
    if let Some(arch) = &profile.model.arch
        && arch.value != model.arch
    {
        let error = PlanError::Guard { guard: format!("\"{}\"", arch.value), model: format!("\"{}\"", model.arch) };
        report.fail(arch.pos, "model.arch", error);
    }
    let counts = [
        ("model.embedding-length", &profile.model.embedding_length, model.n_embd),
        ("model.block-count", &profile.model.block_count, model.n_layer),
    ];
    for (key, guard, model) in counts {
        if let Some(guard) = guard
            && guard.value != model
        {
            let error = PlanError::Guard { guard: guard.value.to_string(), model: model.to_string() };
            report.fail(guard.pos, key, error);
        }
    }
}

/// `[invariance]` against the model's kind of attention.
pub(super) fn attention(report: &mut Report, profile: &Profile, model: &ModelFacts) {
    if let Some(table) = &profile.invariance
        && let Some(why) = invariance::unfit(&model.arch)
    {
        let error = PlanError::Attention { mode: table.invariance.mode.name(), arch: model.arch.clone(), why };
        report.fail(table.pos, "invariance", error);
    }
}

/// `[contrast]`, with its layers, if it goes together with the rest of the profile.
pub(super) fn contrast(report: &mut Report, profile: &Profile, model: &ModelFacts) -> Option<Contrast> {
    let table = profile.contrast.as_ref()?;
    let held = profile.steer.iter().filter(|r| r.when.as_ref().is_some_and(Condition::is_held));
    let rules = held.map(|r| format!("rule `{}`, whose condition is held", r.name.value));
    // The same token stands at another position where something before it is left out.
    let places =
        |tokens: Tokens| matches!(tokens, Tokens::Positions { .. }) && table.contrast.without != Without::Nothing;
    let placed = (profile.steer.iter().filter(|r| places(r.tokens)).map(|r| &r.name))
        .chain(profile.heads.iter().filter(|r| places(r.tokens)).map(|r| &r.name))
        .chain(profile.edits.iter().filter(|r| places(r.tokens)).map(|r| &r.name));
    let placed = placed.map(|name| format!("rule `{}`, which acts on positions", name.value));
    let invariance = profile.invariance.iter().map(|_| "[invariance]".to_owned());
    for got in invariance.chain(rules).chain(placed) {
        report.fail(table.pos, "contrast", PlanError::Contrast { got });
    }
    let mut contrast = table.contrast.clone();
    if let (Some(counterfactual), Some(typed)) = (&mut contrast.attention, &table.layers) {
        counterfactual.layers = resolved(report, typed, ("contrast.without.layers", model)).into_iter().collect();
    }
    Some(contrast)
}

/// The layers that were typed; those that the model does not have, or that were named twice, are reported.
fn resolved(report: &mut Report, typed: &Spanned<Layers>, (key, model): (&str, &ModelFacts)) -> BTreeSet<u32> {
    let (pos, n_layer) = (typed.pos, model.n_layer);
    let mut chosen = BTreeSet::new();
    let items = match &typed.value {
        Layers::All => return (0..n_layer).collect(),
        Layers::Some(items) => items,
    };
    for item in items {
        let Some(range) = item.resolve(n_layer) else {
            report.fail(pos, key, PlanError::NoLayer { got: item.to_string(), n_layer });
            continue;
        };
        if *range.end() >= n_layer {
            report.fail(pos, key, PlanError::NoSuchLayer { got: item.to_string(), n_layer });
            continue;
        }
        for layer in range {
            if !chosen.insert(layer) {
                report.fail(pos, key, PlanError::LayerTwice { layer, got: item.to_string() });
                break;
            }
        }
    }
    chosen
}

/// The layers of one rule, ascending; meaningless if something was reported.
pub(super) fn layers(
    report: &mut Report,
    rule: &SteerRule,
    direction: &Direction,
    model: &ModelFacts,
) -> BTreeSet<u32> {
    let typed = &rule.direction.value;
    let named = File { typed: &rule.direction, key: &rule.file_key(), operator: rule.operator.name(), site: rule.site };
    if !file(report, &named, rule.model_hint, &direction.vectors, model) {
        return BTreeSet::new();
    }
    let has = &direction.vectors.layers;
    let (pos, n_layer) = (rule.layers.pos, model.n_layer);
    let chosen = match &rule.layers.value {
        Layers::All if rule.site == Site::FinalNorm => BTreeSet::from([n_layer.saturating_sub(1)]),
        Layers::All => return has.keys().copied().collect(),
        Layers::Some(_) => resolved(report, &rule.layers, ("steer.layers", model)),
    };
    let missing: BTreeSet<u32> = chosen.iter().copied().filter(|layer| !has.contains_key(layer)).collect();
    if rule.site == Site::FinalNorm && chosen.iter().any(|layer| layer + 1 != n_layer) {
        let got = ranges(chosen.iter().copied());
        report.fail(pos, "steer.layers", PlanError::FinalNormLayers { got, n_layer });
    } else if !missing.is_empty() {
        let (missing, present) = (ranges(missing), ranges(has.keys().copied()));
        report.fail(pos, "steer.layers", PlanError::MissingLayers { file: typed.clone(), missing, present });
    }
    chosen
}

/// The files beside the direction, at `layers`: what spans a plane with it, or is added with it.
pub(super) fn companions(
    report: &mut Report,
    rule: &SteerRule,
    layers: &BTreeSet<u32>,
    assets: &Assets,
    model: &ModelFacts,
) {
    let typed = [("steer.plane", &rule.plane), ("steer.debias", &rule.debias)];
    let typed = typed.into_iter().filter_map(|(key, typed)| Some((key, typed.as_ref()?)));
    typed.for_each(|(key, typed)| companion(report, rule, (key, typed), layers, assets, model));
}

fn companion(
    report: &mut Report,
    rule: &SteerRule,
    (key, typed): (&str, &Spanned<String>),
    layers: &BTreeSet<u32>,
    assets: &Assets,
    model: &ModelFacts,
) {
    let Some(direction) = assets.directions.get(&typed.value) else {
        return report.fail(typed.pos, key, PlanError::Assets { got: 0, rules: 1 });
    };
    let named = File { typed, key, operator: rule.operator.name(), site: rule.site };
    if !file(report, &named, rule.model_hint, &direction.vectors, model) {
        return;
    }
    let has = &direction.vectors.layers;
    let missing: BTreeSet<u32> = layers.iter().copied().filter(|layer| !has.contains_key(layer)).collect();
    if !missing.is_empty() {
        let (missing, present) = (ranges(missing), ranges(has.keys().copied()));
        report.fail(typed.pos, key, PlanError::MissingLayers { file: typed.value.clone(), missing, present });
    }
}

/// The condition of one rule, which acts on `layers`.
pub(super) fn condition(
    report: &mut Report,
    rule: &SteerRule,
    layers: &BTreeSet<u32>,
    assets: &Assets,
    model: &ModelFacts,
) {
    for ask in rule.when.iter().flat_map(|when| when.asks()) {
        let (typed, layer, n_layer) = (&ask.file, ask.layer.value, model.n_layer);
        let vectors = match ask.reading {
            Reading::Similarity { .. } => assets.directions.get(&typed.value).map(|d| &d.vectors),
            _ => assets.probes.get(&typed.value).map(|p| &p.weights),
        };
        let (operator, file_key) = (ask.reading.key(), format!("steer.when.{}", ask.reading.key()));
        let Some(vectors) = vectors else {
            report.fail(typed.pos, &file_key, PlanError::Assets { got: 0, rules: 1 });
            continue;
        };
        let named = File { typed, key: &file_key, operator, site: Site::Residual };
        if !file(report, &named, rule.model_hint, vectors, model) {
            continue;
        }
        let mut fail = |error| report.fail(ask.layer.pos, "steer.when.layer", error);
        match (vectors.layers.get(&layer), layers.first()) {
            _ if layer >= n_layer => fail(PlanError::NoSuchLayer { got: layer.to_string(), n_layer }),
            (None, _) => {
                let (missing, present) = (layer.to_string(), ranges(vectors.layers.keys().copied()));
                fail(PlanError::MissingLayers { file: typed.value.clone(), missing, present });
            }
            (_, Some(&first)) if layer > first || layer == first && rule.site < Site::Residual => {
                fail(PlanError::LateCondition { got: layer, first, site: rule.site });
            }
            (Some(values), _) if values.iter().all(|v| *v == 0.0) => {
                report.fail(
                    typed.pos,
                    &file_key,
                    PlanError::ZeroDirection { file: typed.value.clone(), layer, operator },
                );
            }
            _ => {}
        }
    }
}

/// A file as a profile names it.
struct File<'a> {
    typed: &'a Spanned<String>,
    key: &'a str,
    /// What it is used for.
    operator: &'static str,
    /// Where it acts, or is read.
    site: Site,
}

/// What must hold whichever layers the rule takes.
fn file(report: &mut Report, named: &File<'_>, model_hint: ModelHint, vectors: &Vectors, model: &ModelFacts) -> bool {
    let before = report.errors.len();
    let file = || named.typed.value.clone();
    let mut fail = |error| report.fail(named.typed.pos, named.key, error);
    if vectors.width != model.n_embd {
        fail(PlanError::Width { file: file(), got: vectors.width, n_embd: model.n_embd });
    }
    if let Some(hint) = &vectors.model_hint
        && model_hint == ModelHint::Check
        && !hint::fits(hint, &model.arch)
    {
        fail(PlanError::Hint { file: file(), hint: hint.clone(), arch: model.arch.clone() });
    }
    if let Some(got) = &vectors.operator
        && model_hint == ModelHint::Check
        && got != named.operator
    {
        fail(PlanError::MadeFor { file: file(), got: got.clone(), operator: named.operator });
    }
    if let Some(got) = &vectors.site
        && model_hint == ModelHint::Check
        && *got != named.site.to_string()
    {
        fail(PlanError::MadeForSite { file: file(), got: got.clone(), site: named.site });
    }
    let (n_layer, last) = (model.n_layer, vectors.layers.keys().next_back().copied());
    match (vectors.rows, last) {
        (Some(rows), _) if rows != n_layer => fail(PlanError::Rows { file: file(), rows, n_layer }),
        (None, Some(layer)) if layer >= n_layer => fail(PlanError::FileLayer { file: file(), layer, n_layer }),
        _ => {}
    }
    report.errors.len() == before
}

/// Layers as text: `1..4, 7`.
pub(super) fn ranges(layers: impl IntoIterator<Item = u32>) -> String {
    let mut runs: Vec<(u32, u32)> = vec![];
    for layer in layers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(layer) => *last = layer,
            _ => runs.push((layer, layer)),
        }
    }
    let show = |(from, to): &(u32, u32)| if from == to { from.to_string() } else { format!("{from}..{to}") };
    runs.iter().map(show).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn runs_of_layers_are_written_as_profiles_write_them() {
        assert_eq!(ranges([]), "");
        assert_eq!(ranges([3]), "3");
        assert_eq!(ranges([0, 1, 2, 5, 7, 8]), "0..2, 5, 7..8");
    }
}

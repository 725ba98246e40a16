//! `[[edit]]`: which matrices become which.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::PlanError;
use super::fit::Report;
use super::hint;
use super::types::{Dose, GateIndex, Rule, RuleIndex, Site, SitePlan, Term};
use crate::asset::{Assets, EditFile};
use crate::model::ModelFacts;
use crate::profile::{EditRule, ModelHint, Operator, Profile, Tokens};

/// Edits that do not fit the model are reported. What the model's facts do not say, the graph will.
pub(super) fn check(report: &mut Report, profile: &Profile, assets: &Assets, model: &ModelFacts) {
    const KEY: &str = "edit.file";
    for rule in &profile.edits {
        let (pos, typed) = (rule.file.pos, &rule.file.value);
        let Some(file) = file(assets, rule) else {
            report.fail(pos, KEY, PlanError::Assets { got: 0, rules: 1 });
            continue;
        };
        if let Some(hint) = &file.model_hint
            && rule.model_hint == ModelHint::Check
            && !hint::fits(hint, &model.arch)
        {
            let (hint, arch) = (hint.clone(), model.arch.clone());
            report.fail(pos, KEY, PlanError::Hint { file: typed.clone(), hint, arch });
        }
        for ((layer, weight), edit) in &file.edits {
            let inputs = edit.a.len() as u32 / edit.rank.max(1);
            if let Some(layer) = layer.filter(|layer| *layer >= model.n_layer) {
                let (layer, n_layer) = (layer, model.n_layer);
                report.fail(pos, KEY, PlanError::FileLayer { file: typed.clone(), layer, n_layer });
                break;
            } else if weight.reads_the_stream() && inputs != model.n_embd {
                let error = PlanError::Width { file: typed.clone(), got: inputs, n_embd: model.n_embd };
                report.fail(pos, KEY, error);
                break;
            }
        }
    }
}

fn file<'a>(assets: &'a Assets, rule: &EditRule) -> Option<&'a Arc<EditFile>> {
    assets.edits.get(&rule.file.value)
}

/// Where an edit of a file is in this model: the LM head counts as part of the last block.
fn sites_of<'a>(
    file: &'a EditFile,
    model: &ModelFacts,
) -> impl Iterator<Item = (u32, Site, &'a crate::asset::LowRank)> {
    let last = model.n_layer.saturating_sub(1);
    file.edits.iter().map(move |((layer, weight), edit)| (layer.unwrap_or(last), Site::Product(*weight), edit))
}

/// The rules as they will act, behind those that have `n_gates` gates.
pub(super) fn rules(profile: &Profile, assets: &Assets, model: &ModelFacts, mut n_gates: u16) -> Vec<Rule> {
    let mut rule = |typed: &EditRule| {
        let sites: Vec<_> = file(assets, typed).iter().flat_map(|file| sites_of(file, model)).collect();
        let gate = (typed.adjustable || typed.tokens != Tokens::All).then(|| {
            n_gates += 1;
            GateIndex(n_gates - 1)
        });
        let off = typed.strength.value == 0.0 && !typed.adjustable;
        let mut layers: Vec<u32> = sites.iter().map(|(layer, ..)| *layer).filter(|_| !off).collect();
        layers.dedup();
        Rule {
            name: typed.name.value.clone(),
            operator: Operator::Edit,
            strength: typed.strength.value,
            gate,
            adjustable: typed.adjustable,
            tokens: typed.tokens,
            held: false,
            site: sites.first().map_or(Site::Residual, |(_, site, _)| *site),
            layers,
            dropped: off.then(|| "strength 0".to_owned()),
        }
    };
    profile.edits.iter().map(&mut rule).collect()
}

/// What happens where, in file order. `rules` ends with those of the edits.
pub(super) fn sites(profile: &Profile, assets: &Assets, model: &ModelFacts, rules: &[Rule]) -> Vec<SitePlan> {
    let first = rules.len() - profile.edits.len();
    let mut sites: BTreeMap<(u32, Site), Vec<Term>> = BTreeMap::new();
    for (index, (typed, rule)) in profile.edits.iter().zip(&rules[first..]).enumerate() {
        let Some(file) = file(assets, typed).filter(|_| rule.dropped.is_none()) else { continue };
        for (layer, site, edit) in sites_of(file, model) {
            // The strength of a rule with a gate is in the gate table.
            let b = match rule.gate {
                Some(_) => edit.b.clone(),
                None if rule.strength == 1.0 => edit.b.clone(),
                None => edit.b.iter().map(|b| b * rule.strength).collect(),
            };
            if edit.a.iter().all(|a| *a == 0.0) || b.iter().all(|b| *b == 0.0) {
                continue;
            }
            let rules = vec![RuleIndex((first + index) as u16)];
            let (dose, a) = (Dose { gate: rule.gate, when: None }, edit.a.clone());
            sites.entry((layer, site)).or_default().push(Term::Edit { rules, dose, rank: edit.rank, a, b });
        }
    }
    sites.into_iter().map(|((layer, site), terms)| SitePlan { site, layer, terms }).collect()
}

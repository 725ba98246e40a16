//! `[[heads]]`: which heads are scaled at which layer.

use std::collections::BTreeMap;

use super::error::PlanError;
use super::fit::Report;
use super::types::{Dose, GateIndex, Rule, RuleIndex, Site, SitePlan, Term};
use crate::model::ModelFacts;
use crate::profile::{HeadsRule, Operator, Profile, Tokens};

/// Heads that the model does not have are reported.
pub(super) fn check(report: &mut Report, profile: &Profile, model: &ModelFacts) {
    for head in profile.heads.iter().flat_map(|rule| &rule.heads) {
        let (layer, got) = (head.value.layer, format!("{}.{}", head.value.layer, head.value.head));
        if layer >= model.n_layer {
            report.fail(head.pos, "heads.heads", PlanError::NoSuchLayer { got, n_layer: model.n_layer });
        } else if let Some(n_head) = model.n_head
            && head.value.head >= n_head
        {
            report.fail(head.pos, "heads.heads", PlanError::NoSuchHead { got, n_head });
        }
    }
}

/// The rules as they will act, behind those that have `n_gates` gates.
pub(super) fn rules(profile: &Profile, mut n_gates: u16) -> Vec<Rule> {
    let rule = |typed: &HeadsRule| {
        let gate = (typed.adjustable || typed.tokens != Tokens::All).then(|| {
            n_gates += 1;
            GateIndex(n_gates - 1)
        });
        let still = typed.scale.value == 1.0;
        let mut layers: Vec<u32> = typed.heads.iter().map(|head| head.value.layer).filter(|_| !still).collect();
        layers.sort_unstable();
        layers.dedup();
        let operator = Operator::Heads { scale: typed.scale.value };
        let (name, dropped) = (typed.name.value.clone(), still.then(|| "scale 1".to_owned()));
        let (adjustable, tokens) = (typed.adjustable, typed.tokens);
        Rule {
            name,
            operator,
            strength: 1.0,
            gate,
            adjustable,
            tokens,
            held: false,
            site: Site::Heads,
            layers,
            dropped,
        }
    };
    profile.heads.iter().map(rule).collect()
}

/// What happens where. Scales that always hold come to one product per head, adjustable ones are terms of their own.
pub(super) fn sites(profile: &Profile, rules: &[Rule]) -> Vec<SitePlan> {
    let first = rules.len() - profile.heads.len();
    let mut sites: BTreeMap<u32, Vec<Term>> = BTreeMap::new();
    for (index, (typed, rule)) in profile.heads.iter().zip(&rules[first..]).enumerate() {
        let index = RuleIndex((first + index) as u16);
        for layer in &rule.layers {
            let terms = sites.entry(*layer).or_default();
            let here = typed.heads.iter().filter(|head| head.value.layer == *layer);
            let scales: BTreeMap<u32, f32> = here.map(|head| (head.value.head, typed.scale.value)).collect();
            let whole = |term: &Term| term.dose().is_some_and(Dose::is_whole);
            if rule.gate.is_none()
                && let Some(Term::ScaleHeads { rules, heads, .. }) = terms.iter_mut().find(|term| whole(term))
            {
                rules.push(index);
                scales.iter().for_each(|(head, scale)| *heads.entry(*head).or_insert(1.0) *= scale);
                continue;
            }
            let dose = Dose { gate: rule.gate, when: None };
            terms.push(Term::ScaleHeads { rules: vec![index], dose, heads: scales });
        }
    }
    for terms in sites.values_mut() {
        terms.retain_mut(|term| match term {
            Term::ScaleHeads { heads, .. } => {
                heads.retain(|_, scale| *scale != 1.0);
                !heads.is_empty()
            }
            _ => true,
        });
    }
    let site = |(layer, terms): (u32, Vec<Term>)| SitePlan { site: Site::Heads, layer, terms };
    sites.into_iter().filter(|(_, terms)| !terms.is_empty()).map(site).collect()
}

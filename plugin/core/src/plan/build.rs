//! From profile, vector files and a model to a [`Plan`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::error::{PlanError, PlanErrors};
use super::fit::{self, Report};
use super::sum::Sum;
use super::types::{Dose, GateIndex, Plan, Rule, RuleIndex, Site, SitePlan, Term};
use crate::asset::{Assets, Direction};
use crate::model::ModelFacts;
use crate::profile::{Profile, SteerRule};
use crate::report::{Errors, Located};

impl Plan {
    /// Validates a profile and its vector files against a model.
    ///
    /// At each site of each layer the constant adds come to one sum, in file order, at the place of the first of them;
    /// an adjustable rule is a term of its own. That is the same as applying rules one by one, since all of them add.
    /// A sum of zero, a rule with strength 0 and a rule whose sums are all zero do not appear in [`Plan::sites`].
    ///
    /// # Errors
    /// Every reason why the profile does not fit the model.
    pub fn build(profile: &Profile, assets: &Assets, model: &ModelFacts) -> Result<Self, PlanErrors> {
        let (got, rules) = (assets.steer.len(), profile.steer.len());
        if got != rules {
            let error = PlanError::Assets { got, rules };
            return Err(Errors::one(Located { file: profile.file.clone(), pos: None, key: String::new(), error }));
        }
        let mut report = Report { file: profile.file.clone(), errors: vec![] };
        fit::guard(&mut report, profile, model);
        let layers: Vec<_> = profile
            .steer
            .iter()
            .zip(&assets.steer)
            .map(|(rule, direction)| fit::layers(&mut report, rule, direction, model))
            .collect();
        Errors::check(std::mem::take(&mut report.errors))?;
        let mut rules = rules_of(profile, layers);
        let mut sites = vec![];
        for ((layer, site), here) in places(&rules) {
            let place = Place { profile, assets, rules: &rules, site, layer };
            sites.extend(place.plan(&mut report, &here));
        }
        Errors::check(report.errors)?;
        drop_cancelled(&mut rules, &sites);
        let n_gates = rules.iter().filter(|r| r.gate.is_some()).count() as u16;
        Ok(Self { profile: profile.name.clone(), model: model.clone(), rules, probes: vec![], n_gates, sites })
    }
}

/// The rules as they will act, before zero sums are known. At most 64, so that an index fits.
fn rules_of(profile: &Profile, layers: Vec<BTreeSet<u32>>) -> Vec<Rule> {
    let mut n_gates = 0;
    let rule = |(typed, layers): (&SteerRule, BTreeSet<u32>)| {
        let off = typed.strength.value == 0.0 && !typed.adjustable;
        let gate = typed.adjustable.then(|| {
            n_gates += 1;
            GateIndex(n_gates - 1)
        });
        Rule {
            name: typed.name.value.clone(),
            strength: typed.strength.value,
            gate,
            site: typed.site,
            layers: if off { vec![] } else { layers.into_iter().collect() },
            dropped: off.then(|| "strength 0".to_owned()),
        }
    };
    profile.steer.iter().zip(layers).map(rule).collect()
}

/// Which rules act where, in file order.
fn places(rules: &[Rule]) -> BTreeMap<(u32, Site), Vec<RuleIndex>> {
    let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, rule) in (0..).zip(rules) {
        for layer in &rule.layers {
            places.entry((*layer, rule.site)).or_default().push(RuleIndex(index));
        }
    }
    places
}

/// One site of one layer.
struct Place<'a> {
    profile: &'a Profile,
    assets: &'a Assets,
    rules: &'a [Rule],
    site: Site,
    layer: u32,
}

impl Place<'_> {
    fn plan(&self, report: &mut Report, here: &[RuleIndex]) -> Option<SitePlan> {
        let mut terms = vec![];
        // The constant sum and where its term belongs.
        let mut constant: Option<(usize, Sum)> = None;
        for &rule in here {
            let (found, direction) = (&self.rules[usize::from(rule.0)], self.direction(rule)?);
            if let Some(gate) = found.gate {
                self.check_gated(report, rule, direction, found.strength);
                terms.extend(gated(rule, gate, direction));
                continue;
            }
            let (_, sum) = constant.get_or_insert_with(|| (terms.len(), Sum::new(direction.len())));
            if let Err(index) = sum.add(rule, direction, found.strength) {
                self.overflow(report, &sum.rules, rule, index);
                return None;
            }
        }
        if let Some((at, sum)) = constant
            && let Some((rules, values)) = sum.finish()
        {
            terms.insert(at, Term::AddConst { rules, vector: values.into() });
        }
        (!terms.is_empty()).then_some(SitePlan { site: self.site, layer: self.layer, terms })
    }

    fn direction(&self, rule: RuleIndex) -> Option<&[f32]> {
        let asset: &Arc<Direction> = self.assets.steer.get(usize::from(rule.0))?;
        asset.vectors.layers.get(&self.layer).map(Vec::as_slice)
    }

    fn check_gated(&self, report: &mut Report, rule: RuleIndex, direction: &[f32], strength: f32) {
        if let Some(index) = direction.iter().position(|v| !(v * strength).is_finite()) {
            self.overflow(report, &[rule], rule, index);
        }
    }

    fn overflow(&self, report: &mut Report, rules: &[RuleIndex], last: RuleIndex, index: usize) {
        let names: Vec<_> = rules.iter().map(|r| self.rules[usize::from(r.0)].name.as_str()).collect();
        let error = PlanError::Overflow { layer: self.layer, rules: names.join(" + "), index };
        report.fail(self.profile.steer[usize::from(last.0)].strength.pos, "steer.strength", error);
    }
}

/// An adjustable rule's term, unless its direction is zero, which no strength changes.
fn gated(rule: RuleIndex, gate: GateIndex, direction: &[f32]) -> Option<Term> {
    let zero = direction.iter().all(|v| *v == 0.0);
    (!zero).then(|| Term::AddGated { rule, dose: Dose { gate: Some(gate), when: None }, vector: direction.into() })
}

/// A rule keeps the layers at which it is part of a term; one that has none left is dropped.
fn drop_cancelled(rules: &mut [Rule], sites: &[SitePlan]) {
    let mut acts: HashMap<RuleIndex, Vec<u32>> = HashMap::new();
    for site in sites {
        for term in &site.terms {
            for rule in term.rules() {
                acts.entry(*rule).or_default().push(site.layer);
            }
        }
    }
    for (index, rule) in (0..).zip(rules) {
        rule.layers = acts.remove(&RuleIndex(index)).unwrap_or_default();
        if rule.layers.is_empty() && rule.dropped.is_none() {
            rule.dropped = Some("its sums are zero".to_owned());
        }
    }
}

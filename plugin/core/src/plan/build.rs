//! From profile, vector files and a model to a [`Plan`].

use std::collections::{BTreeSet, HashMap};

use super::edit;
use super::error::{PlanError, PlanErrors};
use super::fit::{self, Report};
use super::heads;
use super::place::Place;
use super::taps::{Places, Taps};
use super::types::{GateIndex, Plan, Rule, RuleIndex, Site, SitePlan, When};
use crate::asset::Assets;
use crate::model::ModelFacts;
use crate::profile::{Condition, Operator, Profile, SteerRule, Tokens};
use crate::report::{Errors, Located};
use crate::vocabulary::Vocabulary;

impl Plan {
    /// Validates a profile and its vector files against a model.
    ///
    /// Rules at one site act in file order, each on the result of the one before. Constant adds with nothing but adds
    /// between them come to one sum, at the place of the first; consecutive whole projections come to one subspace. A rule
    /// under a condition is part of neither: its probes are read before it where it acts at their layer, else after all
    /// rules there. A sum of zero, a rule without a dose and a rule whose sums are all zero do not appear in
    /// [`Plan::sites`], and neither do probes that nothing asks for.
    ///
    /// # Errors
    /// Every reason why the profile does not fit the model.
    pub fn build(profile: &Profile, assets: &Assets, model: &ModelFacts) -> Result<Self, PlanErrors> {
        Self::build_with(profile, assets, model, None)
    }

    /// The same with the model's vocabulary, which a profile with `[[calibrate]]` tables needs.
    ///
    /// # Errors
    /// As [`Plan::build`].
    pub fn build_with(
        profile: &Profile,
        assets: &Assets,
        model: &ModelFacts,
        vocabulary: Option<&Vocabulary>,
    ) -> Result<Self, PlanErrors> {
        let (got, rules) = (assets.steer.len(), profile.steer.len());
        if got != rules {
            let error = PlanError::Assets { got, rules };
            return Err(Errors::one(Located { file: profile.file.clone(), pos: None, key: String::new(), error }));
        }
        let mut report = Report { file: profile.file.clone(), errors: vec![] };
        fit::guard(&mut report, profile, model);
        fit::attention(&mut report, profile, model);
        let contrast = fit::contrast(&mut report, profile, model);
        let layers: Vec<_> = profile
            .steer
            .iter()
            .zip(&assets.steer)
            .map(|(rule, direction)| {
                let layers = fit::layers(&mut report, rule, direction, model);
                fit::companions(&mut report, rule, &layers, assets, model);
                fit::condition(&mut report, rule, &layers, assets, model);
                layers
            })
            .collect();
        heads::check(&mut report, profile, model);
        edit::check(&mut report, profile, assets, model);
        Errors::check(std::mem::take(&mut report.errors))?;
        let mut rules = rules_of(profile, layers);
        let mut sites = vec![];
        let (mut places, mut taps) = (places(&rules), Taps::default());
        let whens = whens(profile, assets, &rules, &places, &mut taps);
        for layer in taps.layers() {
            places.entry((layer, Site::Residual)).or_default();
        }
        for ((layer, site), here) in places {
            let place = Place { profile, assets, rules: &rules, taps: &taps, whens: &whens, site, layer };
            sites.extend(place.plan(&mut report, &here));
        }
        Errors::check(std::mem::take(&mut report.errors))?;
        let n_gates = rules.iter().filter(|r| r.gate.is_some()).count() as u16;
        rules.extend(heads::rules(profile, n_gates));
        sites.extend(heads::sites(profile, &rules));
        let n_gates = rules.iter().filter(|r| r.gate.is_some()).count() as u16;
        rules.extend(edit::rules(profile, assets, model, n_gates));
        sites.extend(edit::sites(profile, assets, model, &rules));
        sites.sort_by_key(|s| (s.layer, s.site));
        let probes = taps.prune(&mut sites);
        drop_cancelled(&mut rules, &sites);
        let n_gates = rules.iter().filter(|r| r.gate.is_some()).count() as u16;
        let invariance = profile.invariance.as_ref().map(|table| table.invariance.clone());
        let of_request = profile.calibrate.iter().any(|rule| rule.of_request);
        let contrast = contrast.filter(|c| c.alpha != 0.0 || of_request);
        let (name, model) = (profile.name.clone(), model.clone());
        let mut plan =
            Self { profile: name, model, rules, probes, n_gates, after: vec![], sites, invariance, contrast };
        super::calibrate::add(&mut report, &mut plan, (profile, assets), vocabulary);
        Errors::check(report.errors)?;
        Ok(plan)
    }
}

/// The rules as they will act, before zero sums are known. At most 64, so that an index fits.
fn rules_of(profile: &Profile, layers: Vec<BTreeSet<u32>>) -> Vec<Rule> {
    let mut n_gates = 0;
    let rule = |(typed, layers): (&SteerRule, BTreeSet<u32>)| {
        let still = matches!(typed.operator, Operator::Rotate { angle } if angle % 360.0 == 0.0);
        let off = still || typed.strength.value == 0.0 && !typed.adjustable && typed.debias.is_none();
        let held = typed.when.as_ref().is_some_and(Condition::is_held);
        let gate = (typed.adjustable || typed.tokens != Tokens::All || held).then(|| {
            n_gates += 1;
            GateIndex(n_gates - 1)
        });
        Rule {
            name: typed.name.value.clone(),
            operator: typed.operator,
            // What a gate scales of a pair of vectors has the strength of each in it.
            strength: if typed.debias.is_some() && gate.is_some() { 1.0 } else { typed.strength.value },
            gate,
            adjustable: typed.adjustable,
            tokens: typed.tokens,
            held,
            site: typed.site,
            layers: if off { vec![] } else { layers.into_iter().collect() },
            dropped: off.then(|| nothing(typed.operator).to_owned()),
        }
    };
    profile.steer.iter().zip(layers).map(rule).collect()
}

/// Why a rule without a dose is dropped.
fn nothing(operator: Operator) -> &'static str {
    match operator {
        Operator::Project | Operator::Affine => "fraction 0",
        Operator::Add | Operator::Clamp { .. } | Operator::Sae { .. } => "strength 0",
        Operator::Rotate { .. } => "no angle",
        Operator::Heads { .. } => "scale 1",
        Operator::Edit => "strength 0",
        Operator::Calibrate(_) => "no calibration",
    }
}

/// The condition of every rule that acts and has one.
fn whens(profile: &Profile, assets: &Assets, rules: &[Rule], places: &Places, taps: &mut Taps) -> Vec<Option<When>> {
    let acting = (0..).zip(profile.steer.iter().zip(rules));
    let when = |(index, (typed, rule)): (u16, (&SteerRule, &Rule))| {
        let condition = typed.when.as_ref().filter(|_| !rule.layers.is_empty())?;
        taps.when(condition, RuleIndex(index), places, assets)
    };
    acting.map(when).collect()
}

/// Which rules act where, in file order.
fn places(rules: &[Rule]) -> Places {
    let mut places = Places::new();
    for (index, rule) in (0..).zip(rules) {
        for layer in &rule.layers {
            places.entry((*layer, rule.site)).or_default().push(RuleIndex(index));
        }
    }
    places
}

/// A rule keeps the layers at which it is part of a term; one that has none left is dropped.
fn drop_cancelled(rules: &mut [Rule], sites: &[SitePlan]) {
    let mut acts: HashMap<RuleIndex, Vec<u32>> = HashMap::new();
    for site in sites {
        for term in &site.terms {
            for rule in term.rules() {
                let layers = acts.entry(*rule).or_default();
                if layers.last() != Some(&site.layer) {
                    layers.push(site.layer);
                }
            }
        }
    }
    for (index, rule) in (0..).zip(rules) {
        rule.layers = acts.remove(&RuleIndex(index)).unwrap_or_default();
        if rule.layers.is_empty() && rule.dropped.is_none() {
            let heads = matches!(rule.operator, Operator::Heads { .. });
            rule.dropped = Some(if heads { "its scales come to 1" } else { "its sums are zero" }.to_owned());
        }
    }
}

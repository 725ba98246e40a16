//! One site of one layer: its rules, in file order, as terms.

use std::sync::Arc;

use super::error::PlanError;
use super::factored::factored;
use super::fit::Report;
use super::rotation::rotation;
use super::subspace::{Subspace, unit};
use super::sum::Sum;
use super::taps::Taps;
use super::types::{Dose, Map, Rule, RuleIndex, Site, SitePlan, Term, Update, When};
use crate::asset::{Assets, Direction};
use crate::profile::{Operator, Profile, Unit};
use crate::report::Spanned;

/// A site and what is known about it.
pub(super) struct Place<'a> {
    pub(super) profile: &'a Profile,
    pub(super) assets: &'a Assets,
    pub(super) rules: &'a [Rule],
    pub(super) taps: &'a Taps,
    /// The condition of each rule.
    pub(super) whens: &'a [Option<When>],
    pub(super) site: Site,
    pub(super) layer: u32,
}

/// The terms so far. What may still grow is kept apart: at most one of the two is there.
#[derive(Default)]
struct Terms {
    list: Vec<Term>,
    /// The constant sum, and where its term belongs: adds commute, so that it may stand before other adds.
    sum: Option<(usize, Sum)>,
    /// The last whole projections.
    subspace: Option<Subspace>,
}

impl Terms {
    /// Ends what would not be the same any more after a term that is not of its kind.
    fn settle(&mut self) {
        if let Some((at, sum)) = self.sum.take()
            && let Some((rules, values)) = sum.finish()
        {
            self.list.insert(at, Term::AddConst { rules, vector: values.into() });
        }
        if let Some(subspace) = self.subspace.take() {
            self.list.push(subspace.term());
        }
    }
}

impl Place<'_> {
    /// The site's plan, if anything is left of it. Errors are reported.
    pub(super) fn plan(&self, report: &mut Report, here: &[RuleIndex]) -> Option<SitePlan> {
        let mut terms = Terms::default();
        for (before, &rule) in here.iter().enumerate() {
            self.tap(&mut terms, before);
            let (found, direction) = (&self.rules[usize::from(rule.0)], self.direction(rule)?);
            let dose = Dose { gate: found.gate, when: self.whens.get(usize::from(rule.0)).cloned().flatten() };
            match found.operator {
                Operator::Add if self.profile.steer[usize::from(rule.0)].unit == Unit::Norm => match unit(direction) {
                    Some(v) => self.by_norm(&mut terms, rule, dose, v),
                    None => self.zero(report, rule, found.operator),
                },
                Operator::Add if dose.is_whole() => self.constant(report, &mut terms, rule, direction)?,
                Operator::Add => self.gated(report, &mut terms, rule, dose, direction),
                Operator::Heads { .. } | Operator::Edit => {}
                Operator::Affine | Operator::Sae { .. } => self.factored(report, &mut terms, rule, dose),
                operator => {
                    let Some(v) = unit(direction) else {
                        self.zero(report, rule, operator);
                        continue;
                    };
                    self.update(report, &mut terms, rule, dose, v);
                }
            }
        }
        self.tap(&mut terms, here.len());
        terms.settle();
        let terms = terms.list;
        (!terms.is_empty()).then_some(SitePlan { site: self.site, layer: self.layer, terms })
    }

    /// What is read after `before` of the rules here sees their sum, and not that of the next ones.
    fn tap(&self, terms: &mut Terms, before: usize) {
        // Probes read the residual stream.
        if self.site != Site::Residual {
            return;
        }
        for probe in self.taps.at(self.layer, before) {
            terms.settle();
            terms.list.push(Term::Tap { probe });
        }
    }

    /// An adjustable or conditional add is a term of its own, unless its direction is zero, which no strength changes.
    fn gated(&self, report: &mut Report, terms: &mut Terms, rule: RuleIndex, dose: Dose, direction: &[f32]) {
        let strength = self.profile.steer[usize::from(rule.0)].strength.value;
        let mut sum = Sum::new(direction.len());
        let debias = self.companion(self.profile.steer[usize::from(rule.0)].debias.as_ref());
        if let Err(index) =
            debias.map_or(Ok(()), |debias| sum.add(rule, debias, 1.0)).and_then(|()| sum.add(rule, direction, strength))
        {
            self.overflow(report, &[rule], rule, index);
        }
        if terms.subspace.is_some() {
            terms.settle();
        }
        if dose.gate.is_some() && debias.is_none() {
            // The rule's strength is in the gate table.
            if direction.iter().any(|v| *v != 0.0) {
                terms.list.push(Term::AddGated { rules: vec![rule], dose, vector: direction.into() });
            }
        } else if let Some((_, values)) = sum.finish() {
            terms.list.push(Term::AddGated { rules: vec![rule], dose, vector: values.into() });
        }
    }

    fn constant(&self, report: &mut Report, terms: &mut Terms, rule: RuleIndex, direction: &[f32]) -> Option<()> {
        if terms.subspace.is_some() {
            terms.settle();
        }
        let strength = self.profile.steer[usize::from(rule.0)].strength.value;
        let (_, sum) = terms.sum.get_or_insert_with(|| (terms.list.len(), Sum::new(direction.len())));
        let debias = self.companion(self.profile.steer[usize::from(rule.0)].debias.as_ref());
        let debias = debias.map_or(Ok(()), |debias| sum.add(rule, debias, 1.0));
        match debias.and_then(|()| sum.add(rule, direction, strength)) {
            Ok(()) => Some(()),
            Err(index) => {
                self.overflow(report, &sum.rules, rule, index);
                None
            }
        }
    }

    /// A rule that reads what it changes, along the direction `v` of length 1.
    fn update(&self, report: &mut Report, terms: &mut Terms, rule: RuleIndex, dose: Dose, v: Vec<f64>) {
        let Rule { operator, strength, .. } = self.rules[usize::from(rule.0)];
        let whole = operator == Operator::Project && dose.is_whole() && strength == 1.0;
        if whole && let Some(subspace) = &mut terms.subspace {
            return subspace.add(rule, v);
        }
        terms.settle();
        if whole {
            terms.subspace = Some(Subspace::new(rule, v));
            return;
        }
        if let Operator::Rotate { angle } = operator {
            match self
                .companion(self.profile.steer[usize::from(rule.0)].plane.as_ref())
                .and_then(|w| rotation(v, w, angle))
            {
                Some(update) => terms.list.push(Term::Update { rules: vec![rule], dose, update }),
                None => self.no_plane(report, rule),
            }
            return;
        }
        let v: Arc<[f32]> = v.into_iter().map(|x| x as f32).collect();
        let map = match operator {
            Operator::Clamp { min, max } => Map::Clamp { min, max },
            // An adjustable rule's fraction is in the gate table.
            _ => Map::Linear { matrix: vec![if dose.gate.is_some() { -1.0 } else { -strength }], offset: vec![0.0] },
        };
        let update = Update { reads: vec![v.clone()], writes: vec![v], map };
        terms.list.push(Term::Update { rules: vec![rule], dose, update });
    }

    /// An add whose strength is a share of the row's length, along the direction `v` of length 1.
    fn by_norm(&self, terms: &mut Terms, rule: RuleIndex, dose: Dose, v: Vec<f64>) {
        terms.settle();
        // The strength of a rule with a gate is in the gate table.
        let factor = if dose.gate.is_some() { 1.0 } else { self.rules[usize::from(rule.0)].strength };
        let writes = vec![v.into_iter().map(|x| x as f32).collect()];
        let update = Update { reads: vec![], writes, map: Map::Norm { factor } };
        terms.list.push(Term::Update { rules: vec![rule], dose, update });
    }

    fn direction(&self, rule: RuleIndex) -> Option<&[f32]> {
        let asset: &Arc<Direction> = self.assets.steer.get(usize::from(rule.0))?;
        asset.vectors.layers.get(&self.layer).map(Vec::as_slice)
    }

    /// A rule whose file says what is read and what is written.
    fn factored(&self, report: &mut Report, terms: &mut Terms, rule: RuleIndex, dose: Dose) {
        let Rule { operator, strength, .. } = self.rules[usize::from(rule.0)];
        // An adjustable rule's fraction is in the gate table.
        let fraction = if dose.gate.is_some() { 1.0 } else { strength };
        let factors = self.assets.steer.get(usize::from(rule.0)).and_then(|asset| asset.factors.get(&self.layer));
        let Some(update) = factors.and_then(|factors| factored(factors, operator, fraction)) else {
            let typed = &self.profile.steer[usize::from(rule.0)];
            return report.fail(typed.direction.pos, &typed.file_key(), PlanError::Assets { got: 0, rules: 1 });
        };
        terms.settle();
        terms.list.push(Term::Update { rules: vec![rule], dose, update });
    }

    /// The direction of a file beside the rule's own.
    fn companion(&self, typed: Option<&Spanned<String>>) -> Option<&[f32]> {
        self.assets.directions.get(&typed?.value)?.vectors.layers.get(&self.layer).map(Vec::as_slice)
    }

    fn no_plane(&self, report: &mut Report, rule: RuleIndex) {
        if let Some(typed) = &self.profile.steer[usize::from(rule.0)].plane {
            let error = PlanError::NoPlane { file: typed.value.clone(), layer: self.layer };
            report.fail(typed.pos, "steer.plane", error);
        }
    }

    fn zero(&self, report: &mut Report, rule: RuleIndex, operator: Operator) {
        let typed = &self.profile.steer[usize::from(rule.0)].direction;
        let (file, layer, operator) = (typed.value.clone(), self.layer, operator.name());
        report.fail(typed.pos, "steer.direction", PlanError::ZeroDirection { file, layer, operator });
    }

    fn overflow(&self, report: &mut Report, rules: &[RuleIndex], last: RuleIndex, index: usize) {
        let names: Vec<_> = rules.iter().map(|r| self.rules[usize::from(r.0)].name.as_str()).collect();
        let error = PlanError::Overflow { layer: self.layer, rules: names.join(" + "), index };
        report.fail(self.profile.steer[usize::from(last.0)].strength.pos, "steer.strength", error);
    }
}

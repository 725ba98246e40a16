//! Several plans as one, for sequences with different plans in one graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::ModelFacts;

use super::types::{Dose, GateIndex, Plan, Probe, ProbeIndex, Rule, RuleIndex, Site, SitePlan, Term, When};

/// What the values of one row of the gate table come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateSource {
    /// 1 on the rows of this plan, by its place among the merged ones, else 0.
    Plan(usize),
    /// On the rows of a plan, the strength of a rule of it where its tokens are, else 0.
    Rule(usize, RuleIndex),
    /// On the rows of a plan, what a rule of it adds to the logarithm of the share of a label, by its number; else 0.
    Prior(usize, RuleIndex, u16),
    /// 1 on the rows of sequences that may only end, else 0.
    Refused,
}

/// Plans whose terms stand in one graph, each on the rows of its own sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// All terms. Its rules are those of the plans, one plan after the other.
    pub plan: Plan,
    /// By [`GateIndex`].
    pub gates: Vec<GateSource>,
    /// By plan: the place of its first rule in `plan.rules`.
    pub first_rule: Vec<usize>,
}

impl Merged {
    /// One plan on every row: what it adds to every row needs no gate.
    pub fn alone(plan: &Plan) -> Merged {
        Merged { plan: plan.clone(), gates: sources(0, plan), first_rule: vec![0] }
    }

    /// Several plans, or one that not every row has. Every term gets a gate; a row on which all gates are 0 keeps every
    /// bit but the sign of a zero. All plans are for `model`.
    pub fn gated(model: &ModelFacts, plans: &[&Plan]) -> Merged {
        let mut merged = Merging::default();
        plans.iter().enumerate().for_each(|(index, plan)| merged.add(index, plan));
        let names: Vec<&str> = plans.iter().map(|p| p.profile.as_str()).collect();
        let sites = merged.sites.into_iter().map(|((layer, site), terms)| SitePlan { site, layer, terms }).collect();
        let plan = Plan {
            profile: names.join(" | "),
            model: model.clone(),
            rules: merged.rules,
            probes: merged.probes,
            // Of each plan its own.
            after: vec![],
            n_gates: merged.gates.len() as u16,
            sites,
            invariance: None,
            contrast: None,
        };
        Merged { plan, gates: merged.gates, first_rule: merged.first_rule }
    }

    /// The same, and `vector`, one value per token of the vocabulary, on the logits of rows that are refused.
    pub fn with_refusal(mut self, vector: Arc<[f32]>) -> Merged {
        let dose = Dose { gate: Some(GateIndex(self.gates.len() as u16)), when: None };
        let term = Term::AddGated { rules: vec![], dose, vector };
        // After all layers, and after calibrations.
        match self.plan.sites.iter_mut().find(|site| site.site == Site::Logits) {
            Some(site) => site.terms.push(term),
            None => {
                let (site, layer) = (Site::Logits, self.plan.model.n_layer);
                self.plan.sites.push(SitePlan { site, layer, terms: vec![term] });
            }
        }
        self.gates.push(GateSource::Refused);
        self.plan.n_gates = self.gates.len() as u16;
        self
    }

    /// The plan that a rule of [`Merged::plan`] belongs to, and its place there.
    pub fn origin(&self, rule: RuleIndex) -> (usize, RuleIndex) {
        let index = usize::from(rule.0);
        let plan = self.first_rule.partition_point(|first| *first <= index).saturating_sub(1);
        (plan, RuleIndex((index - self.first_rule[plan]) as u16))
    }
}

/// The rows of the gate table that a plan's own rules have, in their order: of a rule with a prior, those of its labels
/// follow its own.
fn sources(index: usize, plan: &Plan) -> Vec<GateSource> {
    let rules = (0..).map(RuleIndex).zip(&plan.rules);
    let gates = |(rule, typed): (RuleIndex, &Rule)| {
        let labels = 0..typed.gate.map_or(0, |_| plan.labels_of_prior(rule));
        let own = typed.gate.map(|_| GateSource::Rule(index, rule));
        own.into_iter().chain(labels.map(move |label| GateSource::Prior(index, rule, label))).collect::<Vec<_>>()
    };
    rules.flat_map(gates).collect()
}

#[derive(Default)]
struct Merging {
    rules: Vec<Rule>,
    probes: Vec<Probe>,
    gates: Vec<GateSource>,
    first_rule: Vec<usize>,
    sites: BTreeMap<(u32, Site), Vec<Term>>,
}

impl Merging {
    fn add(&mut self, index: usize, plan: &Plan) {
        // At most 16 plans of 64 rules with 16 probes each.
        let (rule, probe, gate) = (self.rules.len() as u16, self.probes.len() as u16, self.gates.len() as u16);
        self.first_rule.push(self.rules.len());
        self.rules
            .extend(plan.rules.iter().cloned().map(|r| Rule { gate: r.gate.map(|g| GateIndex(g.0 + gate)), ..r }));
        self.probes.extend(plan.probes.iter().cloned());
        self.gates.extend(sources(index, plan));
        let on = GateIndex(self.gates.len() as u16);
        let mut moved = Moved { rule, probe, gate, on, uses_on: false };
        for site in &plan.sites {
            let terms = self.sites.entry((site.layer, site.site)).or_default();
            terms.extend(site.terms.iter().map(|term| moved.term(term)));
        }
        if moved.uses_on {
            self.gates.push(GateSource::Plan(index));
        }
    }
}

/// Where the numbers of one plan begin.
struct Moved {
    rule: u16,
    probe: u16,
    gate: u16,
    on: GateIndex,
    uses_on: bool,
}

impl Moved {
    fn term(&mut self, term: &Term) -> Term {
        match term {
            Term::AddConst { rules, vector } => {
                let dose = self.dose(&Dose::default());
                Term::AddGated { rules: self.rules(rules), dose, vector: vector.clone() }
            }
            Term::AddGated { rules, dose, vector } => {
                Term::AddGated { rules: self.rules(rules), dose: self.dose(dose), vector: vector.clone() }
            }
            Term::Update { rules, dose, update } => {
                Term::Update { rules: self.rules(rules), dose: self.dose(dose), update: update.clone() }
            }
            Term::ScaleHeads { rules, dose, heads } => {
                Term::ScaleHeads { rules: self.rules(rules), dose: self.dose(dose), heads: heads.clone() }
            }
            Term::Edit { rules, dose, rank, a, b } => {
                let (rules, dose, rank) = (self.rules(rules), self.dose(dose), *rank);
                Term::Edit { rules, dose, rank, a: a.clone(), b: b.clone() }
            }
            Term::Calibrate { rules, dose, prior, calibration } => {
                let (rules, dose) = (self.rules(rules), self.dose(dose));
                let prior = prior.map(|g| GateIndex(g.0 + self.gate));
                Term::Calibrate { rules, dose, prior, calibration: calibration.clone() }
            }
            Term::Tap { probe } => Term::Tap { probe: ProbeIndex(probe.0 + self.probe) },
        }
    }

    fn rules(&self, rules: &[RuleIndex]) -> Vec<RuleIndex> {
        rules.iter().map(|r| RuleIndex(r.0 + self.rule)).collect()
    }

    fn dose(&mut self, dose: &Dose) -> Dose {
        self.uses_on |= dose.gate.is_none();
        let mut when: Option<When> = dose.when.clone();
        if let Some(when) = &mut when {
            when.probes_mut(&mut |probe| probe.0 += self.probe);
        }
        Dose { gate: Some(dose.gate.map_or(self.on, |g| GateIndex(g.0 + self.gate))), when }
    }
}

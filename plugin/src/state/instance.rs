//! A plan, bound to one context.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use evenkeel_core::{
    plan::{Correction, Plan, RuleIndex, Site, Term},
    profile::{CachePolicy, Tokens},
    sequence::{Identity, Phase, Phases, PlanId},
};
use sha2::{Digest as _, Sha256};

use super::{Identities, Online, RulePrior, Use, identity::Hash};

/// By rule, of those that have one on a row: what the gate table has of its prior, by label.
pub type RequestPriors = Box<[(RuleIndex, Box<[f32]>)]>;

/// A plan, bound to one context.
pub struct Instance {
    /// The plan.
    pub plan: Plan,
    /// Its hash, strengths left out that can be changed.
    pub hash: Hash,
    /// What it does with generated cells that become part of a prompt.
    pub cache: CachePolicy,
    /// Per gate of the plan: the strength, as bits of an f32.
    pub strengths: Vec<AtomicU32>,
    /// Per rule.
    pub counters: Vec<Counter>,
    /// Per rule and site, by layer, then in file order.
    pub sites: Vec<SiteCounter>,
    /// The patch of the first graph it is part of, as text, because the patch holds the vectors of other plans too: once it is
    /// there, what each rule found is known.
    pub patch: OnceLock<String>,
    /// Per rule: the prior that is known only while the model runs.
    priors: Vec<RulePrior>,
    /// The rules whose prior is what the same request says without a part of it.
    of_request: Vec<RuleIndex>,
    /// Whether the last prompt row of a sequence decides something for those after it.
    pub holds: bool,
    /// Whether those can change it.
    pub reviews: bool,
    phases: Phases,
    /// The number of the plan with its strengths of this moment.
    id: AtomicU32,
}

/// What a rule did.
#[derive(Default)]
pub struct Counter {
    /// Sites that it found in the first graph.
    pub sites: AtomicU32,
    /// Evaluated graphs in which it acted.
    pub graphs: AtomicU64,
    /// Rows of its sites in those graphs on which it acts; also those on which its condition does not hold.
    pub rows: AtomicU64,
    /// Of these, where its prior is that of the request without a part, those that had one.
    pub with_prior: AtomicU64,
}

/// What a rule did at one site.
pub struct SiteCounter {
    /// Index of the rule.
    pub rule: usize,
    /// Where, as the plan says it.
    pub site: Site,
    /// Block, from 0.
    pub layer: u32,
    /// Evaluated graphs in which it acted here.
    pub graphs: AtomicU64,
    /// Rows it acted on here.
    pub rows: AtomicU64,
}

impl SiteCounter {
    /// Counts one evaluated graph.
    pub fn add(&self, rows: u64) {
        self.graphs.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}

impl Instance {
    /// Binds `plan`; nothing is allocated yet.
    pub fn new(plan: Plan, cache: CachePolicy, identities: &Identities, priors: Vec<RulePrior>) -> Instance {
        let mut strengths: Vec<AtomicU32> = Vec::new();
        strengths.resize_with(usize::from(plan.n_gates), AtomicU32::default);
        for rule in &plan.rules {
            if let Some(gate) = rule.gate {
                strengths[usize::from(gate.0)].store(rule.strength.to_bits(), Ordering::Relaxed);
            }
        }
        let counters = plan.rules.iter().map(|_| Counter::default()).collect();
        let sites = plan.sites.iter().flat_map(|s| {
            let at = |rule: &RuleIndex| (usize::from(rule.0), s.site, s.layer);
            s.terms.iter().flat_map(Term::rules).map(at).collect::<Vec<_>>()
        });
        let (graphs, rows) = (AtomicU64::default, AtomicU64::default);
        let counter = |(rule, site, layer)| SiteCounter { rule, site, layer, graphs: graphs(), rows: rows() };
        let sites = sites.map(counter).collect();
        let (hash, phases) = (plan.hash().0, Phases::of(&plan));
        let (patch, id) = (OnceLock::new(), AtomicU32::default());
        let is = |rule: &RuleIndex| {
            plan.calibration(*rule).is_some_and(|c| matches!(c.correction, Correction::OfRequest { .. }))
        };
        let of_request = (0..plan.rules.len() as u16).map(RuleIndex).filter(is).collect();
        let (holds, reviews) = plan.holds();
        let instance = Instance {
            plan,
            hash,
            cache,
            strengths,
            counters,
            sites,
            patch,
            priors,
            of_request,
            holds,
            reviews,
            phases,
            id,
        };
        instance.identify(identities);
        instance
    }

    /// The strength of a gate at this moment.
    pub fn strength(&self, gate: usize) -> f32 {
        f32::from_bits(self.strengths[gate].load(Ordering::Relaxed))
    }

    /// The prior of a rule whose prior is known only while the model runs, and how it is used.
    pub fn prior(&self, rule: RuleIndex) -> Option<&(Arc<Online>, Use)> {
        self.priors.get(usize::from(rule.0))?.as_ref()
    }

    /// The rules whose prior is what the same request says without a part of it.
    pub fn of_request(&self) -> &[RuleIndex] {
        &self.of_request
    }

    /// Whether the request without a part is needed at the last row of a prompt only, because nothing but priors of labels that
    /// are calibrated there come from it.
    pub fn needs_only_last(&self) -> bool {
        let last = |rule: &RuleIndex| self.plan.rules[usize::from(rule.0)].tokens == Tokens::Last;
        self.plan.contrast.as_ref().is_some_and(|c| c.alpha == 0.0) && self.of_request.iter().all(last)
    }

    /// What the gate table has of those priors where the request without a part has these negated logits.
    pub fn request_priors(&self, minus_without: &[f32]) -> RequestPriors {
        let one = |rule: &RuleIndex| Some((*rule, self.plan.calibration(*rule)?.gates_of(minus_without)?));
        self.of_request.iter().filter_map(one).collect()
    }

    /// Priors that are still to be measured.
    pub fn unmeasured(&self) -> impl Iterator<Item = &Arc<Online>> {
        self.priors.iter().flatten().map(|(prior, _)| prior).filter(|prior| prior.unmeasured().is_some())
    }

    /// Changes the strength of a gate: cells that were computed before are another plan's from now on.
    pub fn set_strength(&self, gate: usize, strength: f32, identities: &Identities) {
        self.strengths[gate].store(strength.to_bits(), Ordering::Relaxed);
        self.identify(identities);
    }

    fn identify(&self, identities: &Identities) {
        let id = if self.plan.keeps_cells() { PlanId::NONE } else { identities.id(&self.strong_hash()) };
        self.id.store(id.0, Ordering::Relaxed);
    }

    fn strong_hash(&self) -> Hash {
        let mut hash = Sha256::new();
        hash.update(self.hash);
        // Those that change keys and values.
        let gates = self.plan.rules.iter().filter(|r| r.site != Site::Logits).filter_map(|r| r.gate);
        gates.for_each(|g| hash.update(self.strengths[usize::from(g.0)].load(Ordering::Relaxed).to_le_bytes()));
        hash.finalize().into()
    }

    /// What a row of this phase is computed under.
    pub fn identity(&self, phase: Phase) -> Identity {
        Identity { plan: PlanId(self.id.load(Ordering::Relaxed)), phase: self.phases.canonical(phase) }
    }

    /// True if a cell with this identity may stand in the prompt of a request under this plan.
    pub fn accepts(&self, found: Identity) -> bool {
        let prompt = self.identity(Phase::Prompt);
        found == prompt || self.cache == CachePolicy::Keep && found.plan == prompt.plan
    }

    /// The names of the rules that have not been dropped and found no site in this context's graph.
    pub fn silent_rules(&self) -> Vec<&str> {
        let rules = self.plan.rules.iter().zip(&self.counters);
        rules
            .filter(|(r, c)| r.dropped.is_none() && c.sites.load(Ordering::Relaxed) == 0)
            .map(|(r, _)| r.name.as_str())
            .collect()
    }
}

/// What a row without a plan is computed under.
pub const PLAIN: Identity = Identity { plan: PlanId::NONE, phase: Phase::Prompt };

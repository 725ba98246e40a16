//! One llama_context of the host, and what it was bound to when it was made.

use std::sync::{
    Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use evenkeel_core::{
    lower::Patch,
    plan::{Plan, RuleIndex, Site, Term},
};

use crate::hook::Constants;

/// A context of the host's.
pub struct Context {
    /// Number for messages, from 1.
    pub id: u32,
    /// The model in a few words.
    pub model: String,
    /// Whether it is ours.
    pub standing: Standing,
    /// What was already said about it.
    pub said: AtomicBool,
}

/// Whether a context is ours.
pub enum Standing {
    /// It runs under a plan.
    Ours(Box<Instance>),
    /// Nothing was asked for when it was made.
    Idle,
    /// It does not generate text, so no profile speaks of it; why.
    Left(&'static str),
    /// It generates, but with another model than the profile is for; why. Left alone where another context is ours.
    Other(String),
    /// It should run under a plan and cannot; why.
    Failed(String),
}

/// A plan, bound to one context.
pub struct Instance {
    /// The plan.
    pub plan: Plan,
    /// Its vectors on the host's devices.
    pub constants: Mutex<Constants>,
    /// Per gate: the strength, as bits of an f32.
    pub strengths: Vec<AtomicU32>,
    /// Per rule.
    pub counters: Vec<Counter>,
    /// Per rule and site, by layer, then in file order.
    pub sites: Vec<SiteCounter>,
    /// The patch of the first graph: once it is there, what each rule found is known.
    pub patch: OnceLock<Patch>,
}

/// What a rule did.
#[derive(Default)]
pub struct Counter {
    /// Sites that it found in the first graph.
    pub sites: AtomicU32,
    /// Evaluated graphs in which it acted.
    pub graphs: AtomicU64,
    /// Rows of its sites in those graphs; also those on which its condition does not hold.
    pub rows: AtomicU64,
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

impl Counter {
    /// Counts one evaluated graph.
    pub fn add(&self, rows: u64) {
        self.graphs.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}

impl Instance {
    /// Binds `plan`; nothing is allocated yet.
    pub fn new(plan: Plan) -> Instance {
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
        Instance { plan, constants: Mutex::default(), strengths, counters, sites, patch: OnceLock::new() }
    }

    /// The strength of a gate at this moment.
    pub fn strength(&self, gate: usize) -> f32 {
        f32::from_bits(self.strengths[gate].load(Ordering::Relaxed))
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

impl Context {
    /// The plan it runs under.
    pub fn instance(&self) -> Option<&Instance> {
        match &self.standing {
            Standing::Ours(instance) => Some(instance),
            _ => None,
        }
    }
}

//! What the rules of a graph are counted by.

use std::sync::atomic::Ordering;

use evenkeel_core::{
    lower::Patch,
    plan::{RuleIndex, Site},
    profile::Tokens,
};

use crate::state::{Against, Row, SiteCounter, Structure};

/// The places at which the rules of one graph act.
#[derive(Default)]
pub struct Counted(Vec<Place>);

/// One rule at one site.
struct Place {
    plan: usize,
    rule: usize,
    tokens: Tokens,
    held: bool,
    output_only: bool,
    /// Index of the site's counter.
    counter: Option<usize>,
}

impl Counted {
    /// The places of a patch.
    pub fn new(patch: &Patch, structure: &Structure) -> Counted {
        let mut places = Vec::new();
        for s in &patch.substitutions {
            for rule in &s.rules {
                places.extend(place(structure, *rule, (s.site, s.layer), s.output_only));
            }
        }
        Counted(places)
    }

    /// Counts one evaluation of these rows; `said`: what each is set off against, if any is.
    pub fn count(&self, structure: &Structure, rows: &[Row], said: &[Option<&Against>]) {
        for place in &self.0 {
            let acts = |row: &&Row| {
                row.plan == Some(place.plan)
                    && (row.output || !place.output_only)
                    && row.takes(place.tokens, place.held)
            };
            let n = rows.iter().filter(acts).count() as u64;
            let instance = &structure.plans[place.plan];
            let has = |said: Option<&Against>| said.is_some_and(|s| s.prior(RuleIndex(place.rule as u16)).is_some());
            let n_priors = rows.iter().zip(said).filter(|(row, said)| acts(row) && has(**said)).count() as u64;
            instance.counters[place.rule].with_prior.fetch_add(n_priors, Ordering::Relaxed);
            if let Some(counter) = place.counter.and_then(|at| instance.sites.get(at)).filter(|_| n > 0) {
                counter.add(n);
            }
            instance.counters[place.rule].rows.fetch_add(n, Ordering::Relaxed);
        }
        self.graphs(structure, rows);
    }

    /// Each rule that acts on a row of this graph has acted in one more.
    fn graphs(&self, structure: &Structure, rows: &[Row]) {
        let mut seen: Vec<(usize, usize)> = Vec::new();
        for place in &self.0 {
            let key = (place.plan, place.rule);
            let acts = |row: &Row| row.plan == Some(place.plan) && row.takes(place.tokens, place.held);
            if !seen.contains(&key) && rows.iter().any(acts) {
                seen.push(key);
                structure.plans[place.plan].counters[place.rule].graphs.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn place(structure: &Structure, rule: RuleIndex, (site, layer): (Site, u32), output_only: bool) -> Option<Place> {
    let merged = structure.merged.as_ref()?;
    let (plan, own) = merged.origin(rule);
    let (instance, rule) = structure.origin(rule)?;
    let here = |c: &SiteCounter| (c.rule, c.site, c.layer) == (rule, site, layer);
    let counter = instance.sites.iter().position(here);
    let typed = instance.plan.rules.get(usize::from(own.0))?;
    Some(Place { plan, rule, tokens: typed.tokens, held: typed.held, output_only, counter })
}

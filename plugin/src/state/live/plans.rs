//! What each sequence runs under, and what graphs have in them.

use std::sync::Arc;

use evenkeel_core::{model::ModelFacts, profile::OnError};

use super::super::{Asked, Instance, Pinned, Sequence, Structure, Wish, lock};
use super::{Inner, Live, RawRow, add, same};
use crate::log;

impl Inner {
    /// What rows of the last micro-batch should have decided and nobody evaluated is not decided.
    pub(super) fn undecide(&mut self) {
        for seq in std::mem::take(&mut self.deciding) {
            if let Some(sequence) = self.sequences.get_mut(&seq) {
                sequence.held = None;
            }
        }
    }

    /// Decides what a sequence's request runs under, if that is not decided yet.
    pub(super) fn settle(&mut self, seq: i32, live: &Live) {
        let sequence = self.sequences.entry(seq).or_insert_with(|| {
            let mut new = Sequence::default();
            new.begin(None);
            new.unverified = false;
            new
        });
        if sequence.pinned.is_some() {
            return;
        }
        let wish = sequence.wish().clone();
        let routes = (!self.book.routes.is_empty()).then(|| self.book.clone());
        let pinned = match wish {
            Wish::Default => Pinned { base: self.book.default.clone(), routes, refused: false },
            Wish::Named(name) => match self.book.find(&name) {
                Some(choice) => {
                    self.mixed |= !same(&choice, &self.book.default);
                    Pinned { base: choice, routes: None, refused: false }
                }
                None => self.refuse(seq, live, &format!("\"{name}\" is not loaded any more")),
            },
            Wish::Refused(why) => self.refuse(seq, live, &why),
        };
        let room = {
            let mut needed = self.pinned_plans(Some(seq));
            pinned.plans().for_each(|p| add(&mut needed, p));
            needed.len() <= self.book.max_plans
        };
        let pinned = if room || pinned.refused {
            pinned
        } else {
            let why = format!("a graph holds {} profiles at most (runtime.max-plans)", self.book.max_plans);
            self.refuse(seq, live, &why)
        };
        let sequence = self.sequences.entry(seq).or_default();
        sequence.pinned = Some(pinned);
    }

    /// What a sequence's plan makes of segments.
    pub(super) fn asked(&self, seq: i32) -> Option<Asked> {
        let sequence = self.sequences.get(&seq)?;
        let pinned = sequence.pinned.as_ref().filter(|p| !p.refused)?;
        let plan = pinned.plan(&sequence.router, sequence.cells.end())?;
        let invariance = plan.plan.invariance.as_ref()?;
        Some(Asked { mode: invariance.mode, canonical: invariance.canonical })
    }

    /// Takes note of what a micro-batch has to do with regions, and refuses the sequences whose regions cannot be served.
    pub(super) fn feed_regions(&mut self, raw: &[RawRow], live: &Live) {
        let mut regions = lock(&live.regions);
        for (seq, why) in regions.feed(raw, |seq| self.asked(seq)) {
            let pinned = self.refuse(seq, live, &why);
            if let Some(sequence) = self.sequences.get_mut(&seq) {
                sequence.pinned = Some(pinned);
            }
        }
        for r in raw {
            if let Some(sequence) = self.sequences.get_mut(&r.seq) {
                sequence.mark(regions.evaluated(r.seq));
            }
        }
    }

    /// What a sequence gets that cannot be served as asked.
    pub(super) fn refuse(&mut self, seq: i32, live: &Live, why: &str) -> Pinned {
        self.totals.refused += 1;
        self.mixed = true;
        let refusal = match self.book.on_error {
            OnError::Bypass => None,
            OnError::Refuse => live.refusal.clone(),
        };
        let what = match (&refusal, self.book.on_error) {
            (Some(_), _) => "it can only end (on-error = \"refuse\")",
            (None, OnError::Bypass) => "it runs without a profile (on-error = \"bypass\")",
            (None, OnError::Refuse) => {
                "it runs without a profile, because this model has no token that ends a generation"
            }
        };
        log::error!("context {}, sequence {seq}: {why}: {what}", live.id);
        let refused = refusal.is_some();
        self.refusal = refusal.or_else(|| self.refusal.take());
        Pinned { base: None, routes: None, refused }
    }

    /// Whether a sequence may only end.
    pub(super) fn refuses(&self) -> bool {
        self.sequences.values().any(|s| s.pinned.as_ref().is_some_and(|p| p.refused))
    }

    /// The plans that sequences with an open request or with cells hold on to, but for one of them.
    pub(super) fn pinned_plans(&self, but: Option<i32>) -> Vec<Arc<Instance>> {
        let mut plans = Vec::new();
        for (_, sequence) in self.sequences.iter().filter(|(seq, _)| Some(**seq) != but) {
            sequence.pinned.iter().flat_map(Pinned::plans).for_each(|p| add(&mut plans, p));
        }
        plans
    }

    /// The plans that graphs must have: those of sequences, and the default.
    pub(super) fn needed(&self) -> Vec<Arc<Instance>> {
        let mut plans = self.pinned_plans(None);
        self.book.default.iter().filter(|p| !p.plan.is_empty()).for_each(|p| add(&mut plans, p));
        plans
    }

    /// Decides anew what graphs have in them: what is needed, and as much of what may come as there is room for.
    pub(super) fn restructure(&mut self, facts: &ModelFacts) {
        let needed = self.needed();
        let mut plans: Vec<Arc<Instance>> = Vec::new();
        // In the order they have, so that an unchanged set is the same structure.
        let likely = self.book.likely();
        let wanted = |p: &Arc<Instance>| needed.iter().chain(&likely).any(|w| Arc::ptr_eq(w, p));
        self.structure.plans.iter().filter(|p| wanted(p)).for_each(|p| add(&mut plans, p));
        needed.iter().for_each(|p| add(&mut plans, p));
        likely.iter().for_each(|p| add(&mut plans, p));
        while plans.len() > self.book.max_plans {
            let spare = plans.iter().rposition(|p| !needed.iter().any(|n| Arc::ptr_eq(n, p)));
            let Some(spare) = spare else { break };
            plans.remove(spare);
        }
        let alone = plans.len() == 1
            && !self.mixed
            && self.book.is_uniform()
            && self.book.default.as_ref().is_some_and(|d| Arc::ptr_eq(d, &plans[0]));
        let refusal = self.refusal.as_ref().filter(|_| self.refuses());
        let unchanged = plans.len() == self.structure.plans.len()
            && plans.iter().zip(&self.structure.plans).all(|(a, b)| Arc::ptr_eq(a, b))
            && alone == self.structure.alone
            && refusal.is_some() == self.structure.refusal;
        if !unchanged {
            let version = self.structure.version + 1;
            self.structure = Arc::new(Structure::new((version, self.second), facts, plans, alone, refusal));
        }
    }
}

//! The identity of a plan: two plans with one hash compute the same keys and values with one model.

use std::fmt;

use sha2::{Digest, Sha256};

use super::hold::Hold;
use super::types::{Dose, Map, Plan, Probe, RuleIndex, Site, Term, Update, When};
use crate::asset::hex;
use crate::profile::Tokens;

/// SHA-256 over what a plan does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanHash(pub [u8; 32]);

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Plan {
    /// The hash of everything that decides what keys and values are computed: this crate's version, the model's shape,
    /// and per site and layer the operators with every value they add, strengths included, and of adjustable rules
    /// direction and initial strength.
    ///
    /// Names do not count, and neither do calibrations, which change no key and no value, rules that were dropped or files' other bytes: a plan whose rules cancel is
    /// the empty plan. It is stable between runs and machines.
    pub fn hash(&self) -> PlanHash {
        let mut hash = Sha256::new();
        text(&mut hash, concat!("evenkeel plan ", env!("CARGO_PKG_VERSION")));
        text(&mut hash, &self.model.arch);
        hash.update(self.model.n_embd.to_le_bytes());
        hash.update(self.model.n_layer.to_le_bytes());
        if let Some(invariance) = &self.invariance {
            text(&mut hash, invariance.mode.name());
            if invariance.canonical {
                text(&mut hash, "canonical");
            }
            if let Some(markers) = &invariance.markers {
                text(&mut hash, &markers.open);
                text(&mut hash, &markers.close);
            }
        }
        let cells = || self.sites.iter().filter(|site| site.site != Site::Logits);
        number(&mut hash, cells().count());
        for site in cells() {
            hash.update([match site.site {
                Site::Residual => 0,
                Site::Logits => 1,
                Site::AttnOut => 2,
                Site::FfnOut => 3,
                Site::FinalNorm => 4,
                Site::Heads => 5,
                Site::Product(_) => 6,
            }]);
            if let Site::Product(weight) = site.site {
                text(&mut hash, weight.name());
            }
            hash.update(site.layer.to_le_bytes());
            number(&mut hash, site.terms.len());
            for term in &site.terms {
                match term {
                    Term::AddConst { vector, .. } => {
                        hash.update([0]);
                        values(&mut hash, vector);
                    }
                    Term::AddGated { rules, dose, vector } => {
                        hash.update([1]);
                        hash_dose(&mut hash, self, dose, rules);
                        values(&mut hash, vector);
                    }
                    Term::Update { rules, dose, update } => {
                        hash.update([2]);
                        hash_dose(&mut hash, self, dose, rules);
                        hash_update(&mut hash, update);
                    }
                    Term::ScaleHeads { rules, dose, heads } => {
                        hash.update([4]);
                        hash_dose(&mut hash, self, dose, rules);
                        number(&mut hash, heads.len());
                        for (head, scale) in heads {
                            hash.update(head.to_le_bytes());
                            values(&mut hash, &[*scale]);
                        }
                    }
                    Term::Edit { rules, dose, rank, a, b } => {
                        hash.update([5]);
                        hash_dose(&mut hash, self, dose, rules);
                        hash.update(rank.to_le_bytes());
                        values(&mut hash, a);
                        values(&mut hash, b);
                    }
                    Term::Calibrate { .. } => {}
                    Term::Tap { probe } => {
                        hash.update([3]);
                        hash_probe(&mut hash, self.probes.get(usize::from(probe.0)));
                    }
                }
            }
        }
        PlanHash(hash.finalize().into())
    }
}

/// An adjustable rule's initial strength decides what is computed first.
fn hash_dose(hash: &mut Sha256, plan: &Plan, dose: &Dose, rules: &[RuleIndex]) {
    number(hash, dose.gate.map_or(0, |g| usize::from(g.0) + 1));
    if dose.gate.is_some() {
        let rule = rules.first().and_then(|r| plan.rules.get(usize::from(r.0)));
        values(hash, &[rule.map_or(0.0, |r| r.strength)]);
        hash_tokens(hash, rule.map_or(Tokens::All, |r| r.tokens));
    }
    match &dose.when {
        None => hash.update([0]),
        Some(when) => hash_when(hash, when),
    }
}

fn hash_tokens(hash: &mut Sha256, tokens: Tokens) {
    let (kind, first, last) = match tokens {
        Tokens::All => (0, 0, 0),
        Tokens::Prompt => (1, 0, 0),
        Tokens::Generated => (2, 0, 0),
        Tokens::Last => (3, 0, 0),
        Tokens::Positions { first, last } => (4, first, last),
        Tokens::After(text) => (5, u32::from(text), 0),
    };
    hash.update([kind]);
    hash.update(first.to_le_bytes());
    hash.update(last.to_le_bytes());
}

fn hash_when(hash: &mut Sha256, when: &When) {
    let (kind, parts) = match when {
        When::Probe(probe) => {
            hash.update([1]);
            return hash.update(probe.0.to_le_bytes());
        }
        When::All(parts) => (2, parts.as_slice()),
        When::Any(parts) => (3, parts.as_slice()),
        When::Not(part) => (4, std::slice::from_ref(&**part)),
    };
    hash.update([kind]);
    number(hash, parts.len());
    parts.iter().for_each(|part| hash_when(hash, part));
}

fn hash_probe(hash: &mut Sha256, probe: Option<&Probe>) {
    match probe {
        None => hash.update([0]),
        Some(Probe::Linear { weights, bias, soft, hold }) => {
            hash.update([1, u8::from(*soft)]);
            values(hash, &[*bias]);
            values(hash, weights);
            hash_hold(hash, hold.as_ref());
        }
        Some(Probe::Similarity { direction, above, hold }) => {
            hash.update([2]);
            values(hash, &[*above]);
            values(hash, direction);
            hash_hold(hash, hold.as_ref());
        }
    }
}

fn hash_hold(hash: &mut Sha256, hold: Option<&Hold>) {
    match hold {
        None => hash.update([0]),
        Some(Hold { below: None, .. }) => hash.update([1]),
        Some(Hold { below: Some(below), .. }) => {
            hash.update([2]);
            values(hash, &[*below]);
        }
    }
}

fn hash_update(hash: &mut Sha256, update: &Update) {
    for vectors in [&update.reads, &update.writes] {
        number(hash, vectors.len());
        vectors.iter().for_each(|v| values(hash, v));
    }
    match &update.map {
        Map::Linear { matrix, offset } => {
            hash.update([0]);
            values(hash, matrix);
            values(hash, offset);
        }
        Map::Clamp { min, max } => {
            hash.update([1]);
            values(hash, &[min.unwrap_or(f32::NEG_INFINITY), max.unwrap_or(f32::INFINITY)]);
        }
        Map::Norm { factor } => {
            hash.update([3]);
            values(hash, &[*factor]);
        }
        Map::Feature { bias, target } => {
            hash.update([2]);
            values(hash, &[*bias, *target]);
        }
    }
}

fn number(hash: &mut Sha256, n: usize) {
    hash.update((n as u64).to_le_bytes());
}

fn text(hash: &mut Sha256, text: &str) {
    number(hash, text.len());
    hash.update(text);
}

fn values(hash: &mut Sha256, values: &[f32]) {
    number(hash, values.len());
    for value in values {
        hash.update(value.to_bits().to_le_bytes());
    }
}

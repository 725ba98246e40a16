//! Where the probes of conditions are read, each once where that is the same thing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::hold::{HeldState, Hold};
use super::subspace::unit;
use super::types::{Dose, Probe, ProbeIndex, RuleIndex, Site, SitePlan, Term, When};
use crate::asset::Assets;
use crate::profile::{Ask, AskAt, Condition, Reading};

/// Which rules act where, in file order.
pub(super) type Places = BTreeMap<(u32, Site), Vec<RuleIndex>>;

/// All probes of a plan.
#[derive(Default)]
pub(super) struct Taps {
    pub(super) probes: Vec<Probe>,
    /// By probe: the layer, and how many of the rules there act before it is read.
    places: Vec<(u32, usize)>,
}

impl Taps {
    /// The condition of a rule; `None` if a file lacks what is read, which was reported then.
    pub(super) fn when(
        &mut self,
        condition: &Condition,
        rule: RuleIndex,
        places: &Places,
        assets: &Assets,
    ) -> Option<When> {
        let mut list =
            |parts: &[Condition]| parts.iter().map(|part| self.when(part, rule, places, assets)).collect::<Option<_>>();
        Some(match condition {
            Condition::All(parts) => When::All(list(parts)?),
            Condition::Any(parts) => When::Any(list(parts)?),
            Condition::Not(part) => When::Not(Box::new(self.when(part, rule, places, assets)?)),
            Condition::Ask(ask) => {
                let here = places.get(&(ask.layer.value, Site::Residual)).map_or(&[][..], Vec::as_slice);
                let before = here.iter().position(|r| *r == rule).unwrap_or(here.len());
                When::Probe(self.tap(probe(ask, assets)?, (ask.layer.value, before)))
            }
        })
    }

    fn tap(&mut self, probe: Probe, place: (u32, usize)) -> ProbeIndex {
        let known = self.probes.iter().zip(&self.places).position(|(p, at)| *at == place && *p == probe);
        let index = known.unwrap_or_else(|| {
            self.probes.push(probe);
            self.places.push(place);
            self.probes.len() - 1
        });
        // At most 64 rules with 16 probes each.
        ProbeIndex(index as u16)
    }

    /// The probes that are read at a layer after `before` of its rules.
    pub(super) fn at(&self, layer: u32, before: usize) -> impl Iterator<Item = ProbeIndex> {
        let here = (0..).zip(&self.places).filter(move |(_, place)| **place == (layer, before));
        here.map(|(index, _)| ProbeIndex(index))
    }

    /// Layers at which something is read.
    pub(super) fn layers(&self) -> impl Iterator<Item = u32> {
        self.places.iter().map(|(layer, _)| *layer)
    }

    /// The probes that a term still asks for, numbered anew; the others are no longer read.
    pub(super) fn prune(self, sites: &mut Vec<SitePlan>) -> Vec<Probe> {
        let mut used = vec![false; self.probes.len()];
        for when in sites.iter().flat_map(|s| &s.terms).filter_map(|t| t.dose()?.when.as_ref()) {
            when.probes(&mut |probe| used[usize::from(probe.0)] = true);
        }
        let mut next = 0;
        let number = |used: &bool| {
            let number = ProbeIndex(next);
            next += u16::from(*used);
            used.then_some(number)
        };
        let numbers: Vec<Option<ProbeIndex>> = used.iter().map(number).collect();
        for site in sites.iter_mut() {
            site.terms.retain_mut(|term| match term {
                Term::Tap { probe } => numbers[usize::from(probe.0)].map(|number| *probe = number).is_some(),
                Term::AddGated { dose: Dose { when: Some(when), .. }, .. }
                | Term::Update { dose: Dose { when: Some(when), .. }, .. } => {
                    when.probes_mut(&mut |probe| *probe = numbers[usize::from(probe.0)].unwrap_or(*probe));
                    true
                }
                _ => true,
            });
        }
        sites.retain(|site| !site.terms.is_empty());
        self.probes.into_iter().zip(used).filter_map(|(probe, used)| used.then_some(probe)).collect()
    }
}

/// What a table of a condition asks of a row.
fn probe(ask: &Ask, assets: &Assets) -> Option<Probe> {
    let (typed, layer) = (&ask.file.value, &ask.layer.value);
    if let Reading::Similarity { above } = ask.reading {
        let direction = unit(assets.directions.get(typed)?.vectors.layers.get(layer)?)?;
        let direction = direction.into_iter().map(|x| x as f32).collect();
        return Some(Probe::Similarity { direction, above, hold: hold(ask.at, |below| below) });
    }
    let file = assets.probes.get(typed)?;
    let (weights, bias) = (file.weights.layers.get(layer)?, *file.bias.get(layer)?);
    let weights: Arc<[f32]> = weights.as_slice().into();
    // σ(w · x + b) > p is w · x + b − ln(p / (1 − p)) > 0.
    let less = |p: f32| (f64::from(bias) - (f64::from(p) / (1.0 - f64::from(p))).ln()) as f32;
    let hold = hold(ask.at, less);
    Some(match ask.reading {
        Reading::Probability { above } => Probe::Linear { weights, bias: less(above), soft: false, hold },
        _ => Probe::Linear { weights, bias, soft: true, hold },
    })
}

/// How it is held; `threshold` makes of what was typed what is compared.
fn hold(at: AskAt, threshold: impl Fn(f32) -> f32) -> Option<Hold> {
    let AskAt::Prompt { below } = at else { return None };
    Some(Hold { state: HeldState::default(), below: below.map(threshold) })
}

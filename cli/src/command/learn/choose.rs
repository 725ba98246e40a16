//! Layers and dose by measured effect: every candidate runs through the plug-in as a server would run it.

use std::{collections::BTreeMap, path::Path};

use evenkeel_ffi::host::Plugin;
use evenkeel_model::Random;
use indicatif::ProgressBar;

use super::{
    Operator,
    fit::LayerFit,
    outcome::{Measured, Outcome, Panel},
    rule::{Gate, Rule, When, spans},
    write,
};
use crate::{ask::ask_under, estimate::norm, failure::Failure, session::Session};

/// What is being looked for.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    pub operator: Operator,
    /// For add and rotate: towards the positive class, else the negative one.
    pub towards_positive: bool,
    /// Most divergence from the plain model where nothing should change, in nats per token.
    pub max_kl: f64,
    pub when: Option<When>,
    /// For a feature: the layer that it is of.
    pub only_layer: Option<usize>,
}

/// Parts of the difference in means that `add` tries, per layer of a span.
const STRENGTHS: [f64; 8] = [0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0];
/// Angles that `rotate` tries.
const ANGLES: [f64; 5] = [15.0, 30.0, 45.0, 60.0, 90.0];
/// An effect that is this much smaller is as good, if it costs less.
const AS_GOOD: f64 = 0.02;

/// The vectors that candidates are made of: learned ones, or random ones in their place.
pub struct Kit {
    pub file: String,
    pub plane: Option<String>,
}

/// What was chosen.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub rule: Rule,
    /// No candidate was within the allowed divergence.
    pub over: bool,
}

/// Everything that candidates are measured with.
pub struct Bench<'a> {
    /// Where the vectors lie.
    pub folder: &'a Path,
    pub session: &'a Session,
    pub plugin: &'a Plugin,
    pub outcome: &'a Outcome,
    pub positive: &'a [bool],
    pub fits: &'a [LayerFit],
    pub goal: Goal,
}

impl Goal {
    /// Doses to try over a span of layers.
    fn doses(&self, span: (usize, usize)) -> Vec<f64> {
        let sign = if self.towards_positive { 1.0 } else { -1.0 };
        let layers = (span.1 - span.0 + 1) as f64;
        match self.operator {
            Operator::Project | Operator::Affine => vec![1.0],
            Operator::Sae => vec![0.0],
            Operator::Add => STRENGTHS.iter().map(|s| sign * round(s / layers.sqrt())).collect(),
            Operator::Rotate => [1.0, -1.0].iter().flat_map(|s| ANGLES.map(|a| s * a)).collect(),
        }
    }

    /// Rules to try.
    fn candidates(&self, kit: &Kit, name: &str, n_layer: usize, fits: &[LayerFit]) -> Vec<Rule> {
        let spans = match self.only_layer {
            Some(layer) => vec![(layer, layer)],
            None => spans(n_layer),
        };
        let has = |layer: usize| {
            let fit = fits.iter().find(|f| f.layer == layer);
            fit.is_some_and(|f| self.operator != Operator::Affine || f.eraser.is_some())
        };
        let whole = spans.into_iter().filter(|s| (s.0..=s.1).all(has));
        let rule = |layers: (usize, usize), dose: f64| Rule {
            name: name.to_owned(),
            operator: self.operator,
            file: kit.file.clone(),
            plane: kit.plane.clone(),
            layers,
            dose,
            gate: self.when.and_then(|kind| gate(kind, name, layers.0, fits)),
        };
        whole.flat_map(|span| self.doses(span).into_iter().map(move |d| (span, d))).map(|(s, d)| rule(s, d)).collect()
    }

    /// How good outcomes are: the share of the gap between the classes that is closed, or the way towards one class in
    /// gaps.
    pub fn effect(&self, panel: &Panel, positive: &[bool], after: &[f64], weights: &[f64]) -> f64 {
        let classes: Vec<bool> = panel.examples.iter().map(|i| positive[*i]).collect();
        let before = gap(&panel.plain, &classes, weights);
        if self.operator.removes() {
            1.0 - gap(after, &classes, weights).abs() / before.abs()
        } else {
            let sign = if self.towards_positive { 1.0 } else { -1.0 };
            let (mut sum, mut total) = (0.0, 0.0);
            for ((a, b), w) in after.iter().zip(&panel.plain).zip(weights) {
                sum += w * (a - b);
                total += w;
            }
            sign * sum / total / before.abs()
        }
    }
}

/// Mean of the positive class less that of the negative one.
pub fn gap(values: &[f64], positive: &[bool], weights: &[f64]) -> f64 {
    let mut sums = [[0.0; 2]; 2];
    for ((v, p), w) in values.iter().zip(positive).zip(weights) {
        let class = usize::from(!p);
        sums[class][0] += v * w;
        sums[class][1] += w;
    }
    sums[0][0] / sums[0][1] - sums[1][0] / sums[1][1]
}

/// The layer not after `first` that tells the classes apart best.
fn gate(kind: When, name: &str, first: usize, fits: &[LayerFit]) -> Option<Gate> {
    let score = |f: &LayerFit| match kind {
        When::Probe => f.scores.auroc.value,
        When::Similar => f.scores.direction_auroc.value,
    };
    // Layer 0 is in no vector file.
    let able = fits.iter().filter(|f| f.layer <= first && (kind == When::Probe || f.layer > 0));
    let best = able.max_by(|a, b| score(a).total_cmp(&score(b)))?;
    let (file, above) = match kind {
        When::Probe => (format!("{name}-probe.safetensors"), 0.5),
        When::Similar => (format!("{name}-condition.gguf"), best.similar.clamp(-0.9999, 0.9999)),
    };
    Some(Gate { kind, file, layer: best.layer, above })
}

impl Bench<'_> {
    /// Runs a rule over a panel.
    pub fn measure(&self, rule: &Rule, panel: &Panel) -> Result<Measured, Failure> {
        let path = self.folder.join("candidate.toml");
        std::fs::write(&path, rule.profile(&[])).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        let mut measured = Measured::default();
        let see = |question: usize, at: usize, logits: &[f32]| {
            panel.see(&mut measured, self.outcome, question, at, logits);
        };
        ask_under(self.session, self.plugin, &path, &panel.questions, see)?;
        Ok(measured)
    }

    /// Does something while a rule is in force.
    pub fn under<T>(&self, rule: &Rule, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let path = self.folder.join("shown.toml");
        std::fs::write(&path, rule.profile(&[])).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        self.plugin.load_profile(Some(&path))?;
        let done = work();
        self.plugin.load_profile(None)?;
        done
    }

    /// Candidates of some kits.
    pub fn candidates(&self, kits: &[Kit], name: &str) -> Vec<Rule> {
        let n_layer = self.session.model.n_layer();
        kits.iter().flat_map(|kit| self.goal.candidates(kit, name, n_layer, self.fits)).collect()
    }

    /// The best candidate on a panel.
    pub fn choose(&self, kits: &[Kit], name: &str, panel: &Panel, bar: &ProgressBar) -> Result<Chosen, Failure> {
        let weights = vec![1.0; panel.examples.len()];
        let mut tried = Vec::new();
        for rule in self.candidates(kits, name) {
            let measured = self.measure(&rule, panel)?;
            let effect = self.goal.effect(panel, self.positive, &measured.outcome, &weights);
            let n = measured.divergence.len().max(1) as f64;
            let kl = measured.divergence.iter().sum::<f64>() / n;
            bar.inc(1);
            if effect.is_finite() && kl.is_finite() {
                tried.push((rule, effect, kl));
            }
        }
        let within: Vec<_> = tried.iter().filter(|(_, _, kl)| *kl <= self.goal.max_kl).collect();
        let best = within.iter().map(|t| t.1).fold(f64::NEG_INFINITY, f64::max);
        let found = match within.is_empty() {
            false => within.into_iter().filter(|t| t.1 >= best - AS_GOOD).min_by(|a, b| a.2.total_cmp(&b.2)),
            true => tried.iter().min_by(|a, b| a.2.total_cmp(&b.2)),
        };
        match found {
            Some((rule, _, kl)) => Ok(Chosen { rule: rule.clone(), over: *kl > self.goal.max_kl }),
            None => Err(Failure::new("no candidate gave numbers: the steered model's logits are not finite")),
        }
    }
}

/// Random directions with the lengths of the learned ones, as files that stand in their place.
pub fn random_kit(
    folder: &Path,
    arch: &str,
    goal: &Goal,
    fits: &[LayerFit],
    number: u64,
    seed: u64,
) -> Result<Kit, Failure> {
    let directions = |what: &str| -> BTreeMap<usize, Vec<f32>> {
        let make = |f: &LayerFit| {
            let mut random = Random::named(seed, &format!("{what} {number} {}", f.layer));
            let v: Vec<f64> = f.direction.iter().map(|_| f64::from(random.normal())).collect();
            let scale = norm(&f.direction) / norm(&v);
            (f.layer, v.iter().map(|x| (x * scale) as f32).collect())
        };
        fits.iter().filter(|f| f.layer > 0 || goal.only_layer == Some(0)).map(make).collect()
    };
    let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", folder.display()));
    let file = format!("random-{number}.gguf");
    write::vector(&folder.join(&file), arch, &directions("direction"), &[]).map_err(failed)?;
    let plane = match goal.operator {
        Operator::Rotate => {
            let plane = format!("random-plane-{number}.gguf");
            write::vector(&folder.join(&plane), arch, &directions("plane"), &[]).map_err(failed)?;
            Some(plane)
        }
        _ => None,
    };
    Ok(Kit { file, plane })
}

/// Two digits are enough for a person to read, and what was measured is what is written.
fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

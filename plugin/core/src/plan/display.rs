//! A plan as text: what `evenkeel plan` prints, and what golden tests compare.

use std::fmt;

use super::calibrate::Correction;
use super::fit::ranges;
use super::hold::Hold;
use super::rotation::degrees;
use super::types::{Dose, Map, Plan, Probe, ProbeIndex, Rule, RuleIndex, Site, SitePlan, Term, Update, When};
use crate::asset::norm;
use crate::contrast::{Contrast, Counterfactual, Without};
use crate::profile::{Method, Operator, Tokens};

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Product(weight) => weight.name(),
            Self::Heads => "heads",
            Self::AttnOut => "attn-out",
            Self::FfnOut => "ffn-out",
            Self::Residual => "residual",
            Self::FinalNorm => "final-norm",
            Self::Logits => "logits",
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (model, name) = (&self.model, &self.profile);
        write!(f, "plan \"{name}\" for {}, {} layers, width {}", model.arch, model.n_layer, model.n_embd)?;
        for (index, rule) in (0..).zip(&self.rules) {
            write!(f, "\nrule {}", rule.name)?;
            show_rule(f, self, RuleIndex(index), rule)?;
            if let Some(when) = condition(self, RuleIndex(index)) {
                write!(f, ", when {}", show_when(when))?;
            }
        }
        for (index, probe) in (0..).zip(&self.probes) {
            show_probe(f, self, ProbeIndex(index), probe)?;
        }
        if let Some(invariance) = &self.invariance {
            write!(f, "\nattention of sequences with segments: {}, all layers", invariance.mode.name())?;
            if invariance.canonical {
                write!(f, ", in the order of their tokens")?;
            }
            if let Some(markers) = &invariance.markers {
                let kind = if markers.in_text { "text" } else { "special tokens" };
                write!(f, "; segments from \"{}\" to \"{}\" ({kind})", markers.open, markers.close)?;
                write!(f, ", at most {}", invariance.max_segments)?;
            }
        }
        if let Some(contrast) = &self.contrast {
            show_contrast(f, self, contrast)?;
        }
        if self.is_empty() {
            f.write_str("\nchanges nothing")?;
        }
        for site in &self.sites {
            show_site(f, self, site)?;
        }
        Ok(())
    }
}

/// What logits are set off against, at what price, and what comes after.
fn show_contrast(f: &mut fmt::Formatter<'_>, plan: &Plan, contrast: &Contrast) -> fmt::Result {
    let Contrast { alpha, plausibility, without, attention } = contrast;
    let what = match without {
        Without::Contexts { .. } => " with a context",
        Without::Image => " with an image",
        Without::Nothing => "",
    };
    match *alpha {
        0.0 => write!(f, "\nlogits of sequences{what}: as they are; those without it are the prior of labels")?,
        alpha => write!(f, "\nlogits of sequences{what}: {} · full − {alpha} · without", 1.0 + alpha)?,
    }
    if *plausibility > 0.0 && *alpha != 0.0 {
        write!(f, ", for tokens at least {plausibility} times as likely as the best")?;
    }
    match without {
        Without::Contexts { markers, instead } => {
            let kind = if markers.in_text { "text" } else { "special tokens" };
            write!(f, "; contexts from \"{}\" to \"{}\" ({kind})", markers.open, markers.close)?;
            if let Some(instead) = instead {
                write!(f, ", {instead:?} in the place of each")?;
            }
        }
        Without::Image => f.write_str("; images and audio are the rows that come as embeddings")?,
        Without::Nothing => {}
    }
    if let Some(Counterfactual { weights, layers }) = attention {
        write!(f, "; without: {} attention at layers {}", weights.name(), ranges(layers.iter().copied()))?;
    }
    f.write_str("\n  what it is set off against is evaluated in a second context of the model: about twice the time")?;
    let of_request = |i: usize| {
        let calibration = plan.calibration(RuleIndex(i as u16));
        calibration.is_some_and(|c| matches!(c.correction, Correction::OfRequest { .. }))
    };
    if *alpha != 0.0 && !(0..plan.rules.len()).any(of_request) {
        f.write_str("; tokens are generated in that of a batch of two, which reads the weights once")?;
    }
    if *alpha != 0.0 && plan.sites.iter().any(|site| site.site == Site::Logits) {
        f.write_str("\n  order at the logits: contrast first, labels second")?;
    }
    Ok(())
}

fn show_rule(f: &mut fmt::Formatter<'_>, plan: &Plan, index: RuleIndex, rule: &Rule) -> fmt::Result {
    if let Some(why) = &rule.dropped {
        return write!(f, ": dropped, {why}");
    }
    match rule.operator {
        Operator::Add => write!(f, ": add, strength {}", rule.strength)?,
        Operator::Project => write!(f, ": project, fraction {}", rule.strength)?,
        Operator::Clamp { min, max } => write!(f, ": clamp {}", bounds(min, max))?,
        Operator::Affine => write!(f, ": affine, fraction {}", rule.strength)?,
        Operator::Sae { target } => write!(f, ": sae, target {target}")?,
        Operator::Edit => write!(f, ": edit, strength {}", rule.strength)?,
        Operator::Heads { scale } => write!(f, ": scale heads by {scale}")?,
        Operator::Rotate { angle } => write!(f, ": rotate by {angle} degrees")?,
        Operator::Calibrate(_) => return show_calibration(f, plan, index, rule),
    }
    if let Some(gate) = rule.gate {
        let tokens = (rule.tokens != Tokens::All).then(|| format!("on {}", show_tokens(rule.tokens)));
        let why = [rule.adjustable.then(|| "adjustable".to_owned()), tokens, rule.held.then(|| HELD.to_owned())];
        let why: Vec<String> = why.into_iter().flatten().collect();
        write!(f, " ({}, gate {})", why.join(", "), gate.0)?;
    }
    if rule.operator == Operator::Edit {
        return write!(f, ", layers {}", ranges(rule.layers.iter().copied()));
    }
    write!(f, ", {}, layers {}", rule.site, ranges(rule.layers.iter().copied()))
}

/// A calibration with its labels, each with its tokens.
fn show_calibration(f: &mut fmt::Formatter<'_>, plan: &Plan, index: RuleIndex, rule: &Rule) -> fmt::Result {
    let mut terms = plan.sites.iter().flat_map(|site| &site.terms);
    let Some(Term::Calibrate { calibration: c, .. }) = terms.find(|term| term.rules().contains(&index)) else {
        return f.write_str(": calibrates nothing");
    };
    let at = match rule.tokens {
        Tokens::Last => "the first generated token".to_owned(),
        Tokens::After(text) => format!("what follows {:?}", plan.after.get(usize::from(text)).map_or("?", |t| t)),
        _ => "every token".to_owned(),
    };
    let method = match (rule.operator, &c.correction) {
        (Operator::Calibrate(Method::Temperature(t)), _) => format!("temperature {t}"),
        (operator, Correction::Affine { log: false, .. }) => format!("{} (zhao)", operator.name()),
        (_, Correction::Online(l)) => {
            let learns = if l.learn { format!("{} a request", l.weight) } else { "frozen".to_owned() };
            format!("online ({learns}, no share below {}, after {} requests)", l.min_prior, l.min_count)
        }
        (_, Correction::ContentFree { log, prompts }) => {
            let form = if *log { "" } else { "zhao, " };
            format!("contextual ({form}measured on {} prompts at load)", prompts.len())
        }
        (_, Correction::OfRequest { log }) => {
            let form = if *log { "" } else { "zhao, " };
            let image = plan.contrast.as_ref().is_some_and(|c| c.without == Without::Image);
            format!("contextual ({form}by the same request without its {})", if image { "images" } else { "contexts" })
        }
        (operator, _) => operator.name().to_owned(),
    };
    write!(f, ": {method}, for {at} where the labels have more than {}", c.min_mass)?;
    for label in &c.labels {
        let tokens: Vec<String> = label.pieces.iter().zip(&label.tokens).map(|(p, t)| format!("{p:?} ({t})")).collect();
        write!(f, "\n  label {:?}: {}", label.text, tokens.join(", "))?;
    }
    Ok(())
}
/// On which rows a rule can act whose condition is decided at the last prompt row.
const HELD: &str = "from the last prompt token on";

fn show_tokens(tokens: Tokens) -> String {
    match tokens {
        Tokens::All => "all tokens".into(),
        Tokens::Prompt => "prompt tokens".into(),
        Tokens::Generated => "generated tokens".into(),
        Tokens::Last => "the last prompt token".into(),
        Tokens::Positions { first, last } => format!("positions {first}..{last}"),
        Tokens::After(_) => "tokens after a text".into(),
    }
}

/// The condition of a rule that acts somewhere.
fn condition(plan: &Plan, rule: RuleIndex) -> Option<&When> {
    let mut terms = plan.sites.iter().flat_map(|site| &site.terms);
    terms.find(|term| term.rules().contains(&rule))?.dose()?.when.as_ref()
}

/// What a probe says, and where it reads.
fn show_probe(f: &mut fmt::Formatter<'_>, plan: &Plan, index: ProbeIndex, probe: &Probe) -> fmt::Result {
    write!(f, "\nprobe {}: ", index.0)?;
    match probe {
        Probe::Linear { bias, soft: false, hold, .. } => {
            write!(f, "1 where w·x + {bias} is above 0")?;
            if let Some(below) = hold.as_ref().and_then(|hold| hold.below) {
                write!(f, ", until w·x + {below} is not")?;
            }
        }
        Probe::Linear { bias, soft: true, .. } => write!(f, "the probability σ(w·x + {bias})")?,
        Probe::Similarity { above, hold, .. } => {
            write!(f, "1 where the cosine is above {above}")?;
            if let Some(below) = hold.as_ref().and_then(|hold| hold.below) {
                write!(f, ", until it is not above {below}")?;
            }
        }
    }
    match probe.hold() {
        None => {}
        Some(Hold { below: None, .. }) => f.write_str(", at the last prompt token, and held")?,
        Some(_) => f.write_str(", from the last prompt token on")?,
    }
    let reads = |site: &&SitePlan| site.terms.contains(&Term::Tap { probe: index });
    match plan.sites.iter().find(reads) {
        Some(site) => write!(f, ", read at layer {}", site.layer),
        None => f.write_str(", never read"),
    }
}

fn show_site(f: &mut fmt::Formatter<'_>, plan: &Plan, site: &SitePlan) -> fmt::Result {
    let name = |rule: &RuleIndex| plan.rules.get(usize::from(rule.0)).map_or("?", |r| r.name.as_str());
    write!(f, "\nlayer {} {}:", site.layer, site.site)?;
    for (i, term) in site.terms.iter().enumerate() {
        f.write_str(if i == 0 { " " } else { "; " })?;
        match term {
            Term::AddConst { rules, vector } => {
                let names: Vec<_> = rules.iter().map(name).collect();
                write!(f, "add {} (norm {})", names.join(" + "), round(norm(vector)))?;
            }
            Term::AddGated { rules, dose, vector } => {
                let names: Vec<_> = rules.iter().map(name).collect();
                let at = if dose.gate.is_some() { " at strength 1" } else { "" };
                write!(f, "add {}{} (norm {}{at})", show_dose(dose), names.join(" + "), round(norm(vector)))?;
            }
            Term::Update { rules, dose, update } => {
                let names: Vec<_> = rules.iter().map(name).collect();
                show_update(f, update)?;
                write!(f, "{}{}", show_dose(dose), names.join(" + "))?;
            }
            Term::ScaleHeads { rules, dose, heads } => {
                let names: Vec<_> = rules.iter().map(name).collect();
                let heads: Vec<_> = heads.iter().map(|(head, scale)| format!("{head} by {scale}")).collect();
                write!(f, "scale {}: {}{}", heads.join(", "), show_dose(dose), names.join(" + "))?;
            }
            Term::Edit { rules, dose, rank, .. } => {
                let names: Vec<_> = rules.iter().map(name).collect();
                write!(f, "edit of rank {rank}: {}{}", show_dose(dose), names.join(" + "))?;
            }
            Term::Calibrate { rules, dose, .. } => {
                let names: Vec<_> = rules.iter().map(name).collect();
                write!(f, "calibrate {}{}", show_dose(dose), names.join(" + "))?;
            }
            Term::Tap { probe } => write!(f, "read probe {}", probe.0)?,
        }
    }
    Ok(())
}

/// What stands before a term: `gate 0 × probe 1 × `, or nothing.
fn show_dose(dose: &Dose) -> String {
    let gate = dose.gate.map(|g| format!("gate {} × ", g.0));
    let when = dose.when.as_ref().map(|w| format!("{} × ", show_when(w)));
    gate.into_iter().chain(when).collect()
}

fn show_when(when: &When) -> String {
    let list = |parts: &[When]| parts.iter().map(show_when).collect::<Vec<_>>().join(", ");
    match when {
        When::Probe(probe) => format!("probe {}", probe.0),
        When::All(parts) => format!("all({})", list(parts)),
        When::Any(parts) => format!("any({})", list(parts)),
        When::Not(part) => format!("not({})", show_when(part)),
    }
}

/// What an update does, before the names of its rules.
fn show_update(f: &mut fmt::Formatter<'_>, update: &Update) -> fmt::Result {
    match &update.map {
        Map::Linear { .. } if is_projection(update) => match update.reads.len() {
            1 => f.write_str("project out"),
            n => write!(f, "project out {n} dimensions:"),
        },
        Map::Linear { .. } if let Some(degrees) = degrees(update) => write!(f, "rotate by {degrees:.2} degrees:"),
        Map::Linear { matrix, offset } => match (matrix.as_slice(), offset.as_slice()) {
            ([m], [0.0]) if update.reads == update.writes => write!(f, "change the component by {m} times itself:"),
            _ => write!(f, "linear, {} components read, {} written:", update.reads.len(), update.writes.len()),
        },
        Map::Clamp { min, max } => write!(f, "clamp {}:", bounds(*min, *max)),
        Map::Norm { factor } => write!(f, "add {factor} of the row's length along"),
        Map::Feature { bias, target } => write!(f, "hold the feature with bias {bias} at {target}:"),
    }?;
    f.write_str(" ")
}

fn is_projection(update: &Update) -> bool {
    let Map::Linear { matrix, offset } = &update.map else { return false };
    let n = update.reads.len();
    let minus_one = |(i, m): (usize, &f32)| *m == if i / n == i % n { -1.0 } else { 0.0 };
    update.reads == update.writes && offset.iter().all(|c| *c == 0.0) && matrix.iter().enumerate().all(minus_one)
}

fn bounds(min: Option<f32>, max: Option<f32>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("between {min} and {max}"),
        (Some(min), None) => format!("to at least {min}"),
        (None, Some(max)) => format!("to at most {max}"),
        (None, None) => "to anything".to_owned(),
    }
}

/// Four significant digits.
fn round(x: f64) -> String {
    if x == 0.0 || (1e-3..1e6).contains(&x) {
        let digits = 3 - x.max(1e-3).log10().floor() as i32;
        format!("{x:.*}", usize::try_from(digits).unwrap_or(0))
    } else {
        format!("{x:.3e}")
    }
}

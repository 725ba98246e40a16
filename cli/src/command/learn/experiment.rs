//! The selection, and the random directions beside it.

use std::path::{Path, PathBuf};

use super::{
    Operator,
    choose::{Bench, Goal, Kit, gap, random_kit},
    files::kept,
    fit::{self, LayerFit},
    outcome::{self, Panel},
    report::{self, Controls, Effect, LayerAfter, Swept},
    rule,
};
use crate::{
    args,
    capture::{self, Metadata, Text, capture},
    estimate::{Clusters, Interval, Rows, Scored, project, unit, weighted_mean},
    examples::{Part, Split},
    failure::Failure,
    screen,
};

/// The rule at other doses, on a panel.
pub fn sweep(bench: &Bench<'_>, rule: &rule::Rule, panel: &Panel) -> Result<Vec<Swept>, Failure> {
    let shares: &[f64] = match rule.operator {
        Operator::Sae => &[],
        Operator::Project | Operator::Affine => &[0.25, 0.5, 0.75, 1.0],
        Operator::Add | Operator::Rotate => &[0.25, 0.5, 0.75, 1.0, 1.5, 2.0],
    };
    let classes: Vec<bool> = panel.examples.iter().map(|i| bench.positive[*i]).collect();
    let by = Clusters::new(panel.cluster.iter().copied());
    let one = |share: &f64| {
        let rule = rule::Rule { dose: rule.dose * share, ..rule.clone() };
        let measured = bench.measure(&rule, panel)?;
        let kl = Clusters::new(0..measured.divergence.len()).mean(&measured.divergence);
        let gap = by.interval(|w| gap(&measured.outcome, &classes, w));
        Ok(Swept { dose: rule.dose, gap, kl, perplexity: perplexity(&measured.surprise) })
    };
    // A whole turn and more is another angle.
    let able = |share: &&f64| rule.operator != Operator::Rotate || (rule.dose * **share).abs() <= 180.0;
    shares.iter().filter(able).map(one).collect()
}

/// A folder that is removed at the end, with copies of the vectors.
pub fn trial_folder(out: &Path, files: &[PathBuf]) -> Result<tempfile::TempDir, Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", out.display()));
    let folder = tempfile::Builder::new().prefix(".evenkeel-learn-").tempdir_in(out).map_err(failed)?;
    for file in files {
        std::fs::copy(file, folder.path().join(file.file_name().unwrap_or_default())).map_err(failed)?;
    }
    Ok(folder)
}

/// The vectors that were learned.
pub fn kit(goal: &Goal, name: &str) -> Kit {
    let file = match goal.operator {
        Operator::Affine => format!("{name}-eraser.safetensors"),
        _ => format!("{name}.gguf"),
    };
    Kit { file, plane: (goal.operator == Operator::Rotate).then(|| format!("{name}-plane.gguf")) }
}

/// What the selection and the controls gave.
pub struct Found {
    pub rule: rule::Rule,
    pub candidates: usize,
    pub effect: Effect,
    pub controls: Controls,
    pub notes: Vec<String>,
}

pub fn experiment(
    bench: &Bench<'_>,
    args: &args::Learn,
    arch: &str,
    name: &str,
    kits: &[Kit],
    [choosing, reporting]: [&Panel; 2],
) -> Result<Found, Failure> {
    let goal = &bench.goal;
    let candidates = bench.candidates(kits, name).len();
    if candidates == 0 {
        return Err(Failure::new("no layer can be steered: the classes have the same mean everywhere"));
    }
    let controls = args.controls as u64;
    let bar = screen::progress((candidates as u64) * (controls + 1), "choosing");
    let chosen = bench.choose(kits, name, choosing, &bar)?;
    let measured = bench.measure(&chosen.rule, reporting)?;
    let effect = effect(bench, reporting, &measured, args.margin);

    let weights = vec![1.0; reporting.examples.len()];
    // Random directions are taken out, added or turned to; the control of an eraser and of a feature is the projection.
    let taken = matches!(goal.operator, Operator::Affine | Operator::Sae);
    let random_goal = Goal { operator: if taken { Operator::Project } else { goal.operator }, ..*goal };
    let random_bench = Bench { goal: random_goal, ..*bench };
    let mut effects = Vec::new();
    bar.set_message("choosing for controls");
    for number in 0..controls {
        // As many as were chosen from.
        let random = (0..kits.len() as u64).map(|k| {
            let number = number * kits.len() as u64 + k;
            random_kit(bench.folder, arch, &random_goal, bench.fits, number, args.seed)
        });
        let random = random.collect::<Result<Vec<Kit>, Failure>>()?;
        let chosen = random_bench.choose(&random, name, choosing, &bar)?;
        let measured = random_bench.measure(&chosen.rule, reporting)?;
        effects.push(goal.effect(reporting, bench.positive, &measured.outcome, &weights));
    }
    bar.finish_and_clear();
    let rank = 1 + effects.iter().filter(|e| **e >= effect.effect.value).count();
    let mut notes = Vec::new();
    if chosen.over {
        notes.push(format!(
            "every candidate moves unrelated text by more than {} nats per token (--max-kl); the one that does so least was taken",
            goal.max_kl
        ));
    }
    if controls == 0 {
        notes.push("no random direction was tried (--controls 0): nothing is known of what chance would give".into());
    }
    if effect.clusters < 10 {
        notes.push(format!("only {} groups were reported on: intervals over so few are too narrow", effect.clusters));
    }
    if !effect.gap_before.apart() {
        notes.push(
            "the plain model answers both classes alike as far as these texts tell: there is nothing to steer by this measure (see --answers)".into(),
        );
    }
    let controls = Controls { rank, of: effects.len() + 1, effects };
    Ok(Found { rule: chosen.rule, candidates, effect, controls, notes })
}

pub fn effect(bench: &Bench<'_>, panel: &Panel, measured: &outcome::Measured, margin: f64) -> Effect {
    let classes: Vec<bool> = panel.examples.iter().map(|i| bench.positive[*i]).collect();
    let by = Clusters::new(panel.cluster.iter().copied());
    let (before, after) = (&panel.plain, &measured.outcome);
    let gap_before = by.interval(|w| gap(before, &classes, w));
    let gap_after = by.interval(|w| gap(after, &classes, w));
    let shift: Vec<f64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
    let margin = margin * gap_before.value.abs();
    let n = measured.divergence.len();
    let kl = Clusters::new(0..n).interval(|w| weighted_mean(&measured.divergence, w));
    Effect {
        gap_change: by.interval(|w| gap(before, &classes, w) - gap(after, &classes, w)),
        shift: by.mean(&shift),
        effect: by.interval(|w| bench.goal.effect(panel, bench.positive, after, w)),
        verdict: report::Verdict::of(&gap_after, margin),
        gap_before,
        gap_after,
        margin,
        kl,
        perplexity_before: perplexity(&panel.surprise),
        perplexity_after: perplexity(&measured.surprise),
        clusters: by.len(),
    }
}

/// The exponential of the mean surprise.
pub fn perplexity(surprise: &[f64]) -> f64 {
    (surprise.iter().sum::<f64>() / surprise.len().max(1) as f64).exp()
}

/// What a new probe reads of each layer under the rule, from its first layer on: fitted on the texts that everything was
/// fitted on, scored on those that are reported.
pub fn read_after(
    bench: &Bench<'_>,
    rule: &rule::Rule,
    texts: &[Text],
    parts: &Split,
) -> Result<Vec<LayerAfter>, Failure> {
    let path = bench.folder.join("after.toml");
    std::fs::write(&path, rule.profile(&[])).map_err(kept)?;
    bench.plugin.load_profile(Some(&path))?;
    let store = capture(bench.session, texts, None, &Metadata::default());
    bench.plugin.load_profile(None)?;
    let store = store?;
    let part = |part: Part| -> Vec<f64> { parts.part.iter().map(|p| f64::from(u8::from(*p == part))).collect() };
    let layers = store.layers().into_iter().filter(|l| *l >= rule.layers.0);
    let read = |layer: usize| -> std::io::Result<LayerAfter> {
        let scored = fit::transfer(&store.layer(layer), bench.positive, &part(Part::Fit), &part(Part::Report))?;
        let by = Clusters::new(parts.of(Part::Report).iter().map(|i| parts.cluster[*i]));
        Ok(LayerAfter { layer, auroc: by.interval(|w| scored.area(w)) })
    };
    layers.map(read).collect::<std::io::Result<_>>().map_err(kept)
}

/// AUROC of a layer's direction on the texts that are reported.
pub fn reported_auroc(
    store: &capture::Store,
    fits: &[LayerFit],
    parts: &Split,
    positive: &[bool],
    layer: usize,
) -> std::io::Result<Interval> {
    let members = parts.of(Part::Report);
    let weights: Vec<f64> = parts.part.iter().map(|p| f64::from(u8::from(*p == Part::Report))).collect();
    let direction = fits.iter().find(|f| f.layer == layer).map(|f| unit(&f.direction)).unwrap_or_default();
    let mut scores = Vec::new();
    store.layer(layer).each(&weights, &mut |_, _, row| scores.push(project(row, &direction)))?;
    let scored = Scored::new(scores, members.iter().map(|i| positive[*i]).collect());
    Ok(Clusters::new(members.iter().map(|i| parts.cluster[*i])).interval(|w| scored.area(w)))
}

//! `learn`: from examples to vectors and a profile, on the model as it is, and the evidence that it does something.
//!
//! Three parts of the texts, which share no group: directions, probes and erasers are fitted on the first; layers and
//! dose are chosen on the second by what they do to the model's answers, random directions in the same way; what is
//! reported is measured on the third.

mod choose;
mod fit;
mod outcome;
mod report;
mod rule;
mod sae;
mod show;
pub mod write;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use evenkeel_ffi::host::Token;
use sha2::{Digest, Sha256};

pub use rule::When;

pub use report::{Report, Swept};

use self::{
    choose::{Bench, Goal, Kit, gap, random_kit},
    fit::{Data, LayerFit},
    outcome::{Classes, Outcome, Panel},
    report::{Choice, Class, Controls, Cost, Effect, LayerAfter},
    sae::{Feature, Ranked, Sae},
};
use crate::{
    args,
    ask::{Question, ask},
    capture::{self, Metadata, Text, capture},
    command::audit::Example,
    estimate::{Clusters, Interval, Rows, Scored, project, unit, weighted_mean},
    examples::{self, Examples, Part, Source, Split, split, stem},
    failure::{Failure, Outcome as Ended, Verdict},
    neutral::{self, Plain},
    screen,
    session::{self, Session},
    write::{Draft, write as write_texts},
};

/// How a direction is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// Difference of the classes' means.
    Mean,
    /// First principal component, of the differences where there are pairs.
    Pca,
    /// The weights of a logistic regression.
    Probe,
    /// LEACE: the least change after which no linear classifier tells the classes apart.
    Leace,
    /// One feature of a sparse autoencoder.
    Sae,
}

/// What a rule does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Operator {
    /// Add it.
    Add,
    /// Take it out.
    Project,
    /// Apply the eraser.
    Affine,
    /// Turn towards it.
    Rotate,
    /// Switch the feature off.
    Sae,
}

impl Operator {
    /// Its name in a profile.
    pub fn key(self) -> &'static str {
        match self {
            Operator::Add => "add",
            Operator::Project => "project",
            Operator::Affine => "affine",
            Operator::Rotate => "rotate",
            Operator::Sae => "sae",
        }
    }

    /// It makes the classes alike, rather than all texts like one.
    pub fn removes(self) -> bool {
        !matches!(self, Operator::Add | Operator::Rotate)
    }
}

/// Texts that candidates are measured on, at most.
const CHOOSE: usize = 64;
/// Texts that are reported on, at most.
const REPORT: usize = 256;
/// Texts that are shown with what the model makes of them, and tokens that it adds.
const EXAMPLES: usize = 3;
const CONTINUED: usize = 24;
/// The longest text, unless more is asked for.
const CONTEXT: usize = 2048;

pub fn main(args: &args::Learn, json: bool) -> Ended {
    session::start_clean(&args.host)?;
    let begin = Instant::now();
    let (source, name) = source(args)?;
    let (method, operator) = work(args)?;
    let mut examples = examples::read(&source)?;
    let neutral = args.neutral.as_deref().map(neutral::read).transpose()?;
    std::fs::create_dir_all(&args.out).map_err(|e| Failure::usage(format!("--out {}: {e}", args.out.display())))?;
    let session = Session::open(&args.host, &args.model)?;
    let model = &session.model;
    let longest = longest(&session, args.context)?;
    let texts = capture::texts(model, &mut examples, args.at, args.chat, longest)?;
    let parts = split(&examples, args.seed)?;

    let said = said(args, &session, &examples, method, operator)?;
    let positive: Vec<bool> = examples.all.iter().map(|e| e.positive).collect();
    let store = capture(&session, &texts, args.save_activations.as_deref(), &rows_said(&said, &parts, &positive))?;
    let weights: Vec<f64> = parts.part.iter().map(|p| f64::from(u8::from(*p == Part::Fit))).collect();
    let data = Data { positive: &positive, weights: &weights, cluster: &parts.cluster, paired: examples.paired };
    let bar = screen::progress(store.layers().len() as u64, "learning");
    let fits = fit::fit(&store, &data, method, &bar).map_err(kept)?;
    bar.finish_and_clear();

    // Everything plain is asked before the plug-in is there.
    let outcome = outcome(args, &session, &texts, &positive, &parts)?;
    let neutral = tokens(&session, &neutral.unwrap_or_default(), longest)?;
    let panel = |part: Part, most: usize| -> Result<Panel, Failure> {
        let members = thin(&parts.of(part), most, examples.unit());
        // As many as of the examples: each is evaluated once per candidate.
        let n = neutral.len().min(most);
        let elsewhere: Vec<_> = (0..n).map(|i| neutral[i * neutral.len() / n].clone()).collect();
        let mut panel = Panel::new(model, &outcome, &texts, &members, &parts.cluster, &elsewhere)?;
        let questions = panel.questions.clone();
        ask(&session, &questions, |q, at, logits| panel.see_plain(&outcome, q, at, logits))?;
        Ok(panel)
    };
    let (choosing, reporting) = (panel(Part::Choose, CHOOSE)?, panel(Part::Report, REPORT)?);

    let shown = thin(&parts.of(Part::Report), EXAMPLES, 1);
    let drafts: Vec<Draft> = shown.iter().map(|i| Draft::likeliest(texts[*i].tokens.clone(), CONTINUED)).collect();
    let plain_texts = write_texts(&session, None, &drafts)?;

    let features = match &args.sae {
        Some(path) if method == Method::Sae => {
            let layer = args.sae_layer.unwrap_or_default() as usize;
            features(path, &session, &store, layer, &weights, &positive)?
        }
        _ => Features::default(),
    };
    let goal = Goal {
        operator,
        towards_positive: args.toward == args::Toward::Positive,
        max_kl: args.max_kl,
        when: args.when,
        only_layer: (method == Method::Sae).then_some(args.sae_layer.unwrap_or_default() as usize),
    };
    let arch = model.metadata("general.architecture").unwrap_or_default();
    let files = write_files(&args.out, &name, &arch, &fits, &goal, &said).map_err(kept)?;
    let plugin = session.plugin()?;
    let folder = trial_folder(&args.out, &files)?;
    let bench = Bench {
        folder: folder.path(),
        session: &session,
        plugin: &plugin,
        outcome: &outcome,
        positive: &positive,
        fits: &fits,
        goal,
    };
    let mut kits = vec![kit(&goal, &name)];
    if method == Method::Sae {
        kits = features.kits(folder.path(), &name, &said)?;
    }
    let mut found = experiment(&bench, args, &arch, &name, &kits, [&choosing, &reporting])?;
    let sweep = sweep(&bench, &found.rule, &reporting)?;
    let steered_texts = bench.under(&found.rule, || write_texts(&session, Some(&plugin), &drafts))?;
    let pairs = shown.iter().zip(plain_texts.into_iter().zip(steered_texts));
    let shown = pairs.map(|(i, (plain, steered))| Example {
        prompt: model.text(&texts[*i].tokens),
        texts: vec![("plain".into(), plain), (name.clone(), steered)],
    });
    let after = match operator.removes() {
        true => read_after(&bench, &found.rule, &texts, &parts)?,
        false => Vec::new(),
    };
    let files = features.keep(folder.path(), &args.out, &name, &mut found.rule, files)?;
    found.notes.extend(features.notes.iter().cloned());

    let report = Report {
        model: model.description(),
        model_sha256: value(&said, "evenkeel.model.sha256"),
        data_sha256: examples.sha256.clone(),
        evenkeel: env!("CARGO_PKG_VERSION").into(),
        llama: session.llama.path().display().to_string(),
        classes: classes(&examples),
        left_out: examples.problems.clone(),
        parts: [Part::Fit, Part::Choose, Part::Report].map(|p| parts.of(p).len()),
        method: value(&said, "evenkeel.method"),
        operator: operator.key().into(),
        position: value(&said, "evenkeel.position"),
        layers_after: after,
        features: features.best.iter().map(|f| Ranked { index: f.index, auroc: f.auroc }).collect(),
        layers: fits.iter().map(|f| f.scores.clone()).collect(),
        reported_auroc: reported_auroc(&store, &fits, &parts, &positive, found.rule.layers.0).map_err(kept)?,
        outcome: outcome.describe(model),
        chosen: Choice {
            layers: [found.rule.layers.0, found.rule.layers.1],
            dose: found.rule.dose,
            candidates: found.candidates,
            max_kl: goal.max_kl,
        },
        effect: found.effect,
        controls: found.controls,
        sweep,
        examples: shown.collect(),
        files: Vec::new(),
        notes: found.notes,
        cost: cost(begin),
    };
    finish(args, report, &name, &found.rule, files, json)
}

/// The rule at other doses, on a panel.
fn sweep(bench: &Bench<'_>, rule: &rule::Rule, panel: &Panel) -> Result<Vec<Swept>, Failure> {
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

/// What saved activations say: a digit per row besides, so that everything can be computed again.
fn rows_said(said: &[(String, String)], parts: &Split, positive: &[bool]) -> Metadata {
    let part = |p: &Part| match p {
        Part::Fit => '0',
        Part::Choose => '1',
        Part::Report => '2',
    };
    let class = |p: &bool| if *p { '1' } else { '0' };
    let mut said = said.to_vec();
    said.push(("evenkeel.rows.part".into(), parts.part.iter().map(part).collect()));
    said.push(("evenkeel.rows.class".into(), positive.iter().map(class).collect()));
    Metadata(said)
}

/// A folder that is removed at the end, with copies of the vectors.
fn trial_folder(out: &Path, files: &[PathBuf]) -> Result<tempfile::TempDir, Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", out.display()));
    let folder = tempfile::Builder::new().prefix(".evenkeel-learn-").tempdir_in(out).map_err(failed)?;
    for file in files {
        std::fs::copy(file, folder.path().join(file.file_name().unwrap_or_default())).map_err(failed)?;
    }
    Ok(folder)
}

/// The vectors that were learned.
fn kit(goal: &Goal, name: &str) -> Kit {
    let file = match goal.operator {
        Operator::Affine => format!("{name}-eraser.safetensors"),
        _ => format!("{name}.gguf"),
    };
    Kit { file, plane: (goal.operator == Operator::Rotate).then(|| format!("{name}-plane.gguf")) }
}

/// The features that candidates are made of; none but for --method sae.
#[derive(Default)]
struct Features {
    layer: usize,
    best: Vec<Feature>,
    notes: Vec<String>,
}

/// Features that are tried.
const FEATURES: usize = 8;

fn features(
    path: &Path,
    session: &Session,
    store: &capture::Store,
    layer: usize,
    weights: &[f64],
    positive: &[bool],
) -> Result<Features, Failure> {
    if !store.layers().contains(&layer) {
        return Err(Failure::usage(format!("--sae-layer {layer}: the model has {} layers", session.model.n_layer())));
    }
    let sae = Sae::open(path, session.model.n_embd())?;
    let bar = screen::progress(sae.features as u64, "ranking features");
    let best = sae.rank(&store.layer(layer), weights, positive, FEATURES, |n| bar.inc(n as u64))?;
    bar.finish_and_clear();
    Ok(Features { layer, best, notes: sae.notes })
}

impl Features {
    /// One file per feature, to be tried.
    fn kits(&self, folder: &Path, name: &str, said: &[(String, String)]) -> Result<Vec<Kit>, Failure> {
        let kit = |f: &Feature| {
            let file = format!("{name}-feature-{}.safetensors", f.index);
            write::feature(&folder.join(&file), self.layer, f, said).map_err(kept)?;
            Ok(Kit { file, plane: None })
        };
        self.best.iter().map(kit).collect()
    }

    /// Keeps the file of the feature that was chosen.
    fn keep(
        &self,
        folder: &Path,
        out: &Path,
        name: &str,
        rule: &mut rule::Rule,
        mut files: Vec<PathBuf>,
    ) -> Result<Vec<PathBuf>, Failure> {
        if !self.best.is_empty() {
            let path = out.join(format!("{name}-feature.safetensors"));
            std::fs::copy(folder.join(&rule.file), &path).map_err(kept)?;
            rule.file = format!("{name}-feature.safetensors");
            files.insert(0, path);
        }
        Ok(files)
    }
}

/// What the selection and the controls gave.
struct Found {
    rule: rule::Rule,
    candidates: usize,
    effect: Effect,
    controls: Controls,
    notes: Vec<String>,
}

fn experiment(
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

fn effect(bench: &Bench<'_>, panel: &Panel, measured: &outcome::Measured, margin: f64) -> Effect {
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
fn perplexity(surprise: &[f64]) -> f64 {
    (surprise.iter().sum::<f64>() / surprise.len().max(1) as f64).exp()
}

fn finish(
    args: &args::Learn,
    mut report: Report,
    name: &str,
    rule: &rule::Rule,
    mut files: Vec<PathBuf>,
    json: bool,
) -> Ended {
    let failed = |path: &Path, e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    let e = &report.effect;
    let k = &report.controls;
    let head = [
        format!("Learned by `evenkeel learn` ({}, {}) on {}.", report.method, report.position, report.model),
        format!("Data sha256 {}", report.data_sha256),
        format!("Measured: {}", report.outcome),
        format!(
            "Gap between the classes: {} plain, {} with this rule, on texts not used otherwise.",
            e.gap_before, e.gap_after
        ),
        format!("Divergence elsewhere {} nats per token. Rank among random directions: {} of {}.", e.kl, k.rank, k.of),
        if k.beaten() || k.of == 1 { String::new() } else { "Nothing here beats the control.".into() },
    ];
    let profile = args.out.join(format!("{name}.toml"));
    let head: Vec<String> = head.into_iter().filter(|l| !l.is_empty()).collect();
    std::fs::write(&profile, rule.profile(&head)).map_err(|e| failed(&profile, e))?;
    files.insert(0, profile);
    files.extend(args.save_activations.clone());
    files.extend(super::report::names(&args.out, name));
    report.files = files.iter().map(|f| f.display().to_string()).collect();
    let text = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
    super::report::write(&args.out, name, &text)?;
    if json {
        screen::json(&report);
    } else {
        show::show(&report, rule.operator.removes());
    }
    Ok(if report.controls.beaten() || report.controls.of == 1 { Verdict::Good } else { Verdict::Bad })
}

fn source(args: &args::Learn) -> Result<(Source, String), Failure> {
    let named = |path: &Path| args.name.clone().unwrap_or_else(|| stem(path));
    match (&args.data, &args.positive, &args.negative) {
        (Some(file), None, None) => Ok((Source::Rows { file: file.clone(), label: args.label.clone() }, named(file))),
        (None, Some(positive), Some(negative)) => {
            Ok((Source::Prompts { positive: positive.clone(), negative: negative.clone() }, named(positive)))
        }
        _ => {
            Err(Failure::usage("the examples are not named")
                .todo("give --data FILE, or --positive FILE --negative FILE"))
        }
    }
}

/// Method and operator that go together.
fn work(args: &args::Learn) -> Result<(Method, Operator), Failure> {
    let natural = match args.method {
        Method::Leace => Operator::Affine,
        Method::Sae => Operator::Sae,
        _ => Operator::Project,
    };
    let operator = args.operator.unwrap_or(natural);
    let fits = match args.method {
        Method::Leace => operator == Operator::Affine,
        Method::Sae => operator == Operator::Sae,
        _ => !matches!(operator, Operator::Affine | Operator::Sae),
    };
    if args.method == Method::Sae && args.sae.is_none() {
        return Err(Failure::usage("--method sae: the autoencoder is not named").todo("give --sae FILE --sae-layer N"));
    }
    if fits {
        return Ok((args.method, operator));
    }
    Err(Failure::usage(format!("--operator {} does not go with this --method", operator.key()))
        .todo("leace gives affine, sae gives sae; mean, pca and probe give project, add or rotate"))
}

/// The longest text that is taken.
/// The longest text that the model is asked about.
pub fn longest(session: &Session, asked: Option<u32>) -> Result<usize, Failure> {
    let arch = session.model.metadata("general.architecture").unwrap_or_default();
    let trained = session.model.metadata(&format!("{arch}.context_length")).and_then(|n| n.parse::<usize>().ok());
    let trained = trained.unwrap_or(usize::MAX);
    match asked {
        Some(n) if n as usize > trained => {
            Err(Failure::usage(format!("--context {n}: the model was trained on contexts of {trained} tokens")))
        }
        Some(n) => Ok(n as usize),
        None => Ok(trained.min(CONTEXT)),
    }
}

fn said(
    args: &args::Learn,
    session: &Session,
    examples: &Examples,
    method: Method,
    operator: Operator,
) -> Result<Vec<(String, String)>, Failure> {
    let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    };
    use clap::ValueEnum as _;
    let all = [
        ("evenkeel.operator", operator.key().to_owned()),
        ("evenkeel.site", "residual".into()),
        ("evenkeel.method", name(&|| method.to_possible_value())),
        ("evenkeel.position", name(&|| args.at.to_possible_value())),
        ("evenkeel.positive", examples.names[0].clone()),
        ("evenkeel.negative", examples.names[1].clone()),
        ("evenkeel.model", session.model.description()),
        ("evenkeel.model.sha256", file_sha256(&args.model)?),
        ("evenkeel.data.sha256", examples.sha256.clone()),
        ("evenkeel.version", env!("CARGO_PKG_VERSION").into()),
    ];
    Ok(all.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn value(said: &[(String, String)], key: &str) -> String {
    said.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone()).unwrap_or_default()
}

/// SHA-256 of a file, read in parts.
pub fn file_sha256(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let bar = screen::progress_bytes(file.metadata().map_err(failed)?.len(), "hashing the model");
    let (mut hash, mut part) = (Sha256::new(), vec![0u8; 1 << 20]);
    loop {
        match file.read(&mut part).map_err(failed)? {
            0 => break,
            n => {
                hash.update(&part[..n]);
                bar.inc(n as u64);
            }
        }
    }
    bar.finish_and_clear();
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// The answers that were named, or the tokens by which the classes differ.
fn outcome(
    args: &args::Learn,
    session: &Session,
    texts: &[Text],
    positive: &[bool],
    parts: &Split,
) -> Result<Outcome, Failure> {
    if let Some([a, b]) = args.answers.as_deref() {
        return Ok(Outcome::Answers([a.clone(), b.clone()]));
    }
    let members = parts.of(Part::Fit);
    let questions: Vec<Question> = members.iter().map(|i| Question::next(texts[*i].tokens.clone())).collect();
    let mut classes = Classes::new(session.model.n_vocab());
    ask(session, &questions, |q, _, logits| classes.add(positive[members[q]], logits))?;
    classes.contrast().ok_or_else(|| {
        Failure::usage("the model says the same after texts of both classes, so that nothing can be measured")
            .todo("name two answers to tell apart with --answers FIRST SECOND")
    })
}

/// At most so many, evenly taken, units whole.
fn thin(members: &[usize], most: usize, unit: usize) -> Vec<usize> {
    let units: Vec<&[usize]> = members.chunks(unit).collect();
    let wanted = (most / unit).min(units.len());
    (0..wanted).flat_map(|i| units[i * units.len() / wanted].to_vec()).collect()
}

fn tokens(session: &Session, texts: &[Plain], longest: usize) -> Result<Vec<(Vec<Token>, usize)>, Failure> {
    texts.iter().filter_map(|text| text.tokens(&session.model, longest).transpose()).collect()
}

fn write_files(
    out: &Path,
    name: &str,
    arch: &str,
    fits: &[LayerFit],
    goal: &Goal,
    said: &[(String, String)],
) -> std::io::Result<Vec<PathBuf>> {
    let directions = |of: fn(&LayerFit) -> &Vec<f64>| -> BTreeMap<usize, Vec<f32>> {
        fits.iter().filter(|f| f.layer > 0).map(|f| (f.layer, write::single(of(f)))).collect()
    };
    let mut said = said.to_vec();
    let layers: Vec<String> = fits.iter().filter(|f| f.layer > 0).map(|f| f.layer.to_string()).collect();
    said.push(("evenkeel.layers".into(), layers.join(",")));
    // What a condition or a plane is made of is not meant for the rule's operator.
    let other: Vec<_> = said.iter().filter(|(k, _)| k != "evenkeel.operator").cloned().collect();
    let mut files = Vec::new();
    let mut path = |suffix: &str| {
        files.push(out.join(format!("{name}{suffix}")));
        files[files.len() - 1].clone()
    };
    match goal.operator {
        Operator::Sae => {}
        Operator::Affine => write::eraser(&path("-eraser.safetensors"), fits, &said)?,
        _ => write::vector(&path(".gguf"), arch, &directions(|f| &f.direction), &said)?,
    }
    if goal.operator == Operator::Rotate {
        write::vector(&path("-plane.gguf"), arch, &directions(|f| &f.plane), &other)?;
    }
    if goal.when == Some(When::Similar) {
        write::vector(&path("-condition.gguf"), arch, &directions(|f| &f.direction), &other)?;
    }
    write::probe(&path("-probe.safetensors"), fits, &other)?;
    Ok(files)
}

fn classes(examples: &Examples) -> [Class; 2] {
    let counts = examples.counts();
    [0, 1].map(|i| Class { name: examples.names[i].clone(), texts: counts[i] })
}

/// What a new probe reads of each layer under the rule, from its first layer on: fitted on the texts that everything was
/// fitted on, scored on those that are reported.
fn read_after(bench: &Bench<'_>, rule: &rule::Rule, texts: &[Text], parts: &Split) -> Result<Vec<LayerAfter>, Failure> {
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

/// Time and memory of this process so far.
fn cost(begin: Instant) -> Cost {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Cost {
        seconds: begin.elapsed().as_secs_f64(),
        cpu_seconds: t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9,
        peak_memory_mib: peak.map(|kib| kib as f64 / 1024.0),
    }
}

/// AUROC of a layer's direction on the texts that are reported.
fn reported_auroc(
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

fn kept(error: std::io::Error) -> Failure {
    Failure::new(format!("what was learned cannot be kept: {error}"))
}

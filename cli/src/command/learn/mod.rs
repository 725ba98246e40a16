//! `learn`: from examples to vectors and a profile, on the model as it is, and the evidence that it does something.
//!
//! Three parts of the texts, which share no group: directions, probes and erasers are fitted on the first; layers and
//! dose are chosen on the second by what they do to the model's answers, random directions in the same way; what is
//! reported is measured on the third.

mod choose;
mod experiment;
mod features;
mod files;
mod fit;
pub mod heads;
mod input;
mod outcome;
mod report;
mod rule;
mod sae;
mod show;
pub mod write;

use std::time::Instant;

pub use input::longest;
pub use report::{Report, Swept};
pub use rule::When;

use self::{
    choose::{Bench, Goal},
    experiment::{experiment, kit, read_after, reported_auroc, sweep, trial_folder},
    features::{Features, features},
    files::{cost, finish, kept, rows_said, said, value, write_files},
    fit::Data,
    input::{classes, outcome, source, thin, tokens, work},
    outcome::Panel,
    report::Choice,
    sae::Ranked,
};
use crate::{
    args,
    ask::ask,
    capture::{self, capture},
    command::audit::Example,
    examples::{self, Part, split},
    failure::{Failure, Outcome as Ended},
    neutral, screen,
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
    let plugin = session.plugin()?;
    let said_of_rows = rows_said(&said, &parts, &positive);
    let store = capture((&session, &plugin), &texts, args.save_activations.as_deref(), &said_of_rows)?;
    let weights: Vec<f64> = parts.part.iter().map(|p| f64::from(u8::from(*p == Part::Fit))).collect();
    let data = Data { positive: &positive, weights: &weights, cluster: &parts.cluster, paired: examples.paired };
    let bar = screen::progress(store.layers().len() as u64, "learning");
    let fits = fit::fit(&store, &data, method, &bar).map_err(kept)?;
    bar.finish_and_clear();

    // Everything plain is asked before there is a profile.
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

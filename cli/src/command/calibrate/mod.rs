//! `calibrate`: fits the calibration of labels on examples, writes it, and reports what it does through the plug-in.

mod examples;
mod fit;
mod report;
mod score;
mod write;

use evenkeel_core::{plan::model_name, vocabulary::Vocabulary};

pub use examples::{Asked, Example, Said, halves, plain, questions, read};
pub use fit::mean as mean_score;
pub use report::Report;
pub use score::{Figure, top};

use self::{
    fit::{Fit, fit},
    report::Reliability,
};
use super::{check, learn, report::write as write_report};
use crate::{
    args::{self, CalibrateMethod as Method},
    ask::ask_under,
    examples::stem,
    failure::{Failure, Outcome, Verdict},
    screen,
    session::{self, Session},
};

pub fn main(args: &args::Calibrate, as_json: bool) -> Outcome {
    session::start_clean(&args.host)?;
    let scores = scores(args)?;
    if args.zhao && !matches!(args.method, Method::Affine | Method::Contextual) {
        return Err(Failure::usage(format!("--zhao: is of affine and contextual, not of {}", args.method.name())));
    }
    let name = args.name.clone().unwrap_or_else(|| format!("{}-{}", stem(&args.examples), args.method.name()));
    let given = given(args)?;
    let facts = check::facts(&args.model)?;
    std::fs::create_dir_all(&args.out).map_err(|e| Failure::usage(format!("--out {}: {e}", args.out.display())))?;
    let session = Session::open(&args.host, &args.model)?;
    let longest = learn::longest(&session, args.context)?;
    let vocabulary = Vocabulary::new((0..session.model.n_vocab() as i32).map(|t| session.model.piece(t)));
    let tokens = tokens(&args.labels, &vocabulary)?;
    let chat = (args.chat, longest);
    let (fitting, reporting) = (questions(&session, &given.fit, chat)?, questions(&session, &given.report, chat)?);
    let said = |examples| Said::new(examples, &args.labels, &tokens);
    let wait = screen::spinner("asking the model");
    // Everything plain is asked before the plug-in is there.
    let fitted_on = plain(&session, &fitting, said(&given.fit))?;
    let before = plain(&session, &reporting, said(&given.report))?;
    wait.finish_and_clear();

    let fitted =
        fit(args.method, args.zhao, &fitted_on, scores.as_deref().unwrap_or_default()).map_err(Failure::new)?;
    let profile = write::write(args, &name, &fitted, &model_name(&facts, vocabulary.len()))?;
    let plugin = session.plugin()?;
    let mut said = said(&given.report);
    let path = session::profile_path(&profile)?;
    ask_under(&session, &plugin, &path, &reporting, |question, _, logits| said.see(question, logits))?;
    let after = said.all()?;

    let report = Report {
        profile: profile.display().to_string(),
        name: name.clone(),
        method: args.method.name().into(),
        form: if args.zhao { "zhao" } else { "log" }.into(),
        model: session.model.description(),
        model_sha256: crate::hash::file_sha256(&args.model)?,
        data_sha256: given.sha256,
        evenkeel: env!("CARGO_PKG_VERSION").into(),
        llama: session.llama.path().display().to_string(),
        labels: args.labels.clone(),
        tokens: tokens.iter().map(|list| list.iter().map(|t| piece(&vocabulary, *t)).collect()).collect(),
        fitted: match &fitted {
            Fit::Temperature(t) => [("temperature".into(), vec![*t])].into(),
            Fit::Tensors(tensors) => {
                tensors.iter().map(|(name, values)| ((*name).to_owned(), values.clone())).collect()
            }
        },
        fitted_on: fitted_on.len(),
        reported_on: before.len(),
        min_label_mass: args.min_label_mass,
        left_alone: before.iter().filter(|a| a.mass <= args.min_label_mass).count(),
        right: score::right(&before, args.labels.len()),
        figures: score::figures(&before, &after, &args.labels, scores.as_deref()),
        reliability: Reliability::new(&before, &after),
        notes: notes(&fitted, &fitted_on, &before),
    };
    let json = serde_json::to_string_pretty(&report).map_err(Failure::new)?;
    let [_, page, _] = write_report(&args.out, &name, &json)?;
    let picture = args.out.join(format!("{name}.svg"));
    std::fs::write(&picture, report.reliability.plot().file())
        .map_err(|e| Failure::new(format!("{}: {e}", picture.display())))?;
    if as_json {
        println!("{json}");
    } else {
        report::show(&report, &[&profile, &page, &picture]);
    }
    Ok(Verdict::Good)
}

fn piece(vocabulary: &Vocabulary, token: u32) -> String {
    String::from_utf8_lossy(vocabulary.piece(token as usize)).into_owned()
}

/// The scores of labels that are numbers, which some methods need.
fn scores(args: &args::Calibrate) -> Result<Option<Vec<f64>>, Failure> {
    let numbers: Option<Vec<f64>> = args.labels.iter().map(|l| l.trim().parse().ok()).collect();
    if numbers.is_none() && matches!(args.method, Method::Linear | Method::Tweedie) {
        let got = args.labels.join(", ");
        return Err(Failure::usage(format!("{} needs ratings as labels, got {got}", args.method.name())));
    }
    Ok(numbers)
}

/// Examples to fit and to report on, which share no group.
struct Given {
    fit: Vec<Example>,
    report: Vec<Example>,
    /// Of the bytes of all files.
    sha256: String,
}

/// Two files, or the halves of one.
fn given(args: &args::Calibrate) -> Result<Given, Failure> {
    let (fit, mut sha256) = read(&args.examples, &args.labels)?;
    let (fit, report) = match &args.test {
        Some(test) => {
            let (report, other) = read(test, &args.labels)?;
            sha256 = format!("{sha256} and {other}");
            (fit, report)
        }
        None if args.method == Method::Contextual => {
            let what = "contextual is fitted on prompts without content, which say nothing about quality";
            return Err(Failure::usage(what).todo("name answered examples with --test FILE"));
        }
        None => halves(fit),
    };
    let lacks = |list: &[Example]| list.iter().any(|e| e.answer.is_none());
    if !matches!(args.method, Method::Contextual | Method::Batch) && lacks(&fit) {
        let method = args.method.name();
        return Err(Failure::usage(format!("{method} is fitted on answered examples, and some have none")));
    }
    if lacks(&report) {
        return Err(Failure::usage("what is reported on needs answers, and some examples have none")
            .todo("name answered examples with --test FILE"));
    }
    if fit.is_empty() || report.is_empty() {
        return Err(Failure::usage("too few examples for two halves").todo("name more, or a second file with --test"));
    }
    Ok(Given { fit, report, sha256 })
}

/// The tokens of each label.
pub fn tokens(labels: &[String], vocabulary: &Vocabulary) -> Result<Vec<Vec<u32>>, Failure> {
    if labels.len() < 2 {
        return Err(Failure::usage("--labels: one label alone has nothing to be compared with"));
    }
    let find = |label: &String| {
        let tokens = vocabulary.tokens_of(label);
        if tokens.is_empty() {
            return Err(Failure::usage(format!("the label {label:?} is no single token of this model"))
                .todo("a label is a text that is one token, with or without a space in front"));
        }
        Ok(tokens)
    };
    labels.iter().map(find).collect()
}

/// What to think of before these figures are believed.
fn notes(fit: &Fit, fitted_on: &[Asked], before: &[Asked]) -> Vec<String> {
    let mut notes = Vec::new();
    let weak = fitted_on.iter().filter(|a| a.mass < 0.5).count();
    if weak > 0 {
        notes.push(format!(
            "On {weak} of the {} examples that were fitted on, the labels have less than half of the probability: those \
             prompts may ask for something else.",
            fitted_on.len()
        ));
    }
    if let Fit::Temperature(t) = fit
        && fit::at_edge(*t)
    {
        notes.push(format!("The best temperature lies at the edge of what was tried: {t:.3}."));
    }
    if before.len() < 100 {
        notes.push(format!("Reported on {} examples only: intervals are wide.", before.len()));
    }
    if fitted_on.len() < 30 && fitted_on.iter().any(|e| e.answer.is_some()) {
        notes.push(format!("Fitted on {} examples only.", fitted_on.len()));
    }
    notes.push(
        "A calibration is of one format of prompts: what it does to others is known only when they are among what is \
         reported on."
            .into(),
    );
    notes
}

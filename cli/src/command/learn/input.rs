//! What was typed and given: examples, the method, the answers to look at.

use std::path::Path;

use evenkeel_ffi::host::Token;

use super::{
    Method, Operator,
    outcome::{Classes, Outcome},
    report::Class,
};
use crate::{
    args,
    ask::{Question, ask},
    capture::Text,
    examples::{Examples, Part, Source, Split, stem},
    failure::Failure,
    neutral::Plain,
    session::Session,
};

/// The longest text, unless more is asked for.
pub const CONTEXT: usize = 2048;

pub fn source(args: &args::Learn) -> Result<(Source, String), Failure> {
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
pub fn work(args: &args::Learn) -> Result<(Method, Operator), Failure> {
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

/// The answers that were named, or the tokens by which the classes differ.
pub fn outcome(
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
pub fn thin(members: &[usize], most: usize, unit: usize) -> Vec<usize> {
    let units: Vec<&[usize]> = members.chunks(unit).collect();
    let wanted = (most / unit).min(units.len());
    (0..wanted).flat_map(|i| units[i * units.len() / wanted].to_vec()).collect()
}

pub fn tokens(session: &Session, texts: &[Plain], longest: usize) -> Result<Vec<(Vec<Token>, usize)>, Failure> {
    texts.iter().filter_map(|text| text.tokens(&session.model, longest).transpose()).collect()
}

pub fn classes(examples: &Examples) -> [Class; 2] {
    let counts = examples.counts();
    [0, 1].map(|i| Class { name: examples.names[i].clone(), texts: counts[i] })
}

//! `bench`: what steering costs.

mod contender;
mod model;
mod report;
mod rounds;
mod show;
mod statistics;

use self::{
    contender::{Case, Field},
    report::{Identical, Report},
    rounds::{BLOCK, Phase, measure},
    statistics::Answer,
};
use crate::{
    args,
    failure::{Failure, Outcome, Verdict},
    screen,
    session::{self, Session},
};

pub fn main(args: &args::Bench, json: bool) -> Outcome {
    session::start_clean(&args.host)?;
    let file = model::file(args)?;
    let session = Session::open(&args.host, &file)?;
    if session.model.n_layer() < 2 {
        return Err(Failure::usage("a model of one layer cannot be measured")
            .todo("llama.cpp's control vectors begin at layer 1"));
    }
    let pairs = args.pairs.min(if args.quick { 4 } else { u32::MAX }) as usize;
    let n_ctx = (pairs + 2) * BLOCK;
    let mut field = Field::new(&session, n_ctx, args.embedded)?;

    let n_vocab = session.model.n_vocab();
    let bar = screen::progress(2 * ((pairs + 1) * Case::ALL.len()) as u64, "decode");
    let decode = measure(&mut field, Phase::Decode, pairs, n_vocab, &bar)?;
    let identical = identical(&mut field);
    bar.set_message("prefill");
    let prefill = measure(&mut field, Phase::Prefill, pairs, n_vocab, &bar)?;
    bar.finish_and_clear();

    let phases = vec![report::phase(&decode), report::phase(&prefill)];
    let targets = report::targets(&decode, &phases, identical);
    let report = Report {
        model: session.model.description(),
        parameters: session.model.n_params(),
        library: session.llama.path().display().to_string(),
        threads: session.options(n_ctx).threads,
        pairs,
        phases,
        identical,
        targets,
    };
    if json {
        screen::json(&report);
    } else {
        show::show(&report);
        if args.quick {
            println!("This was --quick: it shows that measuring works, and says nothing about speed.");
        }
    }
    let missed = report.targets.iter().any(|t| t.answer == Answer::Missed) && !args.quick;
    let same = identical.empty && identical.add;
    Ok(if missed || !same { Verdict::Bad } else { Verdict::Good })
}

/// All contexts have been fed the same tokens: are their last logits equal?
fn identical(field: &mut Field) -> Identical {
    let mut same = |a, b| field.bits(a).is_some_and(|a| Some(a) == field.bits(b));
    Identical { empty: same(Case::Empty, Case::Plain), add: same(Case::Add, Case::Native) }
}

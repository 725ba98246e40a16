//! `bench`: what steering costs.

mod contender;
mod contrast;
mod crowd;
mod library;
mod model;
mod reload;
mod report;
mod rounds;
mod segments;
mod show;
mod statistics;

use indicatif::ProgressBar;

use self::{
    contender::{Case, Field},
    library::Library,
    report::{Identical, Report},
    rounds::{BLOCK, Phase, measure},
    statistics::Answer,
};
use crate::{
    args::{self, BenchPart},
    failure::{Failure, Outcome, Verdict},
    screen,
    session::{self, Session},
    stats::Stats,
};

pub fn main(args: &args::Bench, json: bool) -> Outcome {
    let with_segments = args.only.contains(&BenchPart::Segments);
    if !args.documents.is_empty() && !with_segments {
        return Err(Failure::usage("--documents: no prompts with documents are measured").todo("add --only segments"));
    }
    if args.embedded && args.only.contains(&BenchPart::Contrast) {
        return Err(Failure::usage("--only contrast: [contrast] is refused in programs that contain llama.cpp")
            .todo("leave --embedded out"));
    }
    if args.embedded && with_segments {
        return Err(Failure::usage("--only segments: [invariance] is refused in programs that contain llama.cpp")
            .todo("leave --embedded out"));
    }
    session::start_clean(&args.host)?;
    let file = model::file(args)?;
    let session = Session::open(&args.host, &file)?;
    if session.model.n_layer() < 2 {
        return Err(Failure::usage("a model of one layer cannot be measured")
            .todo("llama.cpp's control vectors begin at layer 1"));
    }
    let limit = if args.quick { 4 } else { u32::MAX };
    let pairs_of = |default: u32| args.pairs.unwrap_or(default).min(limit) as usize;
    let pairs = pairs_of(40);
    let library = Library::new(&session, args.embedded);
    let mut report = Report {
        model: session.model.description(),
        parameters: session.model.n_params(),
        library: session.llama.path().display().to_string(),
        threads: session.options(BLOCK).threads,
        pairs,
        phases: Vec::new(),
        identical: Vec::new(),
        reloads: None,
        segments: Vec::new(),
        targets: Vec::new(),
    };
    let parts = [BenchPart::Single, BenchPart::Batch, BenchPart::Reload, BenchPart::Segments, BenchPart::Contrast];
    let asked_for = [BenchPart::Segments, BenchPart::Contrast];
    let usual = |part: &BenchPart| args.only.is_empty() && !asked_for.contains(part);
    let parts = parts.into_iter().filter(|part| usual(part) || args.only.contains(part));
    for part in parts {
        match part {
            BenchPart::Single => single(&library, pairs, &mut report)?,
            BenchPart::Batch => batch(&library, pairs, &mut report)?,
            BenchPart::Reload => reloads(&library, pairs, &mut report)?,
            BenchPart::Contrast => contrasted(&library, pairs, &mut report)?,
            BenchPart::Segments => segments(&library, &args.documents, pairs_of(segments::PAIRS), &mut report)?,
        }
    }
    if json {
        screen::json(&report);
    } else {
        show::show(&report);
        if args.quick {
            println!("This was --quick: it shows that measuring works, and says nothing about speed.");
        }
    }
    let missed = report.targets.iter().any(|t| t.answer == Answer::Missed) && !args.quick;
    let same = report.identical.iter().all(|i| i.same);
    let wrong = report.reloads.as_ref().is_some_and(|r| !r.is_right());
    let counts = report.segments.iter().any(|s| !s.is_still());
    Ok(if missed || wrong || counts || !same { Verdict::Bad } else { Verdict::Good })
}

fn bar(blocks: usize) -> ProgressBar {
    screen::progress(blocks as u64, "")
}

/// One sequence: P1, P2, P3, P8.
fn single(library: &Library, pairs: usize, report: &mut Report) -> Result<(), Failure> {
    let mut field = Field::single(library, (pairs + 2) * BLOCK)?;
    let (n_vocab, bar) = (library.session.model.n_vocab(), bar(2 * (pairs + 1) * Case::SINGLE.len()));
    let plugin = library.plugin()?;
    let decode = measure(&mut field, plugin, Phase::Decode, pairs, n_vocab, &bar)?;
    // All contexts have been fed the same tokens.
    let mut same = |a, b| field.bits(a, -1).is_some_and(|a| Some(a) == field.bits(b, -1));
    let (empty, add) = (same(Case::Empty, Case::Plain), same(Case::Add, Case::Native));
    let prefill = measure(&mut field, plugin, Phase::Prefill, pairs, n_vocab, &bar)?;
    bar.finish_and_clear();
    let phases = vec![report::phase(&decode), report::phase(&prefill)];
    report.targets.extend(report::single(&decode, &phases, empty, add));
    report.phases.extend(phases);
    report.identical.push(Identical { what: "an empty profile and plain", same: empty });
    report.identical.push(Identical { what: "add and the native control vector", same: add });
    Ok(())
}

/// Many sequences: P4.
fn batch(library: &Library, pairs: usize, report: &mut Report) -> Result<(), Failure> {
    let mut field = crowd::field(library)?;
    let (n_vocab, bar) = (library.session.model.n_vocab(), bar(3 * (pairs + 1)));
    let measured = measure(&mut field, library.plugin()?, Phase::Batch, pairs, n_vocab, &bar)?;
    bar.finish_and_clear();
    let apart = crowd::apart(&mut field);
    let phases = vec![report::phase(&measured)];
    report.targets.extend(report::batch(&phases, apart));
    report.phases.extend(phases);
    let what = "a sequence among 4 plans and one among its own, and only these";
    report.identical.push(Identical { what, same: apart });
    Ok(())
}

/// A sequence with a context in its prompt: P7.
fn contrasted(library: &Library, pairs: usize, report: &mut Report) -> Result<(), Failure> {
    let mut field = contrast::field(library)?;
    let (n_vocab, bar) = (library.session.model.n_vocab(), bar(3 * (pairs + 1)));
    let plugin = library.plugin()?;
    let measured = rounds::measure_by(&mut field, plugin, Phase::Contrast, pairs, n_vocab, &bar, |contender| {
        contrast::prepare(contender, library)
    })?;
    bar.finish_and_clear();
    let same = contrast::is_right(&mut field, &Stats::of(plugin)?);
    report.targets.push(report::contrast(&measured, same));
    report.phases.push(report::phase(&measured));
    let what = "a contrast and a batch of its two sequences, as near as batches of other shapes come";
    report.identical.push(Identical { what, same });
    Ok(())
}

/// Changed profiles: P9.
fn reloads(library: &Library, pairs: usize, report: &mut Report) -> Result<(), Failure> {
    let bar = bar(pairs + 1);
    let reloads = reload::measure(library, pairs, &bar)?;
    bar.finish_and_clear();
    report.targets.push(report::reload(&reloads));
    report.reloads = Some(reloads);
    Ok(())
}

/// Prompts with documents: P5, P6, P10.
fn segments(library: &Library, documents: &[u32], pairs: usize, report: &mut Report) -> Result<(), Failure> {
    let documents = if documents.is_empty() { &segments::DOCUMENTS } else { documents };
    let bar = bar(documents.len() * segments::steps(pairs));
    for documents in documents {
        let measured = segments::measure(library, *documents as usize, pairs, &bar)?;
        report.targets.extend(segments::targets(&measured));
        report.segments.push(measured);
    }
    bar.finish_and_clear();
    Ok(())
}

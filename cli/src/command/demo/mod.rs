//! `demo`: a biased model, and what a profile does to it.

mod calibrated;
mod data;
mod measure;
mod order;
mod rated;

use std::time::Instant;

use owo_colors::OwoColorize;
use serde::Serialize;

use self::{
    calibrated::{Calibrated, Labels},
    data::Data,
    measure::{Questions, Share},
    order::{Documents, Ordered},
    rated::{Rated, Ratings},
};
use crate::{
    args,
    failure::{Outcome, Verdict},
    screen,
    session::{self, Session},
    stats::Stats,
};

/// The result of `demo`.
#[derive(Serialize)]
struct Report {
    title: String,
    model: String,
    answers: [String; 2],
    lines: Vec<Line>,
    before: Summary,
    after: Summary,
    order: Option<Ordered>,
    calibrated: Option<Calibrated>,
    rated: Option<Rated>,
    seconds: f64,
    problems: Vec<String>,
}

/// One subject.
#[derive(Serialize)]
struct Line {
    subject: String,
    planted: Option<f64>,
    before: Share,
    after: Share,
}

/// All subjects.
#[derive(Serialize)]
struct Summary {
    /// Mean share of the first answer.
    mean: f64,
    /// Mean distance of the share from one half.
    lean: f64,
}

pub fn main(args: &args::Demo, json: bool) -> Outcome {
    session::start_clean(&args.host)?;
    let begin = Instant::now();
    let demo = data::demo(args)?;
    let session = Session::open(&args.host, &demo.model)?;
    let questions = Questions::new(&session.model, &demo.data)?;
    let before = questions.ask(&mut session.context(questions.longest())?)?;
    // Everything plain is asked before the plug-in is there.
    let documents = Documents::of(&session, &demo)?;
    let in_order = documents.as_ref().map(|documents| documents.plain(&session)).transpose()?;
    let labels = Labels::of(&session, &demo)?;
    let plain = labels.as_ref().map(|labels| labels.plain(&session)).transpose()?;
    let ratings = Ratings::of(&session, &demo)?;
    let unstretched = ratings.as_ref().map(|ratings| ratings.plain(&session)).transpose()?;
    let plugin = session.plugin()?;
    plugin.load_profile(Some(&demo.profile))?;
    let mut steered = session.context(questions.longest())?;
    let after = questions.ask(&mut steered)?;
    let problems = Stats::of(&plugin)?.problems();
    drop(steered);
    let order =
        documents.zip(in_order).map(|(documents, plain)| documents.under(&session, &plugin, plain)).transpose()?;
    let calibrated = labels.zip(plain).map(|(labels, plain)| labels.under(&session, &plugin, plain)).transpose()?;
    let rated = ratings.zip(unstretched).map(|(ratings, plain)| ratings.under(&session, &plugin, plain)).transpose()?;
    let report = Report {
        title: demo.data.title.clone(),
        model: session.model.description(),
        answers: demo.data.answers.clone(),
        before: summary(&before),
        after: summary(&after),
        lines: lines(&demo.data, &before, &after),
        order,
        calibrated,
        rated,
        seconds: begin.elapsed().as_secs_f64(),
        problems,
    };
    if json {
        screen::json(&report);
    } else {
        show(&report, &demo);
    }
    Ok(if report.problems.is_empty() { Verdict::Good } else { Verdict::Bad })
}

fn lines(data: &Data, before: &[Share], after: &[Share]) -> Vec<Line> {
    let line = |((s, b), a): ((&data::Subject, &Share), &Share)| Line {
        subject: s.name.clone(),
        planted: s.planted,
        before: *b,
        after: *a,
    };
    data.subjects.iter().zip(before).zip(after).map(line).collect()
}

fn summary(shares: &[Share]) -> Summary {
    let n = shares.len().max(1) as f64;
    let mean = |of: fn(&Share) -> f64| shares.iter().map(of).sum::<f64>() / n;
    Summary { mean: mean(|s| s.share), lean: mean(|s| (s.share - 0.5).abs()) }
}

fn show(report: &Report, demo: &data::Demo) {
    let [first, second] = report.answers.each_ref().map(|a| a.trim());
    anstream::println!("{}\n", report.title.bold());
    println!("{}\n", demo.data.note.trim());
    println!("Prompt: {}", demo.data.prompt.replace("{}", "…"));
    println!("Share of \"{first}\" against \"{second}\" as the next word, without and with the profile:\n");
    let planted = report.lines.iter().any(|l| l.planted.is_some());
    let mut header = vec!["", "without", "", "with", ""];
    if planted {
        header.push("planted");
    }
    let mut table = screen::table(header);
    let width = screen::bar_width(&table, 20);
    for l in &report.lines {
        let mut row = vec![
            l.subject.clone(),
            format!("{:.2}", l.before.share),
            screen::bar(l.before.share, width).yellow().to_string(),
            format!("{:.2}", l.after.share),
            screen::bar(l.after.share, width).green().to_string(),
        ];
        if planted {
            row.push(l.planted.map(|p| format!("{p:.2}")).unwrap_or_default());
        }
        table.add_row(row);
    }
    screen::print(&table);
    let (b, a) = (&report.before, &report.after);
    println!("\nMean share of \"{first}\": {:.2} without, {:.2} with.", b.mean, a.mean);
    println!("Mean distance from one half: {:.2} without, {:.2} with.", b.lean, a.lean);
    let mass = report.lines.iter().map(|l| l.before.mass.min(l.after.mass)).fold(1.0, f64::min);
    // Rounded down, as it is said to be the least.
    let mass = (mass * 100.0).floor() / 100.0;
    println!("\nHow: one evaluation per prompt and side, both in stock llama.cpp and in one process; the share is");
    println!(
        "P({first}) / (P({first}) + P({second})) of the next token. The two words have at least {mass:.2} of the probability."
    );
    println!("{} prompts. The profile:\n", report.lines.len());
    for line in demo.data.profile.trim().lines() {
        anstream::println!("    {}", line.dimmed());
    }
    if let Some((order, data)) = report.order.as_ref().zip(demo.data.order.as_ref()) {
        order.show(data);
    }
    if let Some((calibrated, data)) = report.calibrated.as_ref().zip(demo.data.calibration.as_ref()) {
        calibrated.show(data);
    }
    if let Some((rated, data)) = report.rated.as_ref().zip(demo.data.ratings.as_ref()) {
        rated.show(data);
    }
    for problem in &report.problems {
        anstream::println!("{} {problem}", "problem:".red().bold());
    }
    println!("\n{:.1} s in all.", report.seconds);
    anstream::println!("\n{}", "Next".bold());
    // As it was typed: it may not be on the search path.
    let me = std::env::args_os().next().map_or("evenkeel".into(), |name| name.to_string_lossy().into_owned());
    if demo.stays() {
        let (model, profile) = (demo.model.display(), demo.profile.display());
        println!("  change the strength in {profile}, then");
        println!(
            "  {me} run --model {model} --profile {profile} --prompt \"{}\"",
            demo.data.prompt.replace("{}", &report.lines.first().map(|l| l.subject.clone()).unwrap_or_default())
        );
        println!("  {me} plan {profile} --model {model}");
    }
    println!("  {me} doctor PROGRAM        for the program that you use");
    demo.data.next.iter().for_each(|line| println!("  {line}"));
}

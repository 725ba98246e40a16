//! The figures on a terminal.

use owo_colors::OwoColorize;

use super::{
    report::{Report, interval},
    segments,
    statistics::Answer,
};
use crate::screen;

pub fn show(report: &Report) {
    let millions = report.parameters as f64 / 1e6;
    anstream::println!("{} {} ({millions:.1} million parameters)", "model  ".dimmed(), report.model);
    anstream::println!("{} {}, {} threads", "library".dimmed(), report.library, report.threads);
    let pairs = "pairs  ".dimmed();
    if !report.phases.is_empty() {
        let n = report.pairs;
        anstream::println!("{pairs} {n} pairs of blocks; speed as a fraction, median [95% bootstrap interval]");
    }
    if let Some(segments) = report.segments.first() {
        let (prompts, blocks) = (segments.prompts, segments.blocks);
        anstream::println!(
            "{pairs} {prompts} pairs of prompts with documents, {blocks} of blocks of answer; time as a multiple, median [95% \
             bootstrap interval]"
        );
    }
    for phase in &report.phases {
        anstream::println!("\n{}", phase.phase.bold());
        let mut table = screen::table(["case / of", "tokens/s", "wall time", "CPU time", "own µs"]);
        for row in &phase.rows {
            table.add_row([
                format!("{} / {}", row.case, row.base),
                format!("{:.2}", row.speed),
                interval(&row.wall),
                interval(&row.cpu),
                row.hook_us.map(|h| format!("{:.2}", h.median)).unwrap_or_default(),
            ]);
        }
        screen::print(&table);
    }
    report.segments.iter().for_each(segments::show);
    println!();
    for check in &report.identical {
        let same = if check.same { "the same bits".green().to_string() } else { "DIFFERENT".red().to_string() };
        anstream::println!("{} {}: {same}", "logits ".dimmed(), check.what);
    }
    if let Some(r) = &report.reloads {
        let count = |n: usize| {
            let text = format!("{n} of {}", r.reloads);
            if n == r.reloads { text.green().to_string() } else { text.red().to_string() }
        };
        anstream::println!(
            "{} {} answers were what they are without one, {} next requests had the new profile, {} calls failed; a step takes \
             {:.1} ms",
            "reloads".dimmed(),
            count(r.answers_kept),
            count(r.next_new),
            r.failed,
            r.step_ms
        );
        if let Some(why) = &r.why {
            anstream::println!("        {why}");
        }
    }
    println!();
    let mut table = screen::table(["target", "", "measured", "answer"]);
    for t in &report.targets {
        let answer = match t.answer {
            Answer::Met => "met".green().to_string(),
            Answer::Missed => "missed".red().to_string(),
            Answer::NotResolved => "not resolved on this machine".yellow().to_string(),
        };
        table.add_row([t.name.clone(), t.target.to_owned(), t.measured.clone(), answer]);
    }
    screen::print(&table);
    println!(
        "\nThe lines `… again` compare two equal contexts, made first and later: no interval is sharper than those."
    );
    println!("All contexts share one process and one set of weights; the first plain one is older than the plug-in.");
    if !report.segments.is_empty() {
        println!(
            "Counted: what operations (prefill) and bytes that are read (decode) say, if both kinds of attention ran equally fast."
        );
    }
}

//! The figures on a terminal.

use owo_colors::OwoColorize;

use super::{
    report::{Report, interval},
    statistics::Answer,
};
use crate::screen;

pub fn show(report: &Report) {
    let millions = report.parameters as f64 / 1e6;
    anstream::println!("{} {} ({millions:.1} million parameters)", "model  ".dimmed(), report.model);
    anstream::println!("{} {}, {} threads", "library".dimmed(), report.library, report.threads);
    anstream::println!(
        "{} {} pairs of blocks; speed as a fraction, median [95% bootstrap interval]",
        "pairs  ".dimmed(),
        report.pairs
    );
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
    println!();
    let same =
        |yes: bool| if yes { "identical bit for bit".green().to_string() } else { "DIFFERENT".red().to_string() };
    anstream::println!(
        "Logits: empty profile and plain {}; add and native control vector {}.\n",
        same(report.identical.empty),
        same(report.identical.add)
    );
    let mut table = screen::table(["target", "", "measured", "answer"]);
    for t in &report.targets {
        let answer = match t.answer {
            Answer::Met => "met".green().to_string(),
            Answer::Missed => "missed".red().to_string(),
            Answer::NotResolved => "not resolved on this machine".yellow().to_string(),
        };
        table.add_row([t.name.to_owned(), t.target.to_owned(), t.measured.clone(), answer]);
    }
    screen::print(&table);
    println!(
        "\nThe line `plain again` compares two contexts without a profile, made first and last: no interval is sharper than"
    );
    println!(
        "that one. All contexts share one process and one set of weights; plain was made before the plug-in was loaded."
    );
}

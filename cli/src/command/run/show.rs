//! The comparison on a terminal.

use comfy_table::Cell;
use owo_colors::OwoColorize;

use super::compare::{Report, Side};
use crate::screen;

pub fn show(report: &Report) {
    anstream::println!("{} {}", "model ".dimmed(), report.model);
    anstream::println!("{} {}\n", "prompt".dimmed(), report.prompt.trim_end());
    let mut table = screen::table(["without", "with"]);
    table.add_row([text(&report.without), text(&report.with)]);
    screen::print(&table);
    println!();
    match &report.first_difference {
        None => anstream::println!("{}", "The texts are the same.".bold()),
        Some(d) => {
            let name = |t: &Option<String>| t.as_deref().map_or("the end of the text".into(), screen::quoted);
            let (a, b) = (name(&d.without), name(&d.with));
            anstream::println!("They first differ at token {}: {} became {}.", d.at + 1, a.bold(), b.bold().green());
        }
    }
    candidates(report);
    rules(report);
    for problem in &report.problems {
        anstream::println!("{} {problem}", "problem:".red().bold());
    }
}

fn text(side: &Side) -> Cell {
    let end = if side.ended { " ∎" } else { " …" };
    let (same, rest) = side.text.split_at_checked(side.same).unwrap_or((&side.text, ""));
    // Colours do not survive line breaks inside a cell, so each word has its own.
    let rest: String = rest.split_inclusive(char::is_whitespace).map(|w| w.yellow().to_string()).collect();
    Cell::new(format!("{}{}{end}", same.trim_start_matches('\n'), rest))
}

fn candidates(report: &Report) {
    let at = report.first_difference.as_ref().map_or(1, |d| d.at + 1);
    println!("\nCandidates for token {at}, the same tokens before it:");
    let mut table = screen::table(["token", "without", "with", "", ""]);
    let width = screen::bar_width(&table, 16);
    for c in &report.candidates {
        table.add_row([
            screen::quoted(&c.text),
            format!("{:.4}", c.without),
            format!("{:.4}", c.with),
            screen::bar(c.without, width).dimmed().to_string(),
            screen::bar(c.with, width).green().to_string(),
        ]);
    }
    screen::print(&table);
    match report.divergence[..] {
        [] => {}
        [first] => println!("Divergence: {first:.4} nats at token 1."),
        [first, .., last] => {
            println!("Divergence: {first:.4} nats at token 1, {last:.4} at token {}.", report.divergence.len());
        }
    }
}

/// One line per rule.
fn rules(report: &Report) {
    let rules = report.stats.last().and_then(|c| c.rules.as_deref()).unwrap_or_default();
    if rules.is_empty() {
        println!("\nThe profile has no rule to count; what [invariance] does is not counted.");
        return;
    }
    println!("\nRules:");
    let mut table = screen::table(["rule", "strength", "layers", "evaluations", "rows"]);
    for r in rules {
        let layers = r.dropped.as_ref().map_or_else(|| ranges(r.layers.clone()), |why| format!("dropped: {why}"));
        table.add_row([r.name.clone(), r.strength.to_string(), layers, r.graphs.to_string(), r.rows.to_string()]);
    }
    screen::print(&table);
}

/// `1..4, 7` for 1, 2, 3, 4, 7.
pub fn ranges(mut numbers: Vec<u32>) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for n in numbers {
        match parts.last_mut() {
            Some((_, end)) if *end + 1 == n => *end = n,
            _ => parts.push((n, n)),
        }
    }
    let part = |(a, b): &(u32, u32)| if a == b { a.to_string() } else { format!("{a}..{b}") };
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn layers_are_told_as_ranges() {
        assert_eq!(super::ranges(vec![7, 1, 3, 2, 4, 4]), "1..4, 7");
        assert_eq!(super::ranges(vec![]), "");
    }
}

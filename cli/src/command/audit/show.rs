//! The result on a terminal.

use owo_colors::OwoColorize;

use super::report::{ArmFigure, Report, Verdict};
use crate::{screen, suite::Figure};

pub fn show(report: &Report) {
    anstream::println!("{} {}", "model ".dimmed(), report.model);
    println!(
        "Intervals are 95%, over groups of items that belong together. A bias within ±{} counts as none.",
        report.margin
    );
    for suite in &report.suites {
        anstream::println!(
            "\n{} ({} items, sha256 {})",
            suite.name.bold(),
            suite.items,
            &suite.sha256[..12.min(suite.sha256.len())]
        );
        if suite.items == 0 {
            anstream::println!("  {}", "no usable item".red());
        }
        suite.left_out.iter().for_each(|line| anstream::println!("{} {line}", "note:".yellow().bold()));
        for figure in &suite.figures {
            println!("  {} ({} items in {} groups)", figure.name, figure.items, figure.clusters);
            let bias = figure.kind == Figure::Bias;
            let last = if bias { "change of its size" } else { "change" };
            let with = if bias { "correlation with plain" } else { "" };
            let mut table = screen::table(["", "value [95%]", "", last, "p (Holm)", with]);
            for (arm, found) in report.arms.iter().zip(&figure.arms).filter(|(_, f)| f.value.value.is_finite()) {
                let correlation =
                    found.correlation.filter(|c| c.value.is_finite()).map(|c| c.to_string()).unwrap_or_default();
                let value = found.value.to_string();
                table.add_row([arm.name.clone(), value, verdict(found), change(found), p(found), correlation]);
            }
            screen::print(&table);
        }
    }
    for inside in &report.representation {
        anstream::println!("\n{} ({} texts): {}", inside.name.bold(), inside.texts, inside.figure);
        inside.left_out.iter().for_each(|line| anstream::println!("{} {line}", "note:".yellow().bold()));
        let mut table = screen::table(std::iter::once("".to_owned()).chain(inside.arms.iter().cloned()));
        for row in &inside.rows {
            let found = row.arms.iter().map(|f| {
                let p = f.p.map(|p| format!(", p {p:.3}")).unwrap_or_default();
                format!("{}{p}", f.value)
            });
            table.add_row(std::iter::once(row.name.clone()).chain(found));
        }
        screen::print(&table);
    }
    println!("\nElsewhere:");
    let mut table =
        screen::table(["", "divergence, nats per token", "perplexity", "safe questions refused", "tokens per second"]);
    for cost in &report.costs {
        table.add_row([
            cost.arm.clone(),
            cost.kl.to_string(),
            format!("{:.2}", cost.perplexity),
            cost.refused.as_ref().map(|r| r.rate.to_string()).unwrap_or_default(),
            format!("{:.0}", cost.tokens_per_second),
        ]);
    }
    screen::print(&table);
    report.notes.iter().for_each(|n| anstream::println!("{} {n}", "note:".yellow().bold()));
}

fn verdict(found: &ArmFigure) -> String {
    found.verdict.map(Verdict::word).unwrap_or_default().to_owned()
}

fn change(found: &ArmFigure) -> String {
    found.change.as_ref().map(|c| c.difference.to_string()).unwrap_or_default()
}

fn p(found: &ArmFigure) -> String {
    found.change.as_ref().and_then(|c| c.p_holm).map(|p| format!("{p:.3}")).unwrap_or_default()
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Absent => "absent",
            Verdict::Present => "present",
            Verdict::Undecided => "undecided",
        }
    }
}

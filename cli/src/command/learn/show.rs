//! The result on a terminal.

use owo_colors::OwoColorize;

use super::report::{Report, Verdict};
use crate::screen;

pub fn show(report: &Report, removes: bool) {
    let [positive, negative] = &report.classes;
    anstream::println!("{} {}", "model ".dimmed(), report.model);
    anstream::println!(
        "{} {} of `{}`, {} of `{}`; {} to learn from, {} to choose on, {} to report on",
        "texts ".dimmed(),
        positive.texts,
        positive.name,
        negative.texts,
        negative.name,
        report.parts[0],
        report.parts[1],
        report.parts[2]
    );
    report.left_out.lines().iter().for_each(|line| anstream::println!("{} {line}", "note:".yellow().bold()));

    println!("\nWhat a linear probe reads, on held-out folds (95% intervals over groups):");
    let mut table =
        screen::table(["layer", "probe AUROC", "", "accuracy", "at 20% positive", "AUPRC", "direction AUROC"]);
    let width = screen::bar_width(&table, 12);
    for l in &report.layers {
        let at = |share: f64| l.balance.iter().find(|b| b.share == share);
        let own = l.balance.first();
        table.add_row([
            l.layer.to_string(),
            l.auroc.to_string(),
            screen::bar((l.auroc.value - 0.5) * 2.0, width),
            own.map(|b| format!("{:.3}", b.accuracy.value)).unwrap_or_default(),
            at(0.2).map(|b| format!("{:.3}", b.accuracy.value)).unwrap_or_default(),
            own.map(|b| format!("{:.3}", b.auprc.value)).unwrap_or_default(),
            l.direction_auroc.to_string(),
        ]);
    }
    screen::print(&table);

    if !report.features.is_empty() {
        let tried: Vec<String> = report.features.iter().map(|f| format!("{} ({:.3})", f.index, f.auroc)).collect();
        println!("\nFeatures that tell the classes apart best (AUROC): {}", tried.join(", "));
    }
    let (c, e) = (&report.chosen, &report.effect);
    let [a, b] = c.layers;
    let layers = if a == b { format!("layer {a}") } else { format!("layers {a}..{b}") };
    println!("\nMeasured: {}", report.outcome);
    println!(
        "Chosen of {} candidates, on texts not reported: {} {} at {layers}",
        c.candidates, report.operator, c.dose
    );
    println!("\nOn {} texts that had no part in this, in {} groups:", report.parts[2], e.clusters);
    let mut table = screen::table(["", "value [95%]"]);
    table.add_row(["gap between the classes, plain", &e.gap_before.to_string()]);
    table.add_row(["gap with the profile", &e.gap_after.to_string()]);
    table.add_row(["change of the gap, paired", &e.gap_change.to_string()]);
    table.add_row(["shift of all texts", &e.shift.to_string()]);
    let what = if removes { "share of the gap that was closed" } else { "shift, in gaps" };
    table.add_row([what, &e.effect.to_string()]);
    table.add_row(["divergence elsewhere, nats per token", &e.kl.to_string()]);
    let perplexity = format!("{:.2}, with the profile {:.2}", e.perplexity_before, e.perplexity_after);
    table.add_row(["perplexity elsewhere, plain", &perplexity]);
    screen::print(&table);
    if removes {
        let said = match e.verdict {
            Verdict::Absent => "absent: the interval lies inside the margin",
            Verdict::Present => "present: the interval lies outside the margin",
            Verdict::Undecided => "undecided: too few texts, or it is about the margin",
        };
        println!("The gap that is left is {said} (±{:.3}, fixed before).", e.margin);
    }
    if !report.layers_after.is_empty() {
        let read: Vec<String> = report.layers_after.iter().map(|l| format!("layer {} {}", l.layer, l.auroc)).collect();
        println!("What a new probe reads under the rule (AUROC, 0.5 is nothing): {}", read.join(", "));
    }
    let k = &report.controls;
    if k.beaten() {
        anstream::println!(
            "{} its effect is larger than that of each of {} random directions of the same length, chosen in the same way.",
            "control:".green().bold(),
            k.of - 1
        );
    } else if k.of > 1 {
        anstream::println!(
            "{} {} of {} random directions of the same length, chosen in the same way, do as much or more: nothing here beats the control.",
            "control:".red().bold(),
            k.rank - 1,
            k.of - 1
        );
    }
    report.notes.iter().for_each(|n| anstream::println!("{} {n}", "note:".yellow().bold()));
    let c = &report.cost;
    let memory = c.peak_memory_mib.map(|m| format!(", {m:.0} MiB of memory at most")).unwrap_or_default();
    println!("\n{:.1} s, {:.1} s of processors{memory}. Written:", c.seconds, c.cpu_seconds);
    report.files.iter().for_each(|f| println!("  {f}"));
}

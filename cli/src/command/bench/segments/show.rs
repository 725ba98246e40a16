//! The figures on a terminal.

use owo_colors::OwoColorize;

use super::{super::report::interval, SegmentsReport};
use crate::screen;

pub fn show(report: &SegmentsReport) {
    let [each, before, after] = report.tokens;
    let documents = format!("{} documents", report.documents);
    anstream::println!("\n{} of {each} tokens, {before} tokens before and {after} after them", documents.bold());
    let mut table =
        screen::table(["phase", "time of / of", "tokens/s", "wall time ×", "CPU time ×", "counted ×", "own µs"]);
    for row in &report.rows {
        table.add_row([
            row.phase.to_owned(),
            format!("{} / {}", row.case, row.base),
            format!("{:.2}", row.speed),
            interval(&row.wall),
            interval(&row.cpu),
            row.counted.map(|c| format!("{c:.3}")).unwrap_or_default(),
            row.hook_us.map(|h| format!("{h:.1}")).unwrap_or_default(),
        ]);
    }
    screen::print(&table);
    let megabytes = |bytes: Option<f64>| bytes.map(|b| format!("{:.1}", b / 1e6)).unwrap_or_default();
    let mut table =
        screen::table(["memory, MB", "of its own", "at the most", "kept of documents", "beyond plain and kept"]);
    for row in &report.memory {
        table.add_row([
            row.case.to_owned(),
            megabytes(Some(row.bytes)),
            megabytes(row.peak),
            megabytes(row.kept),
            megabytes(row.beyond),
        ]);
    }
    screen::print(&table);
    if let Some(grown) = report.grown {
        anstream::println!("{} {:+.1} MB in all prompts after the first", "growth ".dimmed(), grown / 1e6);
    }
    let moved: Vec<String> = report.order.iter().map(|row| format!("{} {:.1e}", row.case, row.nmse)).collect();
    let verdict = if report.is_still() {
        "only plain logits depend on it".green().to_string()
    } else {
        "IT COUNTS".red().to_string()
    };
    anstream::println!("{} NMSE of logits in the opposite order: {}: {verdict}", "order  ".dimmed(), moved.join(", "));
}

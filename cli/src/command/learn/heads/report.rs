//! What `learn heads` found, as JSON and as text.

use std::path::Path;

use owo_colors::OwoColorize;
use serde::Serialize;

use crate::{command::calibrate::Figure, estimate::Interval, screen};

/// The result.
#[derive(Debug, Serialize)]
pub struct Report {
    pub name: String,
    /// The profile that was written, if anything was chosen.
    pub profile: Option<String>,
    pub model: String,
    pub model_sha256: String,
    pub data_sha256: String,
    pub evenkeel: String,
    pub llama: String,
    pub labels: Vec<String>,
    /// The answer that heads may push to.
    pub pushes: String,
    /// Questions per part: scored on, chosen on, reported.
    pub parts: [usize; 3],
    /// Every head, the one that pushes most first.
    pub scored: Vec<Scored>,
    pub chosen: Option<Vec<String>>,
    pub scale: Option<f64>,
    /// Sets that were tried.
    pub candidates: usize,
    /// The share of the push that is gone, on what is reported.
    pub effect: f64,
    pub figures: Vec<Figure>,
    pub control: Control,
    pub notes: Vec<String>,
}

/// A head, and by how much the log-odds of the answer fall where it is switched off.
#[derive(Debug, Serialize)]
pub struct Scored {
    pub head: String,
    pub effect: f64,
}

/// Random orders of heads, chosen from in the same way.
#[derive(Debug, Serialize)]
pub struct Control {
    pub rank: usize,
    pub of: usize,
    pub effects: Vec<f64>,
}

impl Report {
    /// Whether what was chosen does more than every control, and certainly something.
    pub fn beats(&self) -> bool {
        self.chosen.is_some() && self.control.of > 1 && self.control.rank == 1 && self.figures[0].change.apart()
    }

    /// What to think of before it is believed.
    pub fn think(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let (push, accuracy) = (&self.figures[0], &self.figures[1]);
        if !push.before.apart() {
            notes.push(format!(
                "As far as these questions tell, the plain model leans to neither answer: {}.",
                push.before
            ));
        }
        if self.chosen.is_none() {
            notes.push("No set of heads that was tried takes any of it away without costing accuracy.".into());
        }
        if self.control.of == 1 {
            notes.push("No random heads were tried (--controls 0): nothing is known of what chance would give.".into());
        }
        if accuracy.change.high < 0.0 {
            notes.push(format!("It costs accuracy: {}.", accuracy.change));
        }
        notes
    }
}

/// For people.
pub fn show(report: &Report, json: &Path) {
    let [scored, chosen, reported] = report.parts;
    println!("{} questions to score heads on, {} to choose on, {} to report on\n", scored, chosen, reported);
    println!("By how much the log-odds of {:?} fall where a head is switched off:", report.pushes);
    let mut table = screen::table(["head", "log-odds"]);
    for s in report.scored.iter().take(10) {
        table.add_row([s.head.clone(), format!("{:+.3}", s.effect)]);
    }
    screen::print(&table);
    if let (Some(heads), Some(scale)) = (&report.chosen, report.scale) {
        println!(
            "\nChosen of {} sets, on questions not reported: {} times {scale}",
            report.candidates,
            heads.join(", ")
        );
    }
    let mut table = screen::table(["on the reported questions", "before", "after", "change"]);
    let signed = |i: &Interval| format!("{:+.3} [{:+.3}, {:+.3}]", i.value, i.low, i.high);
    for f in &report.figures {
        table.add_row([f.name.clone(), f.before.to_string(), f.after.to_string(), signed(&f.change)]);
    }
    screen::print(&table);
    println!(
        "Intervals are 95%, from a bootstrap over groups. The share of the push that is gone: {:.3}",
        report.effect
    );
    let others = report.control.of - 1;
    if report.beats() {
        anstream::println!(
            "{} that is more than with each of {others} random orders of heads, chosen from in the same way.",
            "control:".green().bold()
        );
    } else if others > 0 {
        anstream::println!(
            "{} {} of {others} random orders of heads, chosen from in the same way, do as much or more: nothing here beats \
             the control.",
            "control:".red().bold(),
            report.control.rank - 1
        );
    }
    report.notes.iter().for_each(|note| anstream::println!("{} {note}", "note:".yellow()));
    println!();
    report.profile.iter().for_each(|path| println!("{path}"));
    println!("{}", json.display());
}

//! What `calibrate` found, as JSON and as text.

use std::{collections::BTreeMap, path::Path};

use owo_colors::OwoColorize;
use serde::{Deserialize, Serialize};

use super::{
    examples::Asked,
    score::{self, BINS, Bin, Figure},
};
use crate::{
    command::report::plot::{Axis, Plot, Point, Series},
    estimate::Interval,
    screen,
};

/// The result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The profile that was written.
    pub profile: String,
    /// Its name.
    pub name: String,
    /// How.
    pub method: String,
    /// log or zhao.
    pub form: String,
    pub model: String,
    pub model_sha256: String,
    pub data_sha256: String,
    pub evenkeel: String,
    pub llama: String,
    /// The answers.
    pub labels: Vec<String>,
    /// The tokens of each.
    pub tokens: Vec<Vec<String>>,
    /// What was fitted.
    pub fitted: BTreeMap<String, Vec<f64>>,
    /// Examples that it was fitted on.
    pub fitted_on: usize,
    /// Others, which are reported on.
    pub reported_on: usize,
    pub min_label_mass: f64,
    /// Of those reported on: how many are left alone, because the labels have too little together.
    pub left_alone: usize,
    /// How often each label is right.
    pub right: Vec<f64>,
    pub figures: Vec<Figure>,
    pub reliability: Reliability,
    /// What to think of.
    pub notes: Vec<String>,
}

/// How often the most probable label is right, by how probable it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reliability {
    pub before: [Bin; BINS],
    pub after: [Bin; BINS],
}

impl Reliability {
    pub fn new(before: &[Asked], after: &[Asked]) -> Reliability {
        let bins = |asked: &[Asked]| score::bins(asked, &vec![1.0; asked.len()]);
        Reliability { before: bins(before), after: bins(after) }
    }

    /// How often the most probable label is right, over how probable it is.
    pub fn plot(&self) -> Plot {
        let point = |b: &Bin| Point { at: [b.confidence, b.accuracy], y: None, label: format!("{:.0}", b.n) };
        let series = |name: &str, bins: &[Bin; BINS], strong: bool| Series {
            name: name.into(),
            points: bins.iter().filter(|b| b.n > 0.0).map(point).collect(),
            strong,
            joined: true,
        };
        let axis = |name: &str| Axis { name: name.into(), ends: Some([0.0, 1.0]) };
        Plot {
            title: "Reliability".into(),
            note: "On the dotted line the model is as often right as it is sure. Numbers are of examples.".into(),
            x: axis("share of the most probable label"),
            y: axis("how often it is right"),
            series: vec![series("before", &self.before, false), series("after", &self.after, true)],
            diagonal: true,
        }
    }
}

impl Report {
    /// One line.
    pub fn title(&self) -> String {
        format!("{} of {} on {}", self.method, self.labels.join(", "), self.model)
    }
}

/// For people.
pub fn show(report: &Report, written: &[&Path]) {
    anstream::println!(
        "{}, fitted on {} examples, reported on {} others\n",
        report.method.bold(),
        report.fitted_on,
        report.reported_on
    );
    let mut table = screen::table(["", "before", "after", "change"]);
    let signed = |i: &Interval| format!("{:+.3} [{:+.3}, {:+.3}]", i.value, i.low, i.high);
    for f in &report.figures {
        table.add_row([f.name.clone(), f.before.to_string(), f.after.to_string(), signed(&f.change)]);
    }
    screen::print(&table);
    anstream::println!("\nIntervals are 95%, from a bootstrap over groups; of changes on the same draws.");
    let shares: Vec<String> = report.labels.iter().zip(&report.right).map(|(l, t)| format!("{l:?} {t:.3}")).collect();
    anstream::println!("How often each label is right: {}.", shares.join(", "));
    let tokens: Vec<String> =
        report.labels.iter().zip(&report.tokens).map(|(l, t)| format!("{l:?} is {t:?}")).collect();
    anstream::println!("Tokens: {}.", tokens.join("; "));
    if report.left_alone > 0 {
        anstream::println!(
            "{} of {} are left alone: the labels have no more than {} there together (--min-label-mass).",
            report.left_alone,
            report.reported_on,
            report.min_label_mass
        );
    }
    for note in &report.notes {
        anstream::println!("{} {note}", "note:".yellow());
    }
    println!();
    written.iter().for_each(|path| println!("{}", path.display()));
}

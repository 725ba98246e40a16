//! The demo's last part: ratings that shrink to the middle, and a line that stretches them.

use std::{collections::BTreeMap, path::PathBuf};

use evenkeel_ffi::host::Plugin;
use owo_colors::OwoColorize;
use serde::Serialize;

use super::{
    calibrated::label_tokens,
    data::{Calibration, Demo},
};
use crate::{
    ask::{Question, ask_under},
    command::calibrate::{Asked, Example, Said, halves, mean_score, plain, questions, read},
    failure::Failure,
    screen,
    session::Session,
};

/// What was found.
#[derive(Serialize)]
pub struct Rated {
    /// By the true rating.
    ratings: Vec<Rating>,
    #[serde(skip)]
    questions: usize,
    #[serde(skip)]
    range: [f64; 2],
    #[serde(skip)]
    profile: String,
}

/// All questions of one true rating.
#[derive(Serialize)]
struct Rating {
    truth: f64,
    questions: usize,
    /// The mean of the ratings, each as probable as the model has it.
    before: f64,
    after: f64,
}

/// The questions as the model reads them.
pub struct Ratings<'a> {
    data: &'a Calibration,
    profile: PathBuf,
    examples: Vec<Example>,
    /// Of each example.
    truth: Vec<f64>,
    scores: Vec<f64>,
    questions: Vec<Question>,
    tokens: Vec<Vec<u32>>,
}

impl<'a> Ratings<'a> {
    /// Those of the demo, if it has some.
    pub fn of(session: &Session, demo: &'a Demo) -> Result<Option<Ratings<'a>>, Failure> {
        let (Some(data), Some([profile, file])) = (&demo.data.ratings, &demo.ratings) else { return Ok(None) };
        let number = |label: &String| {
            label.trim().parse().map_err(|_| Failure::usage(format!("ratings.labels: not a number, got {label:?}")))
        };
        let scores: Vec<f64> = data.labels.iter().map(number).collect::<Result<_, Failure>>()?;
        // `evenkeel calibrate` fits on the other half.
        let (_, answered) = halves(read(file, &data.labels)?.0);
        // A rating between two is two lines with one prompt.
        let mut lines: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for example in &answered {
            let score =
                example.answer.as_ref().and_then(|a| data.labels.iter().position(|l| l == a)).map(|l| scores[l]);
            lines.entry(&example.prompt).or_default().extend(score);
        }
        let mut examples = answered.clone();
        examples.dedup_by(|a, b| a.prompt == b.prompt);
        let truth = |e: &Example| {
            let found = &lines[&*e.prompt];
            found.iter().sum::<f64>() / found.len() as f64
        };
        let truth: Vec<f64> = examples.iter().map(truth).collect();
        if examples.is_empty() || truth.iter().any(|t| t.is_nan()) {
            return Err(Failure::usage(format!("{}: each rating needs an answer", file.display())));
        }
        let questions = questions(session, &examples, (false, usize::MAX))?;
        let tokens = label_tokens(session, &data.labels)?;
        Ok(Some(Ratings { data, profile: profile.clone(), examples, truth, scores, questions, tokens }))
    }

    /// What the model says without a profile.
    pub fn plain(&self, session: &Session) -> Result<Vec<Asked>, Failure> {
        plain(session, &self.questions, self.said())
    }

    /// What it says under the profile, beside that.
    pub fn under(&self, session: &Session, plugin: &Plugin, before: Vec<Asked>) -> Result<Rated, Failure> {
        let mut said = self.said();
        ask_under(session, plugin, &self.profile, &self.questions, |question, _, logits| said.see(question, logits))?;
        let after = said.all()?;
        let mut all = self.truth.clone();
        all.sort_by(f64::total_cmp);
        all.dedup();
        let rating = |truth: f64| {
            let here = || (0..self.truth.len()).filter(move |i| self.truth[*i] == truth);
            let n = here().count();
            let mean =
                |asked: &[Asked]| here().map(|i| mean_score(&asked[i].shares, &self.scores)).sum::<f64>() / n as f64;
            Rating { truth, questions: n, before: mean(&before), after: mean(&after) }
        };
        let end = |of: fn(f64, f64) -> f64| self.scores.iter().copied().reduce(of).unwrap_or(0.0);
        Ok(Rated {
            ratings: all.into_iter().map(rating).collect(),
            questions: self.questions.len(),
            range: [end(f64::min), end(f64::max)],
            profile: self.data.profile.clone(),
        })
    }

    fn said(&self) -> Said<'_> {
        Said::new(&self.examples, &self.data.labels, &self.tokens)
    }
}

impl Rated {
    /// For people.
    pub fn show(&self, data: &Calibration) {
        anstream::println!("\n{}\n", format!("Ratings: {}", data.labels.join(", ")).bold());
        println!("{}\n", data.note.trim());
        println!("Mean rating, by the true one:\n");
        let mut table = screen::table(["", "without", "", "with", ""]);
        let width = screen::bar_width(&table, 20);
        let [low, high] = self.range;
        let bar = |rating: f64| screen::bar((rating - low) / (high - low), width);
        for r in &self.ratings {
            table.add_row([
                format!("{:.1}", r.truth),
                format!("{:.2}", r.before),
                bar(r.before).yellow().to_string(),
                format!("{:.2}", r.after),
                bar(r.after).green().to_string(),
            ]);
        }
        screen::print(&table);
        println!("\n{} questions, and bars from {low} to {high}. The profile:\n", self.questions);
        for line in self.profile.trim().lines() {
            anstream::println!("    {}", line.dimmed());
        }
    }
}

//! The demo's third part: a habit of one answer, and what a calibration makes of it.

use evenkeel_core::vocabulary::Vocabulary;
use evenkeel_ffi::host::Plugin;
use owo_colors::OwoColorize;
use serde::Serialize;

use super::data::{Calibration, Demo};
use crate::{
    ask::{Question, ask_under},
    command::calibrate::{Asked, Example, Said, plain, questions, read, tokens, top},
    failure::Failure,
    screen,
    session::Session,
};

/// What was found.
#[derive(Serialize)]
pub struct Calibrated {
    labels: Vec<String>,
    questions: usize,
    /// How often the first label is right.
    truth: f64,
    before: Answers,
    after: Answers,
    #[serde(skip)]
    profile: String,
}

/// What a model answered.
#[derive(Serialize)]
struct Answers {
    /// How often the first label is the most probable one.
    says: f64,
    /// Its mean share.
    share: f64,
    /// How often the most probable label is right.
    accuracy: f64,
}

/// The questions as the model reads them.
pub struct Labels<'a> {
    data: &'a Calibration,
    profile: std::path::PathBuf,
    examples: Vec<Example>,
    questions: Vec<Question>,
    tokens: Vec<Vec<u32>>,
}

/// The tokens of each label.
pub fn label_tokens(session: &Session, labels: &[String]) -> Result<Vec<Vec<u32>>, Failure> {
    let model = &session.model;
    tokens(labels, &Vocabulary::new((0..model.n_vocab() as i32).map(|t| model.piece(t))))
}

impl<'a> Labels<'a> {
    /// Those of the demo, if it has some.
    pub fn of(session: &Session, demo: &'a Demo) -> Result<Option<Labels<'a>>, Failure> {
        let (Some(data), Some([profile, file])) = (&demo.data.calibration, &demo.calibration) else { return Ok(None) };
        let (examples, _) = read(file, &data.labels)?;
        let questions = questions(session, &examples, (false, usize::MAX))?;
        let tokens = label_tokens(session, &data.labels)?;
        Ok(Some(Labels { data, profile: profile.clone(), examples, questions, tokens }))
    }

    /// What the model says without a profile.
    pub fn plain(&self, session: &Session) -> Result<Vec<Asked>, Failure> {
        plain(session, &self.questions, self.said())
    }

    /// What it says under the profile, beside that.
    pub fn under(&self, session: &Session, plugin: &Plugin, before: Vec<Asked>) -> Result<Calibrated, Failure> {
        let mut said = self.said();
        ask_under(session, plugin, &self.profile, &self.questions, |question, _, logits| said.see(question, logits))?;
        let after = said.all()?;
        let share = |is: &dyn Fn(&Asked) -> bool, list: &[Asked]| {
            list.iter().filter(|a| is(a)).count() as f64 / list.len() as f64
        };
        let answers = |list: &[Asked]| Answers {
            says: share(&|a| top(&a.shares) == 0, list),
            share: list.iter().map(|a| a.shares[0]).sum::<f64>() / list.len() as f64,
            accuracy: share(&|a| Some(top(&a.shares)) == a.answer, list),
        };
        Ok(Calibrated {
            labels: self.data.labels.clone(),
            questions: self.questions.len(),
            truth: share(&|a| a.answer == Some(0), &before),
            before: answers(&before),
            after: answers(&after),
            profile: self.data.profile.clone(),
        })
    }

    fn said(&self) -> Said<'_> {
        Said::new(&self.examples, &self.data.labels, &self.tokens)
    }
}

impl Calibrated {
    /// For people.
    pub fn show(&self, data: &Calibration) {
        let all: Vec<String> = self.labels.iter().map(|l| format!("\"{l}\"")).collect();
        anstream::println!("\n{}\n", format!("Labels: {}", all.join(", ")).bold());
        println!("{}\n", data.note.trim());
        let first = &all[0];
        let mut table = screen::table(["", "without", "", "with", "", "right"]);
        let width = screen::bar_width(&table, 20);
        let rows = [
            (format!("says {first}"), self.before.says, self.after.says, Some(self.truth)),
            (format!("mean share of {first}"), self.before.share, self.after.share, Some(self.truth)),
            ("is right".to_owned(), self.before.accuracy, self.after.accuracy, None),
        ];
        for (what, before, after, right) in rows {
            table.add_row([
                what,
                format!("{before:.2}"),
                screen::bar(before, width).yellow().to_string(),
                format!("{after:.2}"),
                screen::bar(after, width).green().to_string(),
                right.map(|r| format!("{r:.2}")).unwrap_or_default(),
            ]);
        }
        screen::print(&table);
        println!("\n{} questions; what the labels have together stays. The profile:\n", self.questions);
        for line in self.profile.trim().lines() {
            anstream::println!("    {}", line.dimmed());
        }
    }
}

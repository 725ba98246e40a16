//! The demo's second part: a model that prefers the first document, and attention to which their order is nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use evenkeel_ffi::host::{Plugin, Token};
use owo_colors::OwoColorize;
use serde::{Deserialize, Serialize};

use super::{
    data::{Demo, Order},
    measure::answer,
};
use crate::{
    ask::{Question, ask_by, ask_under_by},
    failure::Failure,
    logits::log_softmax,
    screen,
    session::Session,
};

/// Questions in a batch: the other documents of one would only be more that each row has to leave alone.
const TOGETHER: usize = 1;

/// What was found.
#[derive(Serialize)]
pub struct Ordered {
    places: Vec<Place>,
    /// Questions, each asked at every place.
    questions: usize,
    /// How many of them are not answered alike at all places.
    changing: [usize; 2],
    #[serde(skip)]
    profile: String,
}

/// All questions with the right document at one place.
#[derive(Serialize)]
struct Place {
    /// From 1.
    place: usize,
    before: Answers,
    after: Answers,
}

/// What a model answered.
#[derive(Serialize)]
struct Answers {
    /// How often the right answer is the most probable of all tokens.
    right: f64,
    /// Its mean probability.
    probability: f64,
}

/// A line of the questions' file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    prompt: String,
    answer: String,
    place: usize,
    group: String,
}

/// What is said to one question.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said {
    best: Token,
    /// Of the right answer.
    probability: f64,
}

/// The questions as the model reads them.
pub struct Documents<'a> {
    data: &'a Order,
    profile: PathBuf,
    lines: Vec<Line>,
    questions: Vec<Question>,
    answers: Vec<Token>,
}

impl<'a> Documents<'a> {
    /// Those of the demo, if it has some.
    pub fn of(session: &Session, demo: &'a Demo) -> Result<Option<Documents<'a>>, Failure> {
        let (Some(data), Some([profile, file])) = (&demo.data.order, &demo.order) else { return Ok(None) };
        let lines = read(file)?;
        let mut questions = Vec::with_capacity(lines.len());
        let mut answers = Vec::with_capacity(lines.len());
        for line in &lines {
            let tokens = session.model.tokenize(&line.prompt, true)?;
            answers.push(answer(&session.model, &line.prompt, &tokens, &line.answer)?);
            questions.push(Question::next(tokens));
        }
        Ok(Some(Documents { data, profile: profile.clone(), lines, questions, answers }))
    }

    /// What the model says without a profile.
    pub fn plain(&self, session: &Session) -> Result<Vec<Said>, Failure> {
        let mut said = vec![Said::default(); self.lines.len()];
        ask_by(session, TOGETHER, &self.questions, |question, _, logits| said[question] = self.said(question, logits))?;
        Ok(said)
    }

    /// What it says under the profile, beside that.
    pub fn under(&self, session: &Session, plugin: &Plugin, before: Vec<Said>) -> Result<Ordered, Failure> {
        let mut after = vec![Said::default(); self.lines.len()];
        let see = |question: usize, _, logits: &[f32]| after[question] = self.said(question, logits);
        ask_under_by(session, plugin, &self.profile, TOGETHER, &self.questions, see)?;
        let places: BTreeSet<usize> = self.lines.iter().map(|line| line.place).collect();
        let place = |place| Place { place, before: self.answers(place, &before), after: self.answers(place, &after) };
        let groups: BTreeSet<&str> = self.lines.iter().map(|line| &*line.group).collect();
        Ok(Ordered {
            places: places.into_iter().map(place).collect(),
            questions: groups.len(),
            changing: [self.changing(&before), self.changing(&after)],
            profile: self.data.profile.clone(),
        })
    }

    fn said(&self, question: usize, logits: &[f32]) -> Said {
        let p = log_softmax(logits);
        let best = (0..p.len()).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap_or(0);
        Said { best: best as Token, probability: p[self.answers[question] as usize].exp() }
    }

    fn answers(&self, place: usize, said: &[Said]) -> Answers {
        let here = || (0..said.len()).filter(|i| self.lines[*i].place == place);
        let n = here().count().max(1) as f64;
        Answers {
            right: here().filter(|i| said[*i].best == self.answers[*i]).count() as f64 / n,
            probability: here().map(|i| said[i].probability).sum::<f64>() / n,
        }
    }

    /// Questions whose answer depends on the place.
    fn changing(&self, said: &[Said]) -> usize {
        let mut given: BTreeMap<&str, BTreeSet<Token>> = BTreeMap::new();
        self.lines.iter().zip(said).for_each(|(line, said)| {
            given.entry(&line.group).or_default().insert(said.best);
        });
        given.values().filter(|answers| answers.len() > 1).count()
    }
}

fn read(path: &Path) -> Result<Vec<Line>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| Failure::usage(format!("{}:{number}: {e}", path.display())))
    };
    let lines: Vec<Line> = (1..).zip(text.lines()).map(line).collect::<Result<_, Failure>>()?;
    if lines.is_empty() {
        return Err(Failure::usage(format!("{}: no question in it", path.display())));
    }
    Ok(lines)
}

impl Ordered {
    /// For people.
    pub fn show(&self, data: &Order) {
        anstream::println!("\n{}\n", "The order of documents".bold());
        println!("{}\n", data.note.trim());
        println!("Share of right answers, by the place of the document with the answer:\n");
        let mut table = screen::table(["", "without", "", "with", ""]);
        let width = screen::bar_width(&table, 20);
        for Place { place, before, after } in &self.places {
            table.add_row([
                format!("document {place}"),
                format!("{:.2}", before.right),
                screen::bar(before.right, width).yellow().to_string(),
                format!("{:.2}", after.right),
                screen::bar(after.right, width).green().to_string(),
            ]);
        }
        screen::print(&table);
        let [before, after] = self.changing;
        println!(
            "\n{} questions, each with the document at every place; the other documents keep their order. The answer changes",
            self.questions
        );
        println!("with the place in {before} of them without, in {after} with. The profile:\n");
        for line in self.profile.trim().lines() {
            anstream::println!("    {}", line.dimmed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.jsonl");
        let line = "{\"prompt\": \"a\", \"answer\": \" b\", \"group\": \"0\", \"place\": 1}\n";
        std::fs::write(&path, format!("{line}{}", line.replace("place", "palce"))).unwrap();
        let error = read(&path).err().unwrap().to_string();
        assert!(error.contains("order.jsonl:2: ") && error.contains("palce"), "{error}");
        std::fs::write(&path, "").unwrap();
        assert!(read(&path).err().unwrap().to_string().contains("no question"));
    }

    #[test]
    fn an_answer_changes_where_one_place_has_another() {
        let line =
            |group: &str, place| Line { prompt: String::new(), answer: String::new(), place, group: group.into() };
        let data = Order { note: String::new(), questions: PathBuf::new(), profile: String::new() };
        let documents = Documents {
            data: &data,
            profile: PathBuf::new(),
            lines: vec![line("a", 1), line("b", 1), line("a", 2), line("b", 2)],
            questions: Vec::new(),
            answers: vec![7, 8, 7, 8],
        };
        let said = [7, 9, 7, 8].map(|best| Said { best, probability: 0.5 });
        assert_eq!(documents.changing(&said), 1);
        assert_eq!([1, 2].map(|place| documents.answers(place, &said).right), [0.5, 1.0]);
    }
}

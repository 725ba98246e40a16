//! Test suites in the formats they were published in, as questions about probabilities.
//!
//! Most items have a prompt and some continuations, and what counts is how likely the model finds each. Letters and answers
//! to questions are written by the model, and their words are counted.
//! A file that cannot be read is an error; a row that cannot be used is left out, named and counted.

mod bbq;
mod choice;
mod figure;
mod file;
mod generated;
mod own;
mod places;
mod sentences;
mod written;

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

pub use figure::{Figure, Measure, Score, leaning_of, measures};
pub use file::{File, text};
pub use generated::ANSWER;
pub use written::refuses;

use crate::{examples::Problems, failure::Failure};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// BBQ (Parrish et al. 2022): JSON lines.
    Bbq,
    /// WinoBias (Zhao et al. 2018): a file of pro-stereotyped sentences beside the anti-stereotyped one.
    Winobias,
    /// Winogender (Rudinger et al. 2018): all_sentences.tsv beside occupations-stats.tsv.
    Winogender,
    /// CrowS-Pairs (Nangia et al. 2020): CSV.
    CrowsPairs,
    /// StereoSet (Nadeem et al. 2021): JSON.
    Stereoset,
    /// LLMBar (Zeng et al. 2024): JSON; both orders of the two outputs are asked.
    Llmbar,
    /// Multiple choice: JSON lines with question, options and answer; every rotation of the options is asked.
    Choice,
    /// Yes or no: JSON lines with question and answer.
    YesNo,
    /// Key-value retrieval of lost in the middle (Liu et al. 2023): JSON lines, also .gz; the record is put at several places.
    KeyValue,
    /// Reference letters (Wan et al. 2023): CSV with gender, occupation and prompts; the model writes them, words are counted.
    Letters,
    /// The same where the letters are there already, in a column `response`, `letter`, `text` or `..._gen`: no model is asked.
    LettersGiven,
    /// Safe questions (MOSSBench, Li et al. 2024, text part): CSV or JSON with question; how many answers refuse.
    Refusals,
    /// Your own: JSON lines with prompt and options; besides group, answer, x, first, values, zero and suite.
    Jsonl,
}

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What names it in its suite.
    pub id: String,
    /// What it has in common with others: intervals are over these.
    pub cluster: String,
    /// What comes before.
    pub prompt: String,
    /// What may follow.
    pub options: Vec<String>,
    /// Which option is right, where one is.
    pub answer: Option<usize>,
    /// What its options stand for.
    pub role: Role,
    /// For a file with several suites: which.
    pub part: Option<String>,
}

/// What options stand for.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// BBQ: which option is the biased one and which says that nobody knows; whether the context leaves it open.
    Bbq { biased: Option<usize>, unknown: Option<usize>, ambiguous: bool },
    /// The first option is the stereotyped sentence, the second the other one.
    Pair,
    /// Stereotype, anti-stereotype, unrelated.
    Triple,
    /// Options are letters; for each, which of the question's contents it stands for.
    Letters { contents: Vec<usize> },
    /// Yes, then no.
    YesNo,
    /// The one option is the right text; its place among the others, from 0 (first) to 1 (last).
    Place { place: f64 },
    /// A letter for a woman or a man, of so many tokens at most.
    Letter { female: bool, tokens: usize },
    /// A letter for a woman or a man that was written before.
    Given { female: bool, text: String },
    /// A question that has an answer, of which so many tokens are read.
    Question { tokens: usize },
    /// The first `first` options against the rest, or where there is no rest the probability itself; what it may depend
    /// on. With `values`, the value that is expected. `zero`: the suite's figure without bias, where that is told.
    Share { first: usize, x: Option<f64>, values: Vec<f64>, zero: Option<f64> },
}

impl Item {
    /// Tokens that the model writes; none where options are compared.
    pub fn written(&self) -> Option<usize> {
        match self.role {
            Role::Letter { tokens, .. } | Role::Question { tokens } => Some(tokens),
            _ => None,
        }
    }

    /// The text that was written before, of which only the words are counted.
    pub fn given(&self) -> Option<&str> {
        if let Role::Given { text, .. } = &self.role { Some(text) } else { None }
    }
}

/// Words, or beginnings of words, that are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    pub name: String,
    pub words: Vec<String>,
}

/// The items of one file.
#[derive(Debug, Clone)]
pub struct Suite {
    pub name: String,
    pub format: Format,
    pub sha256: String,
    pub items: Vec<Item>,
    pub problems: Problems,
    /// The value that the figure has without bias, for suites of one's own.
    pub neutral: f64,
    /// For texts that the model writes: what is counted in them.
    pub words: Vec<Words>,
}

/// `FORMAT=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub format: Format,
    pub path: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Named, String> {
        use clap::ValueEnum as _;
        let all = || {
            let names =
                Format::value_variants().iter().filter_map(|f| Some(f.to_possible_value()?.get_name().to_owned()));
            names.collect::<Vec<_>>().join(", ")
        };
        let (format, path) =
            text.split_once('=').ok_or_else(|| format!("FORMAT=PATH is wanted, with a format of: {}", all()))?;
        let format =
            Format::from_str(format, true).map_err(|_| format!("`{format}` is no format; allowed: {}", all()))?;
        Ok(Named { format, path: path.into() })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use clap::ValueEnum as _;
        f.write_str(self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default().as_str())
    }
}

/// Reads a file; one of one's own may hold several suites. A file in which no row can be used is a suite without items.
///
/// # Errors
/// A file that cannot be read, or is none of the format.
pub fn read(named: &Named) -> Result<Vec<Suite>, Failure> {
    let path = &named.path;
    let file = file::File::read(path)?;
    let mut problems = Problems::default();
    let mut words = Vec::new();
    let items = match named.format {
        Format::Letters | Format::LettersGiven => {
            let given = named.format == Format::LettersGiven;
            let (items, lists) = generated::letters(&file, given, &mut problems)?;
            words = lists;
            items
        }
        Format::Refusals => {
            let (items, phrases) = generated::refusals(&file, &mut problems)?;
            words = phrases;
            items
        }
        Format::Bbq => bbq::items(&file, &mut problems),
        Format::Winobias => sentences::winobias(&file, &mut problems)?,
        Format::Winogender => sentences::winogender(&file, &mut problems)?,
        Format::CrowsPairs => sentences::crows_pairs(&file, &mut problems)?,
        Format::Stereoset => sentences::stereoset(&file, &mut problems)?,
        Format::Llmbar => choice::llmbar(&file, &mut problems)?,
        Format::Choice => choice::choice(&file, &mut problems),
        Format::YesNo => choice::yes_no(&file, &mut problems),
        Format::KeyValue => places::key_value(&file, &mut problems),
        Format::Jsonl => own::items(&file, &mut problems),
    };
    let stem = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let base = format!("{} {stem}", named.format);
    let mut parts: Vec<Option<String>> = items.iter().map(|i| i.part.clone()).collect();
    parts.sort();
    parts.dedup();
    if parts.is_empty() {
        parts.push(None);
    }
    let mut problems = Some(problems);
    let suite = |part: Option<String>| {
        let items: Vec<Item> = items.iter().filter(|i| i.part == part).cloned().collect();
        let slope = items.iter().any(|i| matches!(i.role, Role::Share { x: Some(_), .. }));
        let whole = items.iter().any(|i| i.options.len() == 1);
        let told = items.iter().find_map(|i| if let Role::Share { zero, .. } = i.role { zero } else { None });
        Suite {
            name: part.unwrap_or_else(|| base.clone()),
            format: named.format,
            sha256: file.sha256.clone(),
            neutral: told.unwrap_or(if slope || whole { 0.0 } else { 0.5 }),
            items,
            problems: problems.take().unwrap_or_default(),
            words: words.clone(),
        }
    };
    Ok(parts.into_iter().map(suite).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::Kind;

    /// A small file of the format, and what is in it.
    fn fixture(format: Format, name: &str) -> Vec<Suite> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/suites").join(name);
        read(&Named { format, path }).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn left_out(suite: &Suite) -> usize {
        [Kind::Broken, Kind::Field].into_iter().map(|k| suite.problems.of(k)).sum()
    }

    #[test]
    fn every_format_is_read_and_bad_rows_are_counted() {
        for (format, name, items, bad) in [
            (Format::Bbq, "bbq.jsonl", 2, 1),
            (Format::Winobias, "pro_stereotyped_type1.txt.dev", 2, 1),
            (Format::Winogender, "all_sentences.tsv", 2, 1),
            (Format::CrowsPairs, "crows_pairs.csv", 2, 1),
            (Format::Stereoset, "stereoset.json", 2, 1),
            (Format::Llmbar, "llmbar.json", 4, 1),
            (Format::Choice, "choice.jsonl", 5, 2),
            (Format::YesNo, "yes-no.jsonl", 2, 1),
            (Format::KeyValue, "kv.jsonl", 5, 1),
            (Format::Letters, "letters/letters.csv", 4, 2),
            (Format::LettersGiven, "letters/letters.csv", 4, 2),
            (Format::Refusals, "refusals.csv", 2, 1),
            (Format::Refusals, "refusals.json", 2, 1),
        ] {
            let suites = fixture(format, name);
            assert_eq!(suites.len(), 1, "{name}");
            assert_eq!((suites[0].items.len(), left_out(&suites[0])), (items, bad), "{name}: {:?}", suites[0].problems);
            assert!(!measures(&suites[0]).is_empty());
            let mut ids: Vec<&String> = suites[0].items.iter().map(|i| &i.id).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), items, "{name}: ids repeat");
        }
        let own = fixture(Format::Jsonl, "own.jsonl");
        let names: Vec<(&str, usize, f64)> = own.iter().map(|s| (&s.name[..], s.items.len(), s.neutral)).collect();
        assert_eq!(names, [("capitals", 1, 0.5), ("pronouns", 2, 0.0)]);
        assert_eq!(own.iter().map(left_out).sum::<usize>(), 2);
    }

    #[test]
    fn the_biased_answer_of_bbq_depends_on_the_question() {
        let suite = &fixture(Format::Bbq, "bbq.jsonl")[0];
        let roles: Vec<&Role> = suite.items.iter().map(|i| &i.role).collect();
        assert_eq!(roles[0], &Role::Bbq { biased: Some(2), unknown: Some(1), ambiguous: true });
        assert_eq!(roles[1], &Role::Bbq { biased: Some(0), unknown: Some(1), ambiguous: false });
        assert_eq!(suite.items[1].answer, Some(2));
        assert!(suite.items[0].prompt.ends_with("C. The grandmother\nAnswer:"), "{}", suite.items[0].prompt);
    }

    #[test]
    fn sentences_are_cut_where_they_differ() {
        let item = &fixture(Format::Winobias, "pro_stereotyped_type1.txt.dev")[0].items[0];
        assert_eq!(item.prompt, "The plumber thanked the florist because");
        assert_eq!(item.options, [" he had found the key.", " she had found the key."]);
    }

    #[test]
    fn every_rotation_puts_the_answer_under_another_letter() {
        let items = &fixture(Format::Choice, "choice.jsonl")[0].items;
        let answers: Vec<Option<usize>> = items.iter().map(|i| i.answer).collect();
        assert_eq!(answers, [Some(1), Some(0), Some(2), Some(0), Some(1)]);
    }

    #[test]
    fn the_record_is_put_at_every_place() {
        let items = &fixture(Format::KeyValue, "kv.jsonl")[0].items;
        let at = |i: &Item| i.prompt.split(['{', ',']).position(|part| part.contains("\"k2\": ")).unwrap_or(99);
        let places: Vec<usize> = items.iter().map(at).collect();
        assert_eq!(places, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn letters_are_searched_for_the_words_that_lie_with_them() {
        let suite = &fixture(Format::Letters, "letters/letters.csv")[0];
        let names: Vec<&str> = suite.words.iter().map(|w| &w.name[..]).collect();
        assert_eq!(names, ["agentic", "communal"]);
        assert_eq!(suite.items[0].role, Role::Letter { female: true, tokens: 256 });
        assert_eq!(suite.items[0].cluster, suite.items[1].cluster);
        assert!(fixture(Format::Refusals, "refusals.csv")[0].words[0].words.contains(&"i cannot".to_owned()));
    }

    #[test]
    fn unreadable_suites_are_named() {
        let bad = |format, name: &str| {
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/suites").join(name);
            read(&Named { format, path }).unwrap_err().to_string()
        };
        assert!(bad(Format::Bbq, "nowhere.jsonl").contains("nowhere.jsonl"));
        let other = &fixture(Format::Bbq, "choice.jsonl")[0];
        assert!(other.items.is_empty() && !other.problems.lines().is_empty() && other.name == "bbq choice.jsonl");
        assert!(bad(Format::Stereoset, "bbq.jsonl").contains("is no JSON"));
        assert!(bad(Format::CrowsPairs, "own.jsonl").contains("sent_more"));
        assert!("bbq".parse::<Named>().is_err() && "nothing=x".parse::<Named>().unwrap_err().contains("crows-pairs"));
    }
}

//! What was measured so far, on disk after each part, so that an audit that was interrupted goes on.

use std::{
    collections::HashMap,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{failure::Failure, suite::Score};

/// The file.
pub struct Record {
    path: PathBuf,
    file: File,
    known: HashMap<(String, String), Score>,
    /// Lines that could not be read, for instance the last one of a run that was killed.
    pub broken: usize,
}

#[derive(Serialize, Deserialize)]
struct Line {
    /// Hash of everything that the score depends on but the item.
    run: String,
    item: String,
    score: Score,
}

impl Record {
    /// Opens or makes it.
    pub fn open(path: &Path, fresh: bool) -> Result<Record, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
        let text = if fresh { String::new() } else { std::fs::read_to_string(path).unwrap_or_default() };
        let (mut known, mut broken) = (HashMap::new(), 0);
        for line in text.lines() {
            match serde_json::from_str::<Line>(line) {
                Ok(line) => {
                    known.insert((line.run, line.item), line.score);
                }
                Err(_) => broken += 1,
            }
        }
        let mut file = File::options().create(true).append(true).open(path).map_err(failed)?;
        if fresh {
            file.set_len(0).map_err(failed)?;
        } else if !text.is_empty() && !text.ends_with('\n') {
            // A line that was cut off: what follows begins on its own.
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok(Record { path: path.to_owned(), file, known, broken })
    }

    /// What is known of an item.
    pub fn get(&self, run: &str, item: &str) -> Option<&Score> {
        self.known.get(&(run.to_owned(), item.to_owned()))
    }

    /// Adds scores, and waits until they are on disk.
    pub fn add(&mut self, run: &str, scores: Vec<(String, Score)>) -> Result<(), Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", self.path.display()));
        let mut text = String::new();
        for (item, score) in &scores {
            let line = Line { run: run.to_owned(), item: item.clone(), score: score.clone() };
            text += &serde_json::to_string(&line).map_err(Failure::new)?;
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data()).map_err(failed)?;
        self.known.extend(scores.into_iter().map(|(item, score)| ((run.to_owned(), item), score)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_off_is_measured_again_and_the_rest_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let score = |p: f64| Score { logp: vec![p], tokens: vec![1], greedy: false, text: None };
        let mut record = Record::open(&path, false).unwrap();
        record.add("run", vec![("a".into(), score(-1.0)), ("b".into(), score(-2.0))]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let mut again = Record::open(&path, false).unwrap();
        assert_eq!((again.get("run", "a"), again.get("run", "b"), again.broken), (Some(&score(-1.0)), None, 1));
        assert_eq!(again.get("other", "a"), None);
        again.add("run", vec![("b".into(), score(-3.0))]).unwrap();
        assert_eq!(Record::open(&path, false).unwrap().get("run", "b"), Some(&score(-3.0)));
        assert_eq!(Record::open(&path, true).unwrap().get("run", "a"), None);
    }
}

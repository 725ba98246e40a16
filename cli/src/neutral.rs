//! Texts on which nothing should change.

use std::path::Path;

use evenkeel_ffi::host::{Model, Token};
use serde_json::Value;

use crate::failure::Failure;

/// One text. What comes next is looked at inside `text`, not inside `prompt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    pub prompt: String,
    pub text: String,
}

impl Plain {
    pub fn of(text: &str) -> Plain {
        Plain { prompt: String::new(), text: text.to_owned() }
    }

    /// Its tokens, at most `longest`, and the first place after which a token of the text stands. None where there is no
    /// such place.
    pub fn tokens(&self, model: &Model, longest: usize) -> Result<Option<(Vec<Token>, usize)>, Failure> {
        let mut whole = model.tokenize(&format!("{}{}", self.prompt, self.text), true)?;
        let before = if self.prompt.is_empty() { Vec::new() } else { model.tokenize(&self.prompt, true)? };
        let same = before.iter().zip(&whole).take_while(|(a, b)| a == b).count();
        whole.truncate(longest);
        let from = same.max(1) - 1;
        Ok((from + 1 < whole.len()).then_some((whole, from)))
    }
}

/// A file of them: one per line; or, where the name ends in .jsonl, `text` with or without `prompt`.
///
/// # Errors
/// A file that cannot be read or holds none.
pub fn read(path: &Path) -> Result<Vec<Plain>, Failure> {
    let bad = |why: String| Failure::usage(format!("--neutral {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    let found: Vec<Plain> = match path.extension().is_some_and(|e| e == "jsonl") {
        false => lines.map(|(_, line)| Plain::of(line)).collect(),
        true => {
            let row = |(i, line): (usize, &str)| {
                let row: Value = serde_json::from_str(line).map_err(|e| bad(format!("line {}: {e}", i + 1)))?;
                let field = |key: &str| row[key].as_str().map(String::from);
                let text = field("text").filter(|t| !t.is_empty());
                let text = text.ok_or_else(|| bad(format!("line {}: no `text`", i + 1)))?;
                Ok(Plain { prompt: field("prompt").unwrap_or_default(), text })
            };
            lines.map(row).collect::<Result<_, Failure>>()?
        }
    };
    if found.is_empty() {
        return Err(bad("holds no text".into()));
    }
    Ok(found)
}

/// Up to `most` places from `from` on and below `end`, evenly spread.
pub fn spread(from: usize, end: usize, most: usize) -> Vec<usize> {
    let all = end.saturating_sub(from);
    let n = all.min(most);
    (0..n).map(|i| from + i * all / n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_spread_and_never_repeat() {
        assert_eq!(spread(0, 10, 5), [0, 2, 4, 6, 8]);
        assert_eq!(spread(0, 3, 100), [0, 1, 2]);
        assert_eq!(spread(4, 6, 100), [4, 5]);
        assert_eq!(spread(5, 3, 5), [0usize; 0]);
    }

    #[test]
    fn lines_and_rows_are_read_and_bad_ones_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            read(&path)
        };
        assert_eq!(file("a.txt", "one\n\n{}\n").unwrap(), [Plain::of("one"), Plain::of("{}")]);
        let rows = file("a.jsonl", "{\"prompt\": \"p\", \"text\": \" t\"}\n").unwrap();
        assert_eq!(rows, [Plain { prompt: "p".into(), text: " t".into() }]);
        assert!(file("b.jsonl", "{\"prompt\": \"p\"}").unwrap_err().to_string().contains("line 1: no `text`"));
        assert!(file("c.txt", "\n").unwrap_err().to_string().contains("holds no text"));
    }
}

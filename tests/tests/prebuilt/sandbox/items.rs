//! The held-out questions: `tests/sandbox/items.jsonl`, which `train/write_items.py` explains and writes.

use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_ffi::host::{Model, Token};
use serde_json::Value;

/// A path below `tests/sandbox`.
pub fn sandbox(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox").join(path)
}

/// One question.
#[derive(Clone, Debug)]
pub struct Item {
    /// The figure it belongs to.
    pub kind: String,
    /// What it has in common with other items of its kind.
    pub cluster: String,
    /// What the figure depends on; 0 when nothing.
    pub x: f64,
    /// For a pronoun: whether it is one of those that are reported after a choice on the others.
    pub report: bool,
    /// The answers whose probability is asked for.
    pub answers: Vec<String>,
    ids: String,
    text: String,
}

impl Item {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let text = fs::read_to_string(sandbox("items.jsonl")).expect("tests/sandbox/items.jsonl");
        text.lines().map(|line| Self::read(&serde_json::from_str(line).expect("a line of JSON"))).collect()
    }

    fn read(line: &Value) -> Self {
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key}: {line}")).to_owned();
        let answers = line["answers"].as_array().expect("answers").iter();
        Self {
            kind: text("kind"),
            cluster: text("cluster"),
            x: line["x"].as_f64().unwrap_or(0.0),
            report: line["split"] == "report",
            answers: answers.map(|answer| answer.as_str().expect("an answer").to_owned()).collect(),
            ids: text("ids"),
            text: text("text"),
        }
    }

    /// The questions of `labels/NAME.jsonl`, each with its right answer before the other.
    pub fn labelled(name: &str, answers: [&str; 2]) -> Vec<Self> {
        let text = fs::read_to_string(sandbox(&format!("labels/{name}.jsonl"))).expect("questions");
        let item = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let mut answers = answers.map(|answer| format!(" {answer}")).to_vec();
            answers.sort_by_key(|answer| answer.trim() != line["answer"]);
            Self {
                kind: name.to_owned(),
                cluster: line["group"].as_str().unwrap_or_default().to_owned(),
                x: 0.0,
                report: false,
                answers,
                ids: String::new(),
                text: line["prompt"].as_str().expect("a prompt").to_owned(),
            }
        };
        text.lines().map(item).collect()
    }

    /// The prompt.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same question with its documents turned: the one at `by` comes first, those before it last.
    pub fn turned(&self, by: usize) -> Self {
        let (begin, end) =
            (self.text.find("<doc>").expect("documents"), self.text.rfind("</doc>").expect("documents") + 6);
        let mut documents: Vec<&str> = self.text[begin..end].split_inclusive("</doc>").collect();
        documents.rotate_left(by);
        let text = format!("{}{}{}", &self.text[..begin], documents.concat(), &self.text[end..]);
        // The training's numbers are of the other order.
        Self { text, ids: String::new(), ..self.clone() }
    }

    /// The prompt's tokens.
    ///
    /// # Panics
    /// When they are not those that the model was trained on.
    pub fn prompt(&self, model: &Model) -> Vec<Token> {
        let tokens = model.tokenize(&self.text, true).expect("tokens");
        let bytes = tokens.iter().flat_map(|token| u16::try_from(*token).expect("a small vocabulary").to_le_bytes());
        let code = bytes
            .fold(0xcbf2_9ce4_8422_2325_u64, |code, byte| (code ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        assert!(
            self.ids.is_empty() || format!("{code:016x}") == self.ids,
            "llama.cpp's tokens are not the training's: {}",
            self.text
        );
        tokens
    }

    /// The answers' tokens, one each.
    pub fn answer_tokens(&self, model: &Model) -> Vec<Token> {
        let token = |answer: &String| match model.tokenize(answer, false).expect("tokens")[..] {
            [token] => token,
            ref other => panic!("\"{answer}\" is {} tokens", other.len()),
        };
        self.answers.iter().map(token).collect()
    }
}

//! Questions with lettered options, of which the order is changed, and questions of yes or no.

use serde_json::{Map, Value};

use super::{
    Item, Role,
    file::{File, text, texts, whole},
};
use crate::{
    examples::{Kind, Problems},
    failure::Failure,
};

const LETTERS: &str = "ABCDEFGHIJ";

/// A prompt with options under letters, and the letters as answers.
pub fn lettered(question: &str, options: &[&str]) -> (String, Vec<String>) {
    let mut prompt = format!("{question}\n");
    for (letter, option) in LETTERS.chars().zip(options) {
        prompt += &format!("{letter}. {option}\n");
    }
    prompt += "Answer:";
    (prompt, LETTERS.chars().take(options.len()).map(|l| format!(" {l}")).collect())
}

/// Every rotation of the options, so that each stands under each letter once.
fn rotations(id: &str, question: &str, options: &[String], answer: Option<usize>) -> Vec<Item> {
    let n = options.len();
    let rotation = |turn: usize| {
        let contents: Vec<usize> = (0..n).map(|i| (i + turn) % n).collect();
        let shown: Vec<&str> = contents.iter().map(|c| options[*c].as_str()).collect();
        let (prompt, options) = lettered(question, &shown);
        Item {
            id: format!("{id} turn {turn}"),
            cluster: id.to_owned(),
            prompt,
            options,
            answer: answer.and_then(|a| contents.iter().position(|c| *c == a)),
            role: Role::Letters { contents },
            part: None,
        }
    };
    (0..n).map(rotation).collect()
}

/// JSON lines: `question`, `options`, `answer` as a number from 0, a letter or the text.
pub fn choice(file: &File, problems: &mut Problems) -> Vec<Item> {
    let row = |line: usize, row: &Map<String, Value>| {
        let options = texts(row, "options").or_else(|_| texts(row, "choices"))?;
        if !(2..=LETTERS.len()).contains(&options.len()) {
            return Err(format!("{} options, allowed: 2 to {}", options.len(), LETTERS.len()));
        }
        let answer = match row.get("answer") {
            None => None,
            Some(value) => Some(answer(value, &options).ok_or_else(|| format!("`answer` {value} names no option"))?),
        };
        Ok(rotations(&format!("line {line}"), &text(row, "question")?, &options, answer))
    };
    file.each(problems, row).into_iter().flatten().collect()
}

fn answer(value: &Value, options: &[String]) -> Option<usize> {
    let at = match value {
        Value::Number(n) => n.as_u64()? as usize,
        Value::String(s) => options
            .iter()
            .position(|o| o == s)
            .or_else(|| LETTERS.find(s.trim()).filter(|_| s.trim().len() == 1))
            .or_else(|| s.trim().parse().ok())?,
        _ => return None,
    };
    (at < options.len()).then_some(at)
}

/// LLMBar: a list of `input`, `output_1`, `output_2` and `label`.
pub fn llmbar(file: &File, problems: &mut Problems) -> Result<Vec<Item>, Failure> {
    let whole_file: Value = serde_json::from_str(&file.text).map_err(|e| file.bad(format!("is no JSON: {e}")))?;
    let rows = whole_file.as_array().ok_or_else(|| file.bad("is no list"))?;
    let mut items = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        match row.as_object().ok_or_else(|| "no object".to_owned()).and_then(judged) {
            Ok((question, outputs, label)) => {
                items.extend(rotations(&format!("item {}", i + 1), &question, &outputs, Some(label)));
            }
            Err(why) => problems.add(Kind::Field, &file.origin(i + 1), why),
        }
    }
    Ok(items)
}

fn judged(row: &Map<String, Value>) -> Result<(String, Vec<String>, usize), String> {
    let label = whole(row, "label")?.checked_sub(1).filter(|l| *l < 2).ok_or("`label` is neither 1 nor 2")?;
    let question = format!("Instruction: {}\nWhich output follows the instruction better?", text(row, "input")?);
    Ok((question, vec![text(row, "output_1")?, text(row, "output_2")?], label))
}

/// JSON lines: `question` and `answer`, which is yes or no; also as true and false.
pub fn yes_no(file: &File, problems: &mut Problems) -> Vec<Item> {
    file.each(problems, |line, row| {
        let yes = match row.get("answer") {
            Some(Value::Bool(yes)) => *yes,
            Some(Value::String(s)) if s.trim().eq_ignore_ascii_case("yes") => true,
            Some(Value::String(s)) if s.trim().eq_ignore_ascii_case("no") => false,
            Some(other) => return Err(format!("`answer` is {other}, allowed: yes, no")),
            None => return Err("no `answer`".into()),
        };
        let id = format!("line {line}");
        Ok(Item {
            cluster: text(row, "group").unwrap_or_else(|_| id.clone()),
            id,
            prompt: format!("{}\nAnswer:", text(row, "question")?),
            options: vec![" yes".into(), " no".into()],
            answer: Some(usize::from(!yes)),
            role: Role::YesNo,
            part: None,
        })
    })
}

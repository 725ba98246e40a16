//! A suite of one's own: JSON lines.
//!
//! `prompt` and `options` say what is asked. The figure is the share of the first `first` options (1 if not given) of the
//! probability of all, or with a single option its probability. With a number `x` in the rows it is the slope of that over
//! `x`. Where `values` gives a number for each option, their expected value stands in the place of the share. `zero` is the
//! figure without bias, if not a half of a share and 0 of the others. `group` names what rows have in common, `answer` the number of the right option, `suite` the suite of the row.

use serde_json::{Map, Value};

use super::{
    Item, Role,
    file::{File, text, texts, whole},
};
use crate::examples::Problems;

pub fn items(file: &File, problems: &mut Problems) -> Vec<Item> {
    file.each(problems, item)
}

fn item(line: usize, row: &Map<String, Value>) -> Result<Item, String> {
    let options = texts(row, "options")?;
    if options.is_empty() || options.iter().any(String::is_empty) {
        return Err("`options` is empty, or one of them".into());
    }
    let optional = |key: &str| row.get(key).filter(|v| !v.is_null()).map(|_| whole(row, key)).transpose();
    let first = optional("first")?.unwrap_or(1);
    if first == 0 || (first >= options.len() && options.len() > 1) {
        return Err(format!("`first` is {first} of {} options", options.len()));
    }
    let answer = optional("answer")?;
    if answer.is_some_and(|a| a >= options.len()) {
        return Err("`answer` names no option".into());
    }
    let x = match row.get("x") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_f64().ok_or("`x` is no number")?),
    };
    let number = |value: &Value| value.as_f64().filter(|x| x.is_finite());
    let values: Option<Vec<f64>> = match row.get("values") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(list) => list.as_array().and_then(|l| l.iter().map(number).collect()),
    };
    let values = values.ok_or("`values` is no list of numbers")?;
    if !values.is_empty() && (values.len() != options.len() || options.len() < 2) {
        return Err(format!("{} `values` for {} options", values.len(), options.len()));
    }
    let zero = match row.get("zero") {
        None | Some(Value::Null) => None,
        Some(value) => Some(number(value).ok_or("`zero` is no number")?),
    };
    let id = text(row, "id").unwrap_or_else(|_| format!("line {line}"));
    let cluster = text(row, "group").unwrap_or_else(|_| id.clone());
    let part = row.get("suite").map(|_| text(row, "suite")).transpose()?;
    let prompt = text(row, "prompt")?;
    Ok(Item { id, cluster, prompt, options, answer, role: Role::Share { first, x, values, zero }, part })
}

//! Key-value retrieval (lost in the middle, Liu et al. 2023): the same record at several places among the others.

use serde_json::{Map, Value};

use super::{
    Item, Role,
    file::{File, text},
};
use crate::examples::Problems;

/// Places that are asked: first, quarters, last.
const PLACES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

pub fn key_value(file: &File, problems: &mut Problems) -> Vec<Item> {
    file.each(problems, rows).into_iter().flatten().collect()
}

fn rows(line: usize, row: &Map<String, Value>) -> Result<Vec<Item>, String> {
    let (key, value) = (text(row, "key")?, text(row, "value")?);
    let records = row.get("ordered_kv_records").and_then(Value::as_array).ok_or("no list `ordered_kv_records`")?;
    let others: Option<Vec<(&str, &str)>> =
        records.iter().map(|r| Some((r.get(0)?.as_str()?, r.get(1)?.as_str()?))).collect();
    let mut others = others.ok_or("a record is no pair of texts")?;
    let before = others.len();
    others.retain(|(k, _)| *k != key);
    if others.len() + 1 != before {
        return Err(format!("the key is there {} times", before - others.len()));
    }
    let id = format!("line {line}");
    let item = |place: f64| {
        let mut all = others.clone();
        all.insert((place * others.len() as f64).round() as usize, (&key, &value));
        let lines: Vec<String> = all.iter().map(|(k, v)| format!(" \"{k}\": \"{v}\"")).collect();
        Item {
            id: format!("{id} at {place}"),
            cluster: id.clone(),
            prompt: format!(
                "Extract the value corresponding to the specified key in the JSON object below.\n\nJSON data:\n{{{}}}\n\nKey: \"{key}\"\nCorresponding value: \"",
                lines.join(",\n").trim_start()
            ),
            options: vec![value.clone()],
            answer: Some(0),
            role: Role::Place { place },
            part: None,
        }
    };
    Ok(PLACES.map(item).into())
}

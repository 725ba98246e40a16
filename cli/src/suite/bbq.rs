//! BBQ (Parrish et al. 2022): three answers, of which one says that nobody knows.

use serde_json::{Map, Value};

use super::{
    Item, Role,
    choice::lettered,
    file::{File, text, whole},
};
use crate::examples::Problems;

pub fn items(file: &File, problems: &mut Problems) -> Vec<Item> {
    file.each(problems, item)
}

fn item(line: usize, row: &Map<String, Value>) -> Result<Item, String> {
    let answers = [text(row, "ans0")?, text(row, "ans1")?, text(row, "ans2")?];
    let label = whole(row, "label")?;
    let ambiguous = match text(row, "context_condition")?.as_str() {
        "ambig" => true,
        "disambig" => false,
        other => return Err(format!("`context_condition` is {other}")),
    };
    let negative = match text(row, "question_polarity")?.as_str() {
        "neg" => true,
        "nonneg" => false,
        other => return Err(format!("`question_polarity` is {other}")),
    };
    let groups: Vec<String> = row
        .get("additional_metadata")
        .and_then(|m| m.get("stereotyped_groups"))
        .and_then(Value::as_array)
        .ok_or("no `additional_metadata.stereotyped_groups`")?
        .iter()
        .filter_map(|g| Some(g.as_str()?.to_lowercase()))
        .collect();
    // Text and group of each answer.
    let info = |i: usize| -> Result<[String; 2], String> {
        let list = row.get("answer_info").and_then(|a| a.get(format!("ans{i}"))).and_then(Value::as_array);
        let list = list.ok_or_else(|| format!("no `answer_info.ans{i}`"))?;
        let at = |k: usize| list.get(k).and_then(Value::as_str).unwrap_or_default().to_lowercase();
        Ok([at(0), at(1)])
    };
    let info = [info(0)?, info(1)?, info(2)?];
    let unknown = info.iter().position(|[_, group]| group == "unknown");
    let target: Vec<usize> =
        (0..3).filter(|i| Some(*i) != unknown && info[*i].iter().any(|text| groups.contains(text))).collect();
    // The stereotype: to a negative question the target, to another the one who is not.
    let biased = match (&target[..], unknown) {
        ([target], Some(unknown)) if negative => Some(*target).filter(|t| *t != unknown),
        ([target], Some(unknown)) => (0..3).find(|i| i != target && *i != unknown),
        _ => None,
    };
    let question = format!("{} {}", text(row, "context")?, text(row, "question")?);
    let (prompt, options) = lettered(&question, &answers.each_ref().map(String::as_str));
    let category = text(row, "category").unwrap_or_default();
    let index = row.get("question_index").map(|v| v.to_string().replace('"', "")).unwrap_or_default();
    let id = row.get("example_id").map_or_else(|| format!("line {line}"), ToString::to_string);
    Ok(Item {
        id: format!("{category} {id}"),
        // Items of one template are alike.
        cluster: format!("{category} {index}"),
        prompt,
        options,
        answer: Some(label).filter(|l| *l < 3),
        role: Role::Bbq { biased, unknown, ambiguous },
        part: None,
    })
}

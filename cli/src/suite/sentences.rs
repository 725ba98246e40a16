//! Sentences of which one is stereotyped: WinoBias, Winogender, CrowS-Pairs, StereoSet.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Item, Role, file::File};
use crate::{
    examples::{Kind, Problems},
    failure::Failure,
};

/// Two sentences as a prompt that both begin with, and two endings.
fn pair(a: &str, b: &str) -> Option<(String, Vec<String>)> {
    let same = a.split_inclusive(' ').zip(b.split_inclusive(' ')).take_while(|(x, y)| x == y);
    let shared: usize = same.map(|(x, _)| x.len()).sum();
    if a == b {
        return None;
    }
    // The space belongs to what follows, as tokenizers have it.
    let cut = a[..shared].trim_end().len();
    Some((a[..cut].to_owned(), vec![a[cut..].to_owned(), b[cut..].to_owned()]))
}

/// Lines such as `1 [The developer] argued with the designer because [he] did not like the design.`
pub fn winobias(file: &File, problems: &mut Problems) -> Result<Vec<Item>, Failure> {
    let name = file.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.contains("pro_stereotyped") {
        return Err(file.bad("its name has no `pro_stereotyped`").todo(
            "name the file of pro-stereotyped sentences; that of anti-stereotyped ones is looked for beside it",
        ));
    }
    let other = file.beside(&name.replace("pro_stereotyped", "anti_stereotyped"))?;
    let read = |text: &str| -> BTreeMap<usize, String> {
        let line = |line: &str| {
            let (number, sentence) = line.trim().split_once(' ')?;
            Some((number.parse().ok()?, sentence.replace(['[', ']'], "")))
        };
        text.lines().filter_map(line).collect()
    };
    let (pro, anti) = (read(&file.text), read(&other));
    let mut items = Vec::new();
    for (number, a) in pro {
        let found = anti.get(&number).and_then(|b| pair(&a, b));
        let Some((prompt, options)) = found else {
            problems.add(Kind::Field, &file.origin(number), "no anti-stereotyped sentence that differs");
            continue;
        };
        items.push(Item {
            id: format!("{name} {number}"),
            // Two sentences about the same two occupations follow each other.
            cluster: format!("{name} {}", number.div_ceil(2)),
            prompt,
            options,
            answer: None,
            role: Role::Pair,
            part: None,
        });
    }
    Ok(items)
}

/// `sentid` as occupation.participant.answer.gender.txt, and the share of women of each occupation.
pub fn winogender(file: &File, problems: &mut Problems) -> Result<Vec<Item>, Failure> {
    let stats = file.beside("occupations-stats.tsv")?;
    let share = |line: &str| {
        let mut cells = line.split('\t');
        let (occupation, share) = (cells.next()?, cells.nth(1)?);
        Some((occupation.to_owned(), share.trim().parse::<f64>().ok()? / 100.0))
    };
    let shares: HashMap<String, f64> = stats.lines().skip(1).filter_map(share).collect();
    let mut sentences: BTreeMap<String, HashMap<String, String>> = BTreeMap::new();
    for (i, line) in file.text.lines().enumerate().skip(1).filter(|(_, l)| !l.trim().is_empty()) {
        let parts: Option<(Vec<&str>, &str)> = line.split_once('\t').map(|(id, s)| (id.split('.').collect(), s));
        match parts {
            Some((id, sentence)) if id.len() >= 4 => {
                sentences.entry(id[..3].join(".")).or_default().insert(id[3].to_owned(), sentence.trim().to_owned());
            }
            _ => problems.add(Kind::Broken, &file.origin(i + 1), "no sentid of four parts"),
        }
    }
    let mut items = Vec::new();
    for (id, by) in sentences {
        let occupation = id.split('.').next().unwrap_or_default();
        // The pronoun is the occupation's only where the answer is 0.
        if !id.ends_with(".0") {
            continue;
        }
        let found = by.get("female").zip(by.get("male")).and_then(|(a, b)| pair(a, b)).zip(shares.get(occupation));
        let Some(((prompt, options), x)) = found else {
            problems.add(Kind::Field, &file.origin(1), format!("{id}: no pair of sentences, or no share of women"));
            continue;
        };
        let role = Role::Share { first: 1, x: Some(*x), values: Vec::new(), zero: None };
        items.push(Item { cluster: occupation.to_owned(), id, prompt, options, answer: None, role, part: None });
    }
    Ok(items)
}

/// CSV with `sent_more` and `sent_less`.
pub fn crows_pairs(file: &File, problems: &mut Problems) -> Result<Vec<Item>, Failure> {
    let mut reader = csv::Reader::from_reader(file.text.as_bytes());
    let header = reader.headers().map_err(|e| file.bad(e))?.clone();
    let column = |name: &str| {
        header.iter().position(|h| h.trim() == name).ok_or_else(|| file.bad(format!("has no column `{name}`")))
    };
    let (more, less) = (column("sent_more")?, column("sent_less")?);
    let kind = column("bias_type").ok();
    let mut items = Vec::new();
    for (i, record) in reader.records().enumerate() {
        let record = match record {
            Ok(record) => record,
            Err(e) => {
                problems.add(Kind::Broken, &file.origin(i + 2), e.to_string());
                continue;
            }
        };
        let (a, b) = (record.get(more).unwrap_or_default(), record.get(less).unwrap_or_default());
        let Some((prompt, options)) = pair(a.trim(), b.trim()) else {
            problems.add(Kind::Field, &file.origin(i + 2), "both sentences are the same");
            continue;
        };
        let kind = kind.and_then(|k| record.get(k)).unwrap_or_default();
        let id = format!("{} {kind}", i + 1);
        items.push(Item { cluster: id.clone(), id, prompt, options, answer: None, role: Role::Pair, part: None });
    }
    Ok(items)
}

/// JSON with `data.intrasentence` and `data.intersentence`.
pub fn stereoset(file: &File, problems: &mut Problems) -> Result<Vec<Item>, Failure> {
    let whole: Value = serde_json::from_str(&file.text).map_err(|e| file.bad(format!("is no JSON: {e}")))?;
    let mut items = Vec::new();
    for part in ["intrasentence", "intersentence"] {
        let Some(rows) = whole["data"][part].as_array() else { continue };
        for (i, row) in rows.iter().enumerate() {
            match triple(row, part == "intersentence") {
                Some((prompt, options)) => {
                    let id = format!("{part} {}", row["id"].as_str().map_or_else(|| i.to_string(), String::from));
                    let cluster = format!("{part} {}", row["target"].as_str().unwrap_or(&id));
                    items.push(Item { id, cluster, prompt, options, answer: None, role: Role::Triple, part: None });
                }
                None => problems.add(
                    Kind::Field,
                    &file.origin(i + 1),
                    format!("{part}: not one stereotype, one anti-stereotype and one unrelated sentence"),
                ),
            }
        }
    }
    Ok(items)
}

fn triple(row: &Value, follows: bool) -> Option<(String, Vec<String>)> {
    let sentences = row["sentences"].as_array()?;
    let of = |label: &str| {
        let mut found = sentences.iter().filter(|s| s["gold_label"] == label).filter_map(|s| s["sentence"].as_str());
        found.next().map(str::trim)
    };
    let all = [of("stereotype")?, of("anti-stereotype")?, of("unrelated")?];
    if follows {
        let options = all.iter().map(|s| format!(" {s}")).collect();
        return Some((row["context"].as_str()?.trim().to_owned(), options));
    }
    Some((String::new(), all.iter().map(|s| (*s).to_owned()).collect()))
}

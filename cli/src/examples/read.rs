//! Reads JSON lines, CSV, TSV and prompt files.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Example, Examples, Kind, Origin, Problems, check};
use crate::failure::Failure;

/// Where examples come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// One file of rows: pairs (`positive`, `negative`) or labelled texts (`text`, `label`), with `prompt` and `group`
    /// where wanted. The label that stands for the positive class.
    Rows { file: PathBuf, label: Option<String> },
    /// One prompt per line, as llama.cpp's cvector-generator reads them; line N of both is a pair.
    Prompts { positive: PathBuf, negative: PathBuf },
}

/// Largest file of examples, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Reads and checks examples.
///
/// # Errors
/// A file that cannot be read, or in which no line can be used, or all lines have one class.
pub fn read(source: &Source) -> Result<Examples, Failure> {
    let mut problems = Problems::default();
    let (all, paired, names, sha256) = match source {
        Source::Rows { file, label } => {
            let text = text_of(file)?;
            let rows = rows(file, &text, &mut problems)?;
            let (all, paired, names) = of_rows(file, rows, label.as_deref(), &mut problems)?;
            (all, paired, names, sha256(&[&text]))
        }
        Source::Prompts { positive, negative } => {
            let texts = [text_of(positive)?, text_of(negative)?];
            let all = prompts([positive, negative], &texts)?;
            (all, true, ["positive", "negative"].map(String::from), sha256(&[&texts[0], &texts[1]]))
        }
    };
    let mut examples = Examples { all, paired, names, problems, sha256 };
    check::check(&mut examples);
    let [positive, negative] = examples.counts();
    if positive == 0 || negative == 0 {
        let [p, n] = &examples.names;
        let said = examples.problems.lines().join("\n  ");
        let failure =
            Failure::usage(format!("two classes are needed: `{p}` has {positive} texts, `{n}` has {negative}"));
        return Err(if said.is_empty() { failure } else { failure.todo(said) });
    }
    Ok(examples)
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let bad = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| bad(e.to_string()))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| bad(e.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(bad("is larger than 1 GiB".into()));
    }
    String::from_utf8(bytes).map_err(|e| bad(format!("is not UTF-8 text (byte {})", e.utf8_error().valid_up_to())))
}

fn sha256(texts: &[&String]) -> String {
    let mut hash = Sha256::new();
    texts.iter().for_each(|t| hash.update(t.as_bytes()));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

type Row = (Origin, Map<String, Value>);

/// The rows of a file, by its ending.
fn rows(path: &Path, text: &str, problems: &mut Problems) -> Result<Vec<Row>, Failure> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "csv" => table(path, text, b',', problems),
        "tsv" | "tab" => table(path, text, b'\t', problems),
        "jsonl" | "ndjson" | "json" => Ok(json_lines(path, text, problems)),
        _ => Err(Failure::usage(format!("{}: its ending does not say what it is", path.display()))
            .todo("allowed: .jsonl, .json, .csv, .tsv; prompt files are named with --positive FILE --negative FILE")),
    }
}

/// A row a line, or one list of all rows, whose places are then counted as lines.
fn json_lines(path: &Path, text: &str, problems: &mut Problems) -> Vec<Row> {
    let list = text.trim_start().starts_with('[').then(|| serde_json::from_str::<Vec<Value>>(text).ok()).flatten();
    let all: Vec<(usize, serde_json::Result<Value>)> = match list {
        Some(list) => list.into_iter().map(Ok).enumerate().collect(),
        None => {
            let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
            lines.map(|(i, line)| (i, serde_json::from_str(line))).collect()
        }
    };
    let mut rows = Vec::new();
    for (i, value) in all {
        let origin = Origin { file: path.to_owned(), line: i + 1 };
        match value {
            Ok(Value::Object(row)) => rows.push((origin, row)),
            Ok(other) => problems.add(Kind::Broken, &origin, format!("{} instead of an object", kind_of(&other))),
            Err(error) => problems.add(Kind::Broken, &origin, error.to_string()),
        }
    }
    rows
}

fn table(path: &Path, text: &str, delimiter: u8, problems: &mut Problems) -> Result<Vec<Row>, Failure> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?.clone();
    let mut rows = Vec::new();
    for (i, record) in reader.records().enumerate() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(i + 2, |p| p.line() as usize);
                let cell = |(name, value): (&str, &str)| (name.trim().to_owned(), Value::String(value.to_owned()));
                rows.push((Origin { file: path.to_owned(), line }, header.iter().zip(&record).map(cell).collect()));
            }
            Err(error) => {
                let line = error.position().map_or(i + 2, |p| p.line() as usize);
                problems.add(Kind::Broken, &Origin { file: path.to_owned(), line }, error.to_string());
            }
        }
    }
    Ok(rows)
}

type Found = (Vec<Example>, bool, [String; 2]);

fn of_rows(path: &Path, rows: Vec<Row>, label: Option<&str>, problems: &mut Problems) -> Result<Found, Failure> {
    let has = |row: &Row, keys: [&str; 2]| keys.iter().all(|k| row.1.contains_key(*k));
    let pairs = rows.iter().filter(|r| has(r, ["positive", "negative"])).count();
    let labelled = rows.iter().filter(|r| has(r, ["text", "label"])).count();
    if pairs == 0 && labelled == 0 {
        let seen = rows.first().map(|(_, row)| row.keys().cloned().collect::<Vec<_>>().join(", "));
        let why = seen.map_or_else(
            || problems.lines().first().map_or("there is none".to_owned(), Clone::clone),
            |keys| format!("the first has {keys}"),
        );
        return Err(Failure::usage(format!("{}: no row has what is needed: {why}", path.display()))
            .todo("allowed: `positive` and `negative`, or `text` and `label`; besides `prompt` and `group`"));
    }
    let paired = pairs >= labelled;
    let keys = if paired { ["positive", "negative"] } else { ["text", "label"] };
    let mut texts = Vec::new();
    for (origin, row) in rows {
        match (field(&row, keys[0]), field(&row, keys[1]), optional(&row, "prompt"), optional(&row, "group")) {
            (Ok(a), Ok(b), Ok(prompt), Ok(group)) => texts.push((origin, [a, b], prompt, group)),
            (a, b, prompt, group) => {
                let why = [a.err(), b.err(), prompt.err(), group.err()].into_iter().flatten().collect::<Vec<_>>();
                problems.add(Kind::Field, &origin, why.join(", "));
            }
        }
    }
    let own = |group: Option<String>, origin: &Origin| group.unwrap_or_else(|| format!("line {}", origin.line));
    if paired {
        let pair = |(origin, texts, prompt, group): (Origin, [String; 2], Option<String>, Option<String>)| {
            let (group, prompt) = (own(group, &origin), prompt.unwrap_or_default());
            let [positive, negative] = texts;
            [(positive, true), (negative, false)].map(|(text, positive)| Example {
                prompt: prompt.clone(),
                text,
                positive,
                group: group.clone(),
                origin: origin.clone(),
            })
        };
        let names = ["positive", "negative"].map(String::from);
        return Ok((texts.into_iter().flat_map(pair).collect(), true, names));
    }
    let mut labels: Vec<String> = texts.iter().map(|(_, [_, label], ..)| label.clone()).collect();
    labels.sort();
    labels.dedup();
    let positive = match (label, &labels[..]) {
        (Some(label), _) if labels.iter().any(|l| l == label) => label.to_owned(),
        (Some(label), _) => {
            return Err(Failure::usage(format!("--label {label}: no text has this label")).todo(list(&labels)));
        }
        (None, [_, second]) => second.clone(),
        (None, [only]) => {
            return Err(Failure::usage(format!("two classes are needed: all texts have the label `{only}`")));
        }
        (None, _) => {
            return Err(Failure::usage(format!("{}: {} labels", path.display(), labels.len()))
                .todo(format!("say which is the positive class with --label; {}", list(&labels))));
        }
    };
    let rest: Vec<&str> = labels.iter().filter(|l| **l != positive).map(String::as_str).collect();
    let names = [positive.clone(), if rest.len() == 1 { rest[0].to_owned() } else { "the rest".into() }];
    let example = |(origin, [text, label], prompt, group): (Origin, [String; 2], Option<String>, Option<String>)| {
        let group = own(group, &origin);
        Example { prompt: prompt.unwrap_or_default(), text, positive: label == positive, group, origin }
    };
    Ok((texts.into_iter().map(example).collect(), false, names))
}

fn list(labels: &[String]) -> String {
    let some: Vec<&str> = labels.iter().take(10).map(String::as_str).collect();
    format!("the labels are: {}{}", some.join(", "), if labels.len() > 10 { ", …" } else { "" })
}

/// A text; numbers and truth values count as such, as labels often are.
fn field(row: &Map<String, Value>, key: &str) -> Result<String, String> {
    match row.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(other) => Err(format!("`{key}` is {}", kind_of(other))),
        None => Err(format!("no `{key}`")),
    }
}

fn optional(row: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    if row.get(key).is_some_and(|v| !v.is_null()) { field(row, key).map(Some) } else { Ok(None) }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// `\n` stands for a line break, as cvector-generator has it.
fn prompts(paths: [&PathBuf; 2], texts: &[String; 2]) -> Result<Vec<Example>, Failure> {
    let lines = texts.each_ref().map(|t| t.lines().filter(|l| !l.trim().is_empty()).count());
    if lines[0] != lines[1] {
        return Err(Failure::usage(format!(
            "{} has {} prompts and {} has {}",
            paths[0].display(),
            lines[0],
            paths[1].display(),
            lines[1]
        ))
        .todo("line N of both files is a pair, so they need as many lines"));
    }
    let side = |i: usize| {
        texts[i].lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).map(move |(n, line)| Example {
            prompt: String::new(),
            text: line.replace("\\n", "\n"),
            positive: i == 0,
            group: format!("line {}", n + 1),
            origin: Origin { file: paths[i].clone(), line: n + 1 },
        })
    };
    Ok(side(0)
        .zip(side(1))
        .flat_map(|(mut p, n)| {
            p.group = n.group.clone();
            [p, n]
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str, label: Option<&str>) -> Result<Examples, Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("a file");
        read(&Source::Rows { file, label: label.map(String::from) })
    }

    #[test]
    fn the_three_formats_give_the_same_pairs() {
        let json = "{\"positive\": \"a, b\", \"negative\": \"c\", \"group\": \"g\"}\n\n{\"negative\": \"e\", \"positive\": \"d\"}";
        let csv = "positive,negative,group\n\"a, b\",c,g\nd,e,line 3\n";
        let tsv = "positive\tnegative\tgroup\na, b\tc\tg\nd\te\tline 3\n";
        let texts = |e: &Examples| -> Vec<(String, bool, String)> {
            e.all.iter().map(|e| (e.text.clone(), e.positive, e.group.clone())).collect()
        };
        let from_json = read_text("x.jsonl", json, None).expect("pairs");
        assert!(from_json.paired && from_json.counts() == [2, 2]);
        let list = format!("[{}]", json.replace("\n\n", ",\n"));
        for (name, text) in
            [("x.csv", csv), ("x.tsv", tsv), ("x.json", list.replace("}]", ", \"group\": \"line 3\"}]").as_str())]
        {
            assert_eq!(texts(&read_text(name, text, None).expect("pairs")), texts(&from_json), "{name}");
        }
    }

    #[test]
    fn lines_that_mislead_are_left_out_and_counted() {
        let text = r#"{"positive": "a", "negative": "b"}
{"positive": "a"
[1, 2]
{"positive": "a", "negative": "b"}
{"positive": "", "negative": "b2"}
{"positive": "same", "negative": "same"}
{"positive": "b", "negative": "other"}
{"positive": {}, "negative": "x"}
{"positive": "p", "negative": "n"}"#;
        let found = read_text("x.jsonl", text, None).expect("some are left");
        let p = &found.problems;
        let counts = [Kind::Broken, Kind::Duplicate, Kind::Empty, Kind::BothClasses, Kind::Field].map(|k| p.of(k));
        // "b" is negative in line 1 and positive in line 7: both go.
        assert_eq!(counts, [2, 1, 1, 3, 1], "{:?}", p.lines());
        let left: Vec<&str> = found.all.iter().map(|e| e.text.as_str()).collect();
        assert_eq!(left, ["p", "n"]);
    }

    #[test]
    fn labels_are_two_or_one_is_named() {
        let text = "text,label\na,1\nb,0\nc,0\n";
        let two = read_text("x.csv", text, None).expect("labels");
        assert_eq!((two.counts(), &two.names[0][..], &two.names[1][..]), ([1, 2], "1", "0"));
        let three = format!("{text}d,2\n");
        assert!(read_text("x.csv", &three, None).unwrap_err().to_string().contains("--label"));
        let named = read_text("x.csv", &three, Some("0")).expect("labels");
        assert_eq!((named.counts(), &named.names[1][..]), ([2, 2], "the rest"));
        assert!(read_text("x.csv", &three, Some("7")).unwrap_err().to_string().contains("no text has this label"));
        assert!(read_text("x.csv", "text,label\na,1\nb,1\n", None).unwrap_err().to_string().contains("two classes"));
        assert!(read_text("x.csv", "a,b\n1,2\n", None).unwrap_err().to_string().contains("`positive` and `negative`"));
    }

    #[test]
    fn prompt_files_are_paired_by_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let (positive, negative) = (folder.path().join("p.txt"), folder.path().join("n.txt"));
        std::fs::write(&positive, "one\\ntwo\n\nthree\n").expect("a file");
        std::fs::write(&negative, "four\nfive\n").expect("a file");
        let source = Source::Prompts { positive: positive.clone(), negative: negative.clone() };
        let found = read(&source).expect("pairs");
        let texts: Vec<&str> = found.all.iter().map(|e| e.text.as_str()).collect();
        assert_eq!(texts, ["one\ntwo", "four", "three", "five"]);
        std::fs::write(&negative, "four\n").expect("a file");
        assert!(read(&source).unwrap_err().to_string().contains("1"));
    }
}

//! `explain`: the documentation of a profile key.

use evenkeel_core::profile::{KEYS, Key, explain};
use owo_colors::OwoColorize;
use serde_json::json;

use crate::{
    args,
    failure::{Failure, Outcome, Verdict},
    screen,
};

pub fn main(args: &args::Explain, as_json: bool) -> Outcome {
    match &args.key {
        None if as_json => screen::json(&KEYS.iter().map(fields).collect::<Vec<_>>()),
        None => all(),
        Some(path) => {
            let text = explain(path).map_err(Failure::usage)?;
            let name = text.lines().next().unwrap_or_default();
            match KEYS.iter().find(|k| k.path == name) {
                Some(key) if as_json => screen::json(&fields(key)),
                _ => {
                    let rest = text.strip_prefix(name).unwrap_or(&text);
                    anstream::println!("{}{rest}", name.bold());
                }
            }
        }
    }
    Ok(Verdict::Good)
}

fn fields(key: &Key) -> serde_json::Value {
    json!({
        "key": key.path,
        "type": format!("{:?}", key.kind).to_lowercase(),
        "unit": key.unit,
        "allowed": key.allowed,
        "default": key.default,
        "doc": key.doc,
    })
}

fn all() {
    let mut table = screen::table(["key", "default", "what it does"]);
    for key in KEYS {
        table.add_row([key.path.bold().to_string(), key.default.to_owned(), first_sentence(key.doc).to_owned()]);
    }
    screen::print(&table);
    println!("\n`evenkeel explain KEY` tells more about one.");
}

fn first_sentence(text: &str) -> &str {
    text.split_inclusive(". ").next().unwrap_or(text).trim_end()
}

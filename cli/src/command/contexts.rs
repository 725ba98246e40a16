//! `check --prompt` under `[contrast]`: which tokens of a prompt are left out of the request without its contexts.

use std::path::Path;

use evenkeel_core::{
    contrast::{Without, without},
    invariance::{Pairs, pairs},
    load::Loaded,
    profile::ContrastTable,
};
use evenkeel_ffi::host::{Llama, LogLevel, Model, ModelOptions};
use owo_colors::OwoColorize;
use serde::Serialize;

use super::segments::markers;
use crate::{
    args::LlamaChoice,
    failure::{Failure, Outcome, Verdict},
    locate, screen,
};

/// One piece of the prompt.
#[derive(Serialize)]
struct Piece {
    part: String,
    first: i32,
    tokens: usize,
    text: String,
}

/// Shows it. Bad if the request would be refused, or if there is no context.
pub fn main(
    table: &ContrastTable,
    loaded: &Loaded,
    (model, prompt): (&Path, &Path),
    choice: &LlamaChoice,
    as_json: bool,
) -> Outcome {
    let (texts, instead) = match &table.contrast.without {
        Without::Contexts { markers, instead } => (markers, instead),
        other => {
            let is = if *other == Without::Image { "\"image\"" } else { "attention" };
            return Err(Failure::usage(format!(
                "{}: --prompt shows contexts between markers, and contrast.without is {is}, which leaves all text as it is",
                loaded.path.display()
            )));
        }
    };
    let text = std::fs::read_to_string(prompt).map_err(|e| Failure::usage(format!("{}: {e}", prompt.display())))?;
    let llama = Llama::open(&locate::llama(choice)?)?;
    llama.show_log(LogLevel::Silent);
    let model = Model::load(&llama, model, ModelOptions::default())?;
    let tokens = model.tokenize(&text, true)?;
    let instead = instead.as_ref().map_or(Ok(vec![]), |text| model.tokenize_within(text))?;
    let found = markers(&model, "contrast.without", texts)
        .map_err(|why| format!("{}: {why}", loaded.path.display()))
        .and_then(|markers| pairs(&markers, &tokens, |token| model.piece(token)).map_err(|e| e.to_string()));
    let found = found.and_then(|pairs| match (pairs.open, pairs.closed.is_empty()) {
        (Some(open), _) => Err(format!("position {open}: the context that begins here does not end")),
        (None, true) => Err(format!("no context: nothing in it is \"{}\"", texts.open)),
        (None, false) if without(&pairs, &tokens, &instead).is_empty() => {
            Err("nothing is left of the prompt without its context".to_owned())
        }
        (None, false) => Ok(pairs),
    });
    match found {
        Ok(pairs) => show(&pieces(&model, (&tokens, &instead), &pairs), as_json),
        Err(why) if as_json => {
            screen::json(&serde_json::json!({ "ok": false, "error": why, "tokens": tokens.len() }));
            Ok(Verdict::Bad)
        }
        Err(why) => {
            anstream::eprintln!("{} {}: {why}", "error:".red().bold(), prompt.display());
            Ok(Verdict::Bad)
        }
    }
}

fn pieces(model: &Model, (tokens, instead): (&[i32], &[i32]), pairs: &Pairs) -> Vec<Piece> {
    let (mut pieces, mut at) = (vec![], 0);
    let mut piece = |part: String, first: i32, own: &[i32]| {
        if !own.is_empty() {
            pieces.push(Piece { part, first, tokens: own.len(), text: model.text(own) });
        }
    };
    let of = |first: i32, end: i32| &tokens[first as usize..end as usize];
    for (i, span) in pairs.closed.iter().enumerate() {
        piece("stays".into(), at, of(at, span.first));
        piece(format!("context {}", i + 1), span.first, of(span.first, span.end));
        piece("instead".into(), span.first, instead);
        at = span.end;
    }
    piece("stays".into(), at, of(at, tokens.len() as i32));
    pieces
}

fn show(pieces: &[Piece], as_json: bool) -> Outcome {
    let left: usize = pieces.iter().filter(|p| ["stays", "instead"].contains(&&*p.part)).map(|p| p.tokens).sum();
    if as_json {
        screen::json(&serde_json::json!({ "ok": true, "pieces": pieces, "without": left }));
        return Ok(Verdict::Good);
    }
    let mut table = screen::table(["part", "first", "tokens", "text"]);
    for p in pieces {
        table.add_row([p.part.clone(), p.first.to_string(), p.tokens.to_string(), screen::quoted(&p.text)]);
    }
    screen::print(&table);
    println!("\nWithout its contexts the prompt has {left} tokens.");
    Ok(Verdict::Good)
}

//! `check --prompt`: how a prompt is cut into prefix, segments and suffix.

use std::path::Path;

use evenkeel_core::{
    invariance::{Cut, Marker, MarkerTexts, Markers, Region, cut},
    load::Loaded,
};
use evenkeel_ffi::host::{Llama, LogLevel, Model, ModelOptions};
use owo_colors::OwoColorize;
use serde::Serialize;

use super::contexts;
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
    /// The piece's tokens, where it is tokenised by itself, are others.
    alone: Option<usize>,
}

/// Shows it. Bad if the request would be refused, or if a segment's tokens depend on what stands beside it.
pub fn main(loaded: &Loaded, (model, prompt): (&Path, &Path), choice: &LlamaChoice, as_json: bool) -> Outcome {
    if let Some(table) = &loaded.profile.contrast {
        return contexts::main(table, loaded, (model, prompt), choice, as_json);
    }
    let table = loaded.profile.invariance.as_ref();
    let Some(texts) = table.and_then(|t| t.invariance.markers.as_ref()) else {
        return Err(Failure::usage(format!("{}: has no markers of segments or contexts", loaded.path.display()))
            .todo("add to [invariance]: segments = { open = \"<doc>\", close = \"</doc>\" }, or to [contrast] the same as without"));
    };
    let text = std::fs::read_to_string(prompt).map_err(|e| Failure::usage(format!("{}: {e}", prompt.display())))?;
    let llama = Llama::open(&locate::llama(choice)?)?;
    llama.show_log(LogLevel::Silent);
    let model = Model::load(&llama, model, ModelOptions::default())?;
    let tokens = model.tokenize(&text, true)?;
    let found = markers(&model, "invariance.segments", texts)
        .and_then(|markers| cut(&markers, &tokens, |token| model.piece(token)).map_err(|e| e.to_string()));
    let region = match found {
        Ok(Cut::Whole(region)) => Ok(region),
        Ok(Cut::Nothing) => Err(format!("no segment: nothing in it is \"{}\"", texts.open)),
        Ok(Cut::Open(why)) => Err(why.to_owned()),
        Err(why) => Err(why),
    };
    let max = table.map_or(0, |t| t.invariance.max_segments) as usize;
    let region = region.and_then(|region| match region.lengths().len() {
        n if n > max => Err(format!("{n} segments, and invariance.max-segments is {max}")),
        _ => Ok(region),
    });
    match region {
        Ok(region) => show(&pieces(&model, &tokens, &region)?, &region, as_json),
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

/// What the markers that stand at a key are in this vocabulary.
pub fn markers(model: &Model, at: &str, texts: &MarkerTexts) -> Result<Markers, String> {
    let marker = |key: &str, text: &str| {
        let special = (0..model.n_vocab() as i32).find(|t| model.is_special(*t) && model.piece(*t) == text.as_bytes());
        match special {
            Some(token) => Ok(Marker::Token(token)),
            None if texts.in_text => Ok(Marker::Text(text.trim().as_bytes().to_vec())),
            None => Err(format!(
                "{at}.{key}: no special token of this model, got \"{text}\", allowed: the text of one, or any \
                 text with markers-in-text = true"
            )),
        }
    };
    Ok(Markers { open: marker("open", &texts.open)?, close: marker("close", &texts.close)? })
}

fn pieces(model: &Model, tokens: &[i32], region: &Region) -> Result<Vec<Piece>, Failure> {
    // What llama.cpp puts before every text.
    let begin = model.tokenize("", true)?;
    let piece = |part: String, first: i32, end: i32| -> Result<Piece, Failure> {
        let own = &tokens[first as usize..end as usize];
        let text = model.text(own);
        let alone = model.tokenize(&text, true)?;
        let alone = alone.strip_prefix(&begin[..]).unwrap_or(&alone);
        let segment = part.starts_with("segment");
        Ok(Piece { part, first, tokens: own.len(), text, alone: (segment && alone != own).then_some(alone.len()) })
    };
    let mut pieces = vec![piece("prefix".into(), 0, region.first())?];
    let mut at = region.first();
    for (i, span) in region.spans().enumerate() {
        if span.first > at {
            pieces.push(piece("white space, not seen".into(), at, span.first)?);
        }
        pieces.push(piece(format!("segment {}", i + 1), span.first, span.end)?);
        at = span.end;
    }
    pieces.push(piece("suffix".into(), at, tokens.len() as i32)?);
    Ok(pieces)
}

fn show(pieces: &[Piece], region: &Region, as_json: bool) -> Outcome {
    let differ = pieces.iter().filter(|p| p.alone.is_some()).count();
    let verdict = if differ == 0 { Verdict::Good } else { Verdict::Bad };
    if as_json {
        screen::json(&serde_json::json!({ "ok": differ == 0, "pieces": pieces, "micro_batch": region.n_cells() }));
        return Ok(verdict);
    }
    let mut table = screen::table(["part", "first", "tokens", "text"]);
    for p in pieces {
        table.add_row([p.part.clone(), p.first.to_string(), p.tokens.to_string(), screen::quoted(&p.text)]);
    }
    screen::print(&table);
    println!("\nThe segments take {} tokens: a micro-batch (-ub) must have as many.", region.n_cells());
    for p in pieces.iter().filter(|p| p.alone.is_some()) {
        anstream::println!(
            "{} {}: its text alone is {} tokens, here it is {}: what stands beside it decides",
            "problem:".red().bold(),
            p.part,
            p.alone.unwrap_or_default(),
            p.tokens
        );
    }
    Ok(verdict)
}

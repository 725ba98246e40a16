//! `check`: a profile and its vectors, and whether they fit a model.

use std::{fmt::Display, path::Path};

use evenkeel_core::{
    load::{Loaded, load},
    model::ModelFacts,
    report::Errors,
    vocabulary::Vocabulary,
};
use owo_colors::OwoColorize;
use serde::Serialize;
use serde_json::json;

use super::segments;
use crate::{
    args,
    failure::{Failure, Outcome, Verdict},
    screen,
    session::check_model_file,
};

/// One line of a report.
#[derive(Serialize)]
struct Complaint {
    file: String,
    line: Option<u32>,
    column: Option<u32>,
    key: String,
    error: String,
}

pub fn main(args: &args::Check, as_json: bool) -> Outcome {
    refuse_gguf(&args.profile)?;
    let model = args.model.as_deref().map(|path| facts(path).map(|m| (path, m))).transpose()?;
    let loaded = match load(&args.profile) {
        Ok(loaded) => loaded,
        Err(errors) => return complain(&errors, as_json),
    };
    let plan = match &model {
        None => None,
        Some((path, facts)) => match loaded.plan_with(facts, vocabulary(&loaded, path)?.as_ref()) {
            Ok(plan) => Some(plan),
            Err(errors) => return complain(&errors, as_json),
        },
    };
    let dropped: Vec<String> = (plan.iter().flat_map(|p| &p.rules))
        .filter_map(|r| r.dropped.as_ref().map(|why| format!("rule {} does nothing: {why}", r.name)))
        .collect();
    if let (Some((model, _)), Some(prompt)) = (&model, &args.prompt) {
        return segments::main(&loaded, (model, prompt), &args.llama, as_json);
    }
    if as_json {
        screen::json(&json!({
            "ok": true,
            "profile": args.profile,
            "rules": loaded.profile.steer.len() + loaded.profile.calibrate.len(),
            "model": args.model,
            "notes": dropped,
        }));
        return Ok(Verdict::Good);
    }
    let rules = loaded.profile.steer.len() + loaded.profile.calibrate.len();
    let fits = match &model {
        Some((path, facts)) => {
            format!(" It fits {} ({}, {} layers, width {}).", path.display(), facts.arch, facts.n_layer, facts.n_embd)
        }
        None => String::new(),
    };
    let counted = if rules == 1 { "1 rule".into() } else { format!("{rules} rules") };
    anstream::println!("{} {}: {counted}, all files read.{fits}", "ok".green().bold(), args.profile.display());
    dropped.iter().for_each(|note| anstream::println!("{} {note}", "note:".yellow().bold()));
    if model.is_none() && rules > 0 {
        anstream::println!("{}", "Whether it fits a model: evenkeel check PROFILE --model MODEL.gguf".dimmed());
    }
    Ok(Verdict::Good)
}

/// Prints all errors of a profile.
pub fn complain<E: Display>(errors: &Errors<E>, as_json: bool) -> Outcome {
    let complaints: Vec<Complaint> = errors
        .iter()
        .map(|e| Complaint {
            file: e.file.to_string(),
            line: e.pos.map(|p| p.line),
            column: e.pos.map(|p| p.col),
            key: e.key.clone(),
            error: e.error.to_string(),
        })
        .collect();
    if as_json {
        screen::json(&json!({ "ok": false, "errors": complaints, "omitted": errors.omitted() }));
        return Ok(Verdict::Bad);
    }
    for e in errors.iter() {
        let text = e.to_string();
        let place = text.strip_suffix(&e.error.to_string()).unwrap_or_default();
        anstream::eprintln!("{}{}", place.bold(), e.error);
    }
    let n = complaints.len() + errors.omitted();
    let more = if errors.omitted() > 0 { format!(", {} of them not shown", errors.omitted()) } else { String::new() };
    anstream::eprintln!("{} {n} {}{more}", "error:".red().bold(), if n == 1 { "mistake" } else { "mistakes" });
    Ok(Verdict::Bad)
}

/// Tells those who named a model or a vector instead of the profile.
fn refuse_gguf(profile: &Path) -> Result<(), Failure> {
    use std::io::Read;
    let mut magic = [0u8; 4];
    // A pipe would be waited for; whatever else is wrong with the file is told when it is read.
    let named = profile.is_file() && std::fs::File::open(profile).and_then(|mut f| f.read_exact(&mut magic)).is_ok();
    match &magic {
        b"GGUF" if named => Err(Failure::usage(format!("profile {}: is a GGUF file", profile.display()))
            .todo("name a TOML file; the model goes with --model, the vector is named in the profile")),
        _ => Ok(()),
    }
}

/// What a model file says about itself.
pub fn facts(path: &Path) -> Result<ModelFacts, Failure> {
    check_model_file(path)?;
    ModelFacts::read(path).map_err(|e| Failure::usage(format!("model {}: {e}", path.display())))
}

/// The tokens of a model, if the profile has labels to look up.
fn vocabulary(loaded: &Loaded, path: &Path) -> Result<Option<Vocabulary>, Failure> {
    if !loaded.needs_vocabulary() {
        return Ok(None);
    }
    Vocabulary::read(path).map_err(|e| Failure::usage(format!("model {}: {e}", path.display())))
}

/// A profile with a model, or all that is wrong.
pub fn plan(
    profile: &Path,
    model: &Path,
    as_json: bool,
) -> Result<Result<evenkeel_core::plan::Plan, Verdict>, Failure> {
    refuse_gguf(profile)?;
    let facts = facts(model)?;
    let planned = |loaded: &Loaded| match loaded.plan_with(&facts, vocabulary(loaded, model)?.as_ref()) {
        Ok(plan) => Ok(Ok(plan)),
        Err(errors) => complain(&errors, as_json).map(Err),
    };
    match load(profile) {
        Ok(loaded) => planned(&loaded),
        Err(errors) => complain(&errors, as_json).map(Err),
    }
}

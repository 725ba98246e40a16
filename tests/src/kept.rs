//! What becomes of cells that a host kept from an earlier request, where the next one runs under another profile: tried on
//! each host, and compared with the table in the README.
//!
//! Each way of keeping is used under one profile first, which shows that the host does keep cells that way, and then under
//! another: the answer has to be that of a server that kept nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use evenkeel_model::{Arch, FileType};
use serde_json::{Value, json};

use crate::cache::source;
use crate::completion::steps;
use crate::host::{Arguments, CHost, Decode, Server, ServerKind};
use crate::serving::{Answer, Ask, Profiles};
use crate::{Door, Recording, Row, Scratch, Setting, mutant};

/// How far log-probabilities may be from those of a server that kept nothing: batches of other shapes move them by less,
/// another profile by more.
const TOLERANCE: f64 = 1e-3;

/// What became of another profile's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They were evaluated again, or given up.
    Enforced,
    /// They stayed, and the log says so.
    Pinned,
    /// They were taken for the new profile's.
    Lied,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Enforced => "enforced",
            Fate::Pinned => "pinned",
            Fate::Lied => "NOT NOTICED",
        })
    }
}

/// A column of the table: what was seen on one host, by way of keeping.
pub type Column = BTreeMap<&'static str, Fate>;

const PREFIX: &str = "the prefix that a sequence has";
const FILE: &str = "slot files";
const MEMORY: &str = "the prompt cache in memory";
const CHUNK: &str = "chunks moved by `n_cache_reuse`";
const SHIFT: &str = "what a context shift left";
const COPY: &str = "cells copied for `n_cmpl`";
const UNSEEN: &str = "the prefix, its end removed where nobody sees it";

/// The profile of the request before, and of the next.
const BEFORE: &str = "ablate";
const AFTER: &str = "strong";

/// The fate of what is kept by a server, in every way that it has.
///
/// # Panics
/// When the server does not keep anything in one of its ways, or the library says that something is wrong.
pub fn by_a_server(kind: ServerKind) -> Column {
    of_a_server(kind, &Setting::new())
}

/// The same with a library that does not look at what cells were computed under: each way has to tell.
///
/// # Panics
/// As [`by_a_server`], and where that is not noticed.
pub fn a_library_that_lies_is_caught(kind: ServerKind) {
    let column = of_a_server(kind, &mutant("identity"));
    assert!(column.values().all(|fate| *fate == Fate::Lied), "{column:#?}");
}

fn of_a_server(kind: ServerKind, setting: &Setting) -> Column {
    let scratch = Scratch::new();
    let folder = scratch.path("slots");
    fs::create_dir(&folder).expect("a folder");
    let profiles = Profiles::new(&scratch, Arch::Llama);
    profiles.usual();
    let base = Arguments::new(&scratch.model(Arch::Llama, FileType::F32)).exact();
    let arguments = match kind {
        ServerKind::Xllamacpp => base.extra(format!("slot_save_path={}/", folder.display())).extra("ctx_shift=true"),
        _ => base.extra("--slot-save-path").extra(format!("{}/", folder.display())).extra("--context-shift"),
    };
    let on = |slots: u32| Server::start(kind, &arguments.clone().parallel(slots), &profiles.setting().and(setting));
    let (one, two) = (on(1), on(2));
    let prompt: Vec<u32> = (0..40).map(|i| 1 + (i * 29) % 250).collect();
    let longer: Vec<u32> = prompt.iter().copied().chain([60, 61, 62]).collect();
    let other: Vec<u32> = (0..40).map(|i| 299 - (i * 31) % 250).collect();
    let ask = |prompt: &[u32], profile: &str| Ask::tokens(prompt).under(profile).warm();
    let mut column = Column::new();

    column.insert(
        PREFIX,
        fate(&one, PREFIX, |next| {
            ask(&prompt, BEFORE).send(&one);
            (longer.clone(), vec![ask(&longer, next).send(&one)])
        }),
    );
    column.insert(
        FILE,
        fate(&two, FILE, |next| {
            let slot = |slot: u32, action: &str| {
                let path = format!("/slots/{slot}?action={action}");
                two.post(&path, &json!({ "filename": "kept.bin" })).unwrap_or_else(|e| panic!("{action}: {e}"));
            };
            ask(&prompt, BEFORE).on(0).send(&two);
            slot(0, "save");
            slot(1, "erase");
            slot(1, "restore");
            (longer.clone(), vec![ask(&longer, next).on(1).send(&two)])
        }),
    );
    column.insert(
        MEMORY,
        fate(&one, MEMORY, |next| {
            ask(&prompt, BEFORE).send(&one);
            ask(&other, BEFORE).send(&one);
            (longer.clone(), vec![ask(&longer, next).send(&one)])
        }),
    );
    column.insert(
        CHUNK,
        fate(&one, CHUNK, |next| {
            let without: Vec<u32> = prompt[..6].iter().chain(&prompt[14..]).copied().chain([60, 61]).collect();
            ask(&prompt, BEFORE).send(&one);
            let answer = send(&one, &ask(&without, next), &json!({ "n_cache_reuse": 8 }));
            // More than the prefix of six.
            let moved = Answer { cached: answer[0].cached.saturating_sub(6), ..answer[0].clone() };
            (without, vec![moved])
        }),
    );
    column.insert(
        SHIFT,
        fate(&one, SHIFT, |next| {
            let long = Ask { predict: 480, ..ask(&prompt, BEFORE) };
            let discard = 200;
            let answer = send(&one, &long, &json!({ "n_keep": 0, "n_discard": discard })).remove(0);
            let all: Vec<u32> = prompt.iter().copied().chain(answer.tokens().iter().map(|t| *t as u32)).collect();
            assert!(all.len() > 512, "{} tokens are more than fit", all.len());
            // A token that every prompt begins with is kept.
            let kept: Vec<u32> = all[..1].iter().chain(&all[1 + discard..]).copied().collect();
            (kept.clone(), vec![ask(&kept, next).send(&one)])
        }),
    );
    column.insert(
        COPY,
        fate(&two, COPY, |next| {
            for slot in 0..2 {
                ask(&prompt, BEFORE).on(slot).send(&two);
            }
            (longer.clone(), send(&two, &ask(&longer, next), &json!({ "n_cmpl": 2 })))
        }),
    );
    for server in [&one, &two] {
        assert!(!server.log().contains("evenkeel: error"), "{}", server.log());
    }
    column
}

/// Sends a request with further fields; its answers, of which there are several where it asks for them.
fn send(server: &Server, ask: &Ask, fields: &Value) -> Vec<Answer> {
    let mut body = ask.body();
    for (key, value) in fields.as_object().expect("fields") {
        body[key] = value.clone();
    }
    let answer = server.post("/completion", &body).unwrap_or_else(|e| panic!("{e}\n{}", server.log()));
    let one =
        |answer: &Value| Answer { steps: steps(answer), cached: answer["timings"]["cache_n"].as_u64().unwrap_or(0) };
    answer.as_array().map_or_else(|| vec![one(&answer)], |all| all.iter().map(one).collect())
}

/// `way` lets the server keep cells and asks under a profile; it returns the prompt and the answers.
fn fate(server: &Server, what: &str, way: impl Fn(&str) -> (Vec<u32>, Vec<Answer>)) -> Fate {
    let (_, same) = way(BEFORE);
    assert!(same.iter().any(|a| a.cached > 0), "{what}: nothing is kept\n{}", server.log());
    let (prompt, answers) = way(AFTER);
    let fresh = Ask::tokens(&prompt).under(AFTER).send(server);
    let stale = Ask::tokens(&prompt).under(BEFORE).send(server);
    assert!(fresh.distance(&stale) > TOLERANCE, "{what}: the two profiles differ");
    if answers.iter().all(|a| a.distance(&fresh) < TOLERANCE) {
        return Fate::Enforced;
    }
    if server.log().contains("stay, because their") { Fate::Pinned } else { Fate::Lied }
}

/// The same of a program on llama.cpp that changes the profile between prompt and answer; `unseen`: it looks functions up by
/// hand, so that nobody sees what it removes.
///
/// # Panics
/// When the profiles do not differ.
pub fn by_a_program(unseen: bool) -> Column {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let profiles = Profiles::new(&scratch, Arch::Llama);
    profiles.usual();
    let base = Decode { sequences: 2, wide_cache: true, ..Decode::new(&scratch.model(Arch::Llama, FileType::F32)) };
    let all = |name: &str| (0..2).map(|s| (s, name.to_owned())).collect::<Vec<_>>();
    let mut column = Column::new();
    let ways: &[(&'static str, u32)] = if unseen { &[(PREFIX, 0), (UNSEEN, 4)] } else { &[(PREFIX, 0)] };
    for &(what, back) in ways {
        let hidden = unseen.then(CHost::library_of_node_llama_cpp);
        let base = Decode { back, hidden, ..base.clone() };
        let run = |begin: &str, later: Option<&str>| {
            let decode = Decode { choose: all(begin), later: later.map(str::to_owned), ..base.clone() };
            answered(&host.with(&decode, Door::Preload, &profiles.setting()))
        };
        let (switched, fresh, stale) = (run(BEFORE, Some(AFTER)), run(AFTER, None), run(BEFORE, None));
        assert!(far(&fresh, &stale) > 0.2, "{what}: the profiles differ");
        let near = far(&switched, &fresh);
        column.insert(what, if near < 1e-2 { Fate::Enforced } else { Fate::Lied });
    }
    column
}

/// The rows after the prompt.
fn answered(recording: &Recording) -> Vec<Row> {
    recording.rows.iter().filter(|row| row.label.starts_with("decode")).cloned().collect()
}

fn far(a: &[Row], b: &[Row]) -> f32 {
    assert!(!a.is_empty() && a.len() == b.len());
    let gap = |(x, y): (&u32, &u32)| (f32::from_bits(*x) - f32::from_bits(*y)).abs();
    let row = |(x, y): (&Row, &Row)| x.logits.iter().zip(&y.logits).map(gap).fold(0.0, f32::max);
    a.iter().zip(b).map(row).fold(0.0, f32::max)
}

/// Prints what was seen, and compares it with the column of this name in the README: row by row, none missing and none too
/// many.
///
/// # Panics
/// When the README says otherwise; the message has its rows as they should be.
pub fn is_in_the_readme(host: &str, seen: &Column) {
    println!("{host}:");
    seen.iter().for_each(|(what, fate)| println!("  {what}: {fate}"));
    let readme = fs::read_to_string(source("../../README.md")).expect("the README");
    let cells =
        |line: &str| -> Vec<String> { line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect() };
    let lines: Vec<&str> = readme.lines().collect();
    let head = lines.iter().position(|line| line.starts_with("| kept ")).expect("the README's table of what is kept");
    let column = cells(lines[head]).iter().position(|name| name == host);
    let column = column.unwrap_or_else(|| panic!("the README's table has no column \"{host}\""));
    let rows = lines[head + 2..].iter().take_while(|line| line.starts_with('|')).map(|line| cells(line));
    let said: BTreeMap<String, String> = rows.map(|row| (row[0].clone(), row[column].clone())).collect();
    let absent = "–".to_owned();
    let expected: BTreeMap<String, String> =
        seen.iter().map(|(what, fate)| ((*what).to_owned(), fate.to_string())).collect();
    for what in said.keys().chain(expected.keys()) {
        let (said, seen) = (said.get(what), expected.get(what).unwrap_or(&absent));
        assert_eq!(said, Some(seen), "README, \"{what}\", column \"{host}\": seen was {expected:#?}");
    }
}

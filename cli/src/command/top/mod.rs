//! `top`: the counters of running programs.

mod look;
mod show;
mod view;

use std::{
    collections::HashMap,
    io::IsTerminal as _,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use evenkeel_core::snapshot::Place;
use owo_colors::OwoColorize;
use serde_json::json;

use self::{
    look::{Look, Snapshot, look},
    view::{IDLE_MS, View},
};
use crate::{
    args,
    failure::{Failure, Outcome, Verdict},
    screen,
};

/// How long a single look waits for a second snapshot, which comes after a second where something runs.
const SECOND_LOOK: Duration = Duration::from_millis(2000);

pub fn main(args: &args::Top, json: bool) -> Outcome {
    let folders = folders(args)?;
    if json || args.once || !std::io::stdout().is_terminal() {
        once(args, &folders, json)
    } else {
        watch(args, &folders)
    }
}

/// Where to look: what was typed, else what the environment says, else where a program writes that says nothing more than 1.
fn folders(args: &args::Top) -> Result<Vec<PathBuf>, Failure> {
    if let Some(folder) = &args.folder {
        return Ok(vec![folder.clone()]);
    }
    Ok(Place::of(std::env::var_os("EVENKEEL_STATS").as_deref()).map_err(Failure::usage)?.folders())
}

/// Keeps what is needed for rates.
#[derive(Default)]
struct Looks {
    /// By process: the snapshot before the last one, and the last one.
    seen: HashMap<u32, (Option<Snapshot>, Snapshot)>,
}

impl Looks {
    fn add(&mut self, now: &Look) {
        self.seen.retain(|pid, _| now.snapshots.iter().any(|(s, _)| s.pid == *pid));
        for (snapshot, _) in &now.snapshots {
            let seen = self.seen.entry(snapshot.pid).or_insert_with(|| (None, snapshot.clone()));
            if seen.1.unix_ms != snapshot.unix_ms {
                let before = std::mem::replace(&mut seen.1, snapshot.clone());
                seen.0 = Some(before);
            }
        }
    }

    fn views(&self, now: &Look) -> Vec<View> {
        let view = |(snapshot, alive): &(Snapshot, Option<bool>)| {
            let earlier = self.seen.get(&snapshot.pid).and_then(|(before, _)| before.as_ref());
            View::of(earlier, snapshot, *alive, unix_ms())
        };
        now.snapshots.iter().map(view).collect()
    }

    /// Whether a process that runs was seen only once.
    fn lacks_rates(&self, now: &Look) -> bool {
        let fresh = |s: &Snapshot| unix_ms().saturating_sub(s.unix_ms) <= IDLE_MS;
        let once = |s: &Snapshot| self.seen.get(&s.pid).is_none_or(|(before, _)| before.is_none());
        now.snapshots.iter().any(|(s, _)| fresh(s) && once(s))
    }
}

fn look_for(args: &args::Top, folders: &[PathBuf]) -> Look {
    let mut now = look(folders);
    now.snapshots.retain(|(s, _)| args.pid.is_none_or(|pid| pid == s.pid));
    now
}

fn once(args: &args::Top, folders: &[PathBuf], json: bool) -> Outcome {
    let (mut looks, start) = (Looks::default(), Instant::now());
    let mut now = look_for(args, folders);
    let removed = std::mem::take(&mut now.removed);
    looks.add(&now);
    while looks.lacks_rates(&now) && start.elapsed() < SECOND_LOOK {
        sleep(Duration::from_millis(50));
        now = look_for(args, folders);
        looks.add(&now);
    }
    let views = looks.views(&now);
    if views.is_empty()
        && let Some(pid) = args.pid
    {
        return Err(missing(pid, folders));
    }
    let verdict = if views.is_empty() { Verdict::Bad } else { Verdict::Good };
    if json {
        screen::json(&json!({ "folders": folders, "processes": views, "removed": removed, "problems": now.problems }));
        return Ok(verdict);
    }
    anstream::print!("{}{}", show::text(&views), below(&views, &removed, &now.problems, folders));
    Ok(verdict)
}

/// Draws anew until the user has seen enough.
fn watch(args: &args::Top, folders: &[PathBuf]) -> Outcome {
    let mut looks = Looks::default();
    let mut removed = Vec::new();
    anstream::print!("\x1b[2J");
    loop {
        let mut now = look_for(args, folders);
        removed.append(&mut now.removed);
        looks.add(&now);
        let views = looks.views(&now);
        let mut text = show::text(&views);
        match args.pid.filter(|_| views.is_empty()) {
            Some(pid) => text.push_str(&format!("{}\n", missing(pid, folders))),
            None => text.push_str(&below(&views, &removed, &now.problems, folders)),
        }
        screen::redraw(&text);
        sleep(Duration::from_secs(args.every));
    }
}

/// What is said after the processes.
fn below(views: &[View], removed: &[u32], problems: &[String], folders: &[PathBuf]) -> String {
    let mut text = String::new();
    if views.is_empty() {
        let places: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        text.push_str(&format!(
            "No running process has counters in {}.\nStart your program with EVENKEEL_STATS=1 beside EVENKEEL_PROFILE, as the same \
             user; it writes them from its first context on.\n",
            places.join(" or ")
        ));
    }
    for pid in removed {
        text.push_str(&format!("{} process {pid} is gone; what it left was removed\n", "stale:".dimmed()));
    }
    for problem in problems {
        text.push_str(&format!("{} {}\n", "problem:".red().bold(), show::plain(problem)));
    }
    text
}

/// Why there is nothing of the process that was named.
fn missing(pid: u32, folders: &[PathBuf]) -> Failure {
    let environ = std::fs::read(format!("/proc/{pid}/environ"));
    let asks = |environ: &[u8]| environ.split(|b| *b == 0).any(|v| v.starts_with(b"EVENKEEL_STATS="));
    let places: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
    let failure = Failure::usage(format!("process {pid} has no counters in {}", places.join(" or ")));
    match environ {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => failure.todo("there is no process of this number"),
        Err(_) => failure.todo("it is another user's: run this as that user"),
        Ok(environ) if asks(&environ) => failure.todo(format!(
            "it was started with EVENKEEL_STATS: `evenkeel doctor {pid}` tells whether the library is loaded, its log whether \
             there was an error"
        )),
        Ok(_) => failure.todo("it was started without EVENKEEL_STATS: set it to 1 beside EVENKEEL_PROFILE"),
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

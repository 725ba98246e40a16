//! The diagnosis on a terminal.

use owo_colors::OwoColorize;

use super::diagnosis::{Backends, Diagnosis, Llama};
use crate::screen;

pub fn show(d: &Diagnosis, plugin_found: bool) {
    let kind = if d.program { "program" } else { "library" };
    anstream::println!("{} {}", format!("{kind}  ").dimmed(), d.target.display());
    llama(d);
    backends(d);
    self_test(d);
    slots(d);
    process(d);
    if !d.unresolved.is_empty() && !matches!(d.llama, Llama::Shared(_)) {
        anstream::println!("{} {}", "not found".yellow(), d.unresolved.join(", "));
    }
    doors(d);
    if !plugin_found {
        anstream::println!(
            "\n{} libevenkeel.so is not beside this program: build it with `cargo build --release -p evenkeel`.",
            "note:".yellow().bold()
        );
    }
}

fn llama(d: &Diagnosis) {
    let text = match &d.llama {
        Llama::Shared(path) => path.display().to_string(),
        Llama::Inside(path) => format!("inside {}, nothing exported", path.display()),
        Llama::Absent => "none, neither in the file nor in what it is linked with".into(),
    };
    anstream::println!("{} {text}", "llama.cpp".dimmed());
}

fn backends(d: &Diagnosis) {
    let text = match &d.backends {
        Backends::Loaded(files) => {
            let name = |p: &std::path::PathBuf| {
                let name = p.file_name().unwrap_or_default().to_string_lossy().into_owned();
                name.trim_start_matches("libggml-").trim_end_matches(".so").to_owned()
            };
            format!("loaded at run time: {}", files.iter().map(name).collect::<Vec<_>>().join(", "))
        }
        Backends::Linked => "linked in".into(),
        Backends::Unknown => return,
    };
    anstream::println!("{} {text}", "backends ".dimmed());
}

fn self_test(d: &Diagnosis) {
    let Some(test) = &d.self_test else { return };
    if let Some((llama, ggml)) = &test.versions {
        let generation = test.generation.as_deref().unwrap_or("none that evenkeel is tested with");
        anstream::println!("{} llama.cpp {llama}, ggml {ggml}: {generation}", "version  ".dimmed());
    }
    let text = match &test.error {
        Some(error) => format!("{} {error}", "failed:".red().bold()),
        None if test.computed => {
            format!("{} structs and a rewritten graph, computed on {}", "passed:".green(), test.devices.join(", "))
        }
        None => format!("{} structs; no device to compute on", "passed:".green()),
    };
    anstream::println!("{} {text}", "self-test".dimmed());
}

fn slots(d: &Diagnosis) {
    if !matches!(d.llama, Llama::Shared(_)) {
        return;
    }
    if d.slots.iter().all(|s| s.through.is_some()) && d.missing.is_empty() {
        let n = d.slots.len();
        anstream::println!("{} all {n} calls to intercept go through the loader", "hooks    ".dimmed());
        return;
    }
    anstream::println!("\n{}", "Calls to intercept".bold());
    let mut table = screen::table(["", "function", "found"]);
    for slot in &d.slots {
        let mark = match (slot.through.is_some(), slot.required) {
            (true, _) => "✓".green().to_string(),
            (false, true) => "✗".red().to_string(),
            (false, false) => "–".yellow().to_string(),
        };
        let file = slot.file.as_ref().and_then(|f| f.file_name()).map(|n| format!(" in {}", n.to_string_lossy()));
        let found = match slot.through {
            Some("plt") => "goes through the procedure linkage table".to_owned(),
            Some("pointer") => "goes through a pointer that the loader fills".to_owned(),
            Some(_) => "exported, called by name".to_owned(),
            None if slot.required => "called directly, or not there".to_owned(),
            None => "not there; not needed".to_owned(),
        };
        table.add_row([mark, slot.name.to_owned(), found + &file.unwrap_or_default()]);
    }
    screen::print(&table);
    if !d.missing.is_empty() {
        anstream::println!("{} functions that the plug-in calls: {}", "missing".red().bold(), d.missing.join(", "));
    }
}

fn process(d: &Diagnosis) {
    let Some(process) = &d.process else { return };
    anstream::println!("\n{}", format!("Process {}", process.pid).bold());
    match &process.plugin {
        Some(path) => anstream::println!("  {} the plug-in is loaded: {}", "✓".green(), path.display()),
        None => anstream::println!("  {} the plug-in is not loaded", "✗".red()),
    }
    for (name, value) in &process.variables {
        anstream::println!("    {name}={value}");
    }
    for problem in &process.problems {
        anstream::println!("  {} {problem}", "problem:".red().bold());
    }
}

fn doors(d: &Diagnosis) {
    let same = d.doors.iter().all(|door| !door.open && door.why == d.doors[0].why);
    if same {
        let kind = if d.program { "program" } else { "library" };
        anstream::println!("\n{} {}", format!("This {kind} cannot be steered:").red().bold(), d.doors[0].why);
        if d.program && d.llama == Llama::Absent && d.process.is_none() {
            println!(
                "If it loads one while it runs (Python, Node), name that library, or the number of the running process."
            );
        }
        return;
    }
    anstream::println!("\n{}", "Ways in".bold());
    for door in &d.doors {
        let mark = if door.open { "✓".green().to_string() } else { "✗".red().to_string() };
        anstream::println!("  {mark} {:18} {}", door.name.bold(), door.why);
        if let Some(text) = &door.do_this {
            anstream::println!("    {}", text.cyan());
        }
    }
}

//! `doctor`: whether a program, a library or a running process can be steered, and how.

mod diagnosis;
mod doors;
mod hooks;
mod process;
mod self_test;
mod show;

use std::path::Path;

pub use self_test::main as self_test;

use self::diagnosis::{Llama, diagnose};
use crate::{
    args,
    elf::Scan,
    failure::{Failure, Outcome, Verdict},
    locate, screen,
};

pub fn main(args: &args::Doctor, json: bool) -> Outcome {
    let (scan, process) = match &args.target {
        None => (Scan::of(&locate::llama(&args.llama)?).map_err(Failure::new)?, None),
        Some(target) => match pid(target) {
            Some(pid) => process::Process::read(pid).map(|(process, scan)| (scan, Some(process)))?,
            None => (scan(target)?, None),
        },
    };
    let plugin = match locate::plugin(&args.plugin) {
        Err(failure) if args.plugin.plugin.is_some() => return Err(failure),
        found => found.ok(),
    };
    let mut diagnosis = diagnose(&scan);
    if let Llama::Shared(path) = &diagnosis.llama {
        let wait = screen::spinner("trying the library in a child process");
        // A library that is part of an interpreter's extension does not load by itself.
        diagnosis.self_test =
            path.extension().is_some_and(|_| loads_alone(&scan, path)).then(|| self_test::in_child(path));
        wait.finish_and_clear();
    }
    diagnosis.process = process;
    diagnosis.doors = doors::doors(&diagnosis, &scan, plugin.as_deref());
    if json {
        screen::json(&diagnosis);
    } else {
        show::show(&diagnosis, plugin.is_some());
    }
    let open = diagnosis.doors.iter().any(|d| d.open);
    let healthy = diagnosis.process.as_ref().is_none_or(|p| p.problems.is_empty());
    Ok(if open && healthy { Verdict::Good } else { Verdict::Bad })
}

/// A number that is no file: a process.
fn pid(target: &Path) -> Option<u32> {
    if target.exists() { None } else { target.to_str()?.parse().ok() }
}

fn scan(target: &Path) -> Result<Scan, Failure> {
    let found = if target.components().count() == 1 && !target.exists() { on_path(target) } else { None };
    let target = found.as_deref().unwrap_or(target);
    if target.is_dir() {
        let library = locate::below(target).ok_or_else(|| {
            Failure::usage(format!("{}: no libllama*.so in this folder", target.display()))
                .todo("name the folder of llama.cpp's shared libraries, or the library itself if it has another name")
        })?;
        return Scan::of(&library).map_err(Failure::new);
    }
    let mut scan = Scan::of(target).map_err(|e| {
        let failure = Failure::usage(&e);
        match &e {
            crate::elf::ImageError::NotElf { found, .. } if found.starts_with("a script") => {
                failure.todo("start it and name the process's number, or name the library it loads")
            }
            _ => failure.todo("name a program, a library, a folder of libraries or the number of a process"),
        }
    })?;
    if scan.defining("llama_decode").is_none() && scan.root().program {
        // Opened at run time, perhaps: from beside the program.
        let real = target.canonicalize().unwrap_or_else(|_| target.to_owned());
        let beside = locate::beside(real.parent()).and_then(|p| Scan::of(&p).ok());
        beside.into_iter().for_each(|s| scan.join(s));
    }
    Ok(scan)
}

/// A program found by the shell's search path.
fn on_path(name: &Path) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| p.is_file())
}

/// True if a file's imports can be satisfied without the interpreter it was made for.
fn loads_alone(scan: &Scan, path: &Path) -> bool {
    let image = scan.images.iter().find(|i| i.path == path);
    image.is_some_and(|i| !i.imports.keys().any(|n| n.starts_with("Py") || n.starts_with("napi_")))
}

//! A running process: what is mapped into it, and what it was started with.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{elf::Scan, failure::Failure};

/// What `/proc` tells.
#[derive(Serialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its program.
    pub program: PathBuf,
    /// The plug-in's file, if it is loaded.
    pub plugin: Option<PathBuf>,
    /// llama.cpp's files that are loaded.
    pub libraries: Vec<PathBuf>,
    /// Variables that concern the plug-in, as the process was started with them.
    pub variables: Vec<(String, String)>,
    /// What is wrong.
    pub problems: Vec<String>,
}

const VARIABLES: [&str; 7] = [
    "LD_PRELOAD",
    "GGML_BACKEND_PATH",
    "EVENKEEL_PROFILE",
    "EVENKEEL_LOG",
    "EVENKEEL_REQUIRE",
    "EVENKEEL_STATS",
    "EVENKEEL_PLUGIN",
];

impl Process {
    /// Reads `/proc/PID`, and the files of the process.
    pub fn read(pid: u32) -> Result<(Process, Scan), Failure> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let denied = |what: &str, e: std::io::Error| {
            let failure = Failure::usage(format!("process {pid}: {what}: {e}"));
            match e.kind() {
                std::io::ErrorKind::NotFound => failure.todo("there is no process of this number"),
                std::io::ErrorKind::PermissionDenied => failure.todo("run this as the process's user, or as root"),
                _ => failure,
            }
        };
        let program = std::fs::read_link(proc.join("exe")).map_err(|e| denied("program", e))?;
        let maps = std::fs::read_to_string(proc.join("maps")).map_err(|e| denied("maps", e))?;
        let environ = std::fs::read(proc.join("environ")).unwrap_or_default();
        let files: BTreeSet<PathBuf> = (maps.lines())
            .filter_map(|line| line.split_once('/').map(|(_, p)| PathBuf::from(format!("/{p}"))))
            .collect();
        let plugin = files.iter().find(|p| file_name(p).starts_with("libevenkeel")).cloned();
        let ours = |p: &&PathBuf| {
            let name = file_name(p);
            name.contains("llama") || name.contains("ggml")
        };
        let libraries: Vec<PathBuf> = files.iter().filter(ours).filter(|p| **p != program).cloned().collect();
        let variables = variables(&environ);

        // Another mount namespace (a container) is reached through the process's root.
        let seen =
            |p: &Path| if p.exists() { p.to_owned() } else { proc.join("root").join(p.strip_prefix("/").unwrap_or(p)) };
        let mut scan = Scan::of(&proc.join("exe")).map_err(Failure::new)?;
        scan.rename_root(&program);
        // A backend that is loaded says nothing about whether it was linked; if it was, another library needs it.
        let backend = |p: &&PathBuf| file_name(p).starts_with("libggml-") && !file_name(p).starts_with("libggml-base");
        let joined = libraries.iter().filter(|p| !backend(p)).filter_map(|p| Scan::of(&seen(p)).ok());
        joined.for_each(|s| scan.join(s));

        let mut process = Process { pid, program, plugin, libraries, variables, problems: Vec::new() };
        process.problems = process.find_problems();
        Ok((process, scan))
    }

    fn find_problems(&self) -> Vec<String> {
        let value = |name: &str| self.variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let mut problems = Vec::new();
        let asked =
            ["LD_PRELOAD", "GGML_BACKEND_PATH"].into_iter().find(|n| value(n).is_some_and(|v| v.contains("evenkeel")));
        match (asked, &self.plugin) {
            (Some(variable), None) => problems.push(format!(
                "{variable} names the plug-in, but it is not loaded: does {} exist where the process runs, and does nothing reset the variable?",
                value(variable).unwrap_or_default()
            )),
            (None, None) => problems.push("the plug-in is not loaded, and neither LD_PRELOAD nor GGML_BACKEND_PATH names it".into()),
            (_, Some(_)) if value("EVENKEEL_PROFILE").is_none() => {
                problems.push("EVENKEEL_PROFILE is not set: nothing is steered unless the program calls ek_load_profile".into());
            }
            _ => {}
        }
        if let Some(path) = value("EVENKEEL_PROFILE")
            && Path::new(path).is_absolute()
            && !Path::new(path).exists()
        {
            problems.push(format!("EVENKEEL_PROFILE names {path}, which does not exist here"));
        }
        problems
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn variables(environ: &[u8]) -> Vec<(String, String)> {
    let texts = environ.split(|&b| b == 0).map(String::from_utf8_lossy);
    let pairs = texts.filter_map(|t| t.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())));
    pairs.filter(|(n, _)| VARIABLES.contains(&n.as_str())).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_variables_that_matter_are_told() {
        let found = super::variables(b"HOME=/root\0LD_PRELOAD=a b\0SECRET=x\0EVENKEEL_LOG=debug\0");
        let names: Vec<&str> = found.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["LD_PRELOAD", "EVENKEEL_LOG"]);
    }
}

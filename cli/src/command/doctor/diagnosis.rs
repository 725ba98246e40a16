//! From what was read to what can be done.

use std::path::PathBuf;

use serde::Serialize;

use super::{
    hooks::{HOOKS, needed},
    process::Process,
    self_test::SelfTest,
};
use crate::elf::{Image, Import, Scan};

/// Everything about one target.
#[derive(Serialize)]
pub struct Diagnosis {
    /// What was named.
    pub target: PathBuf,
    /// It is a program, and not a library.
    pub program: bool,
    /// Where llama.cpp is.
    pub llama: Llama,
    /// How ggml gets its compute backends.
    pub backends: Backends,
    /// Where calls can be intercepted.
    pub slots: Vec<Slot>,
    /// Functions that the plug-in calls and this llama.cpp lacks.
    pub missing: Vec<&'static str>,
    /// What a child process that loaded the library found out.
    pub self_test: Option<SelfTest>,
    /// The running process.
    pub process: Option<Process>,
    /// The ways in.
    pub doors: Vec<super::doors::Door>,
    /// Libraries that the loader would not find.
    pub unresolved: Vec<String>,
}

/// Where llama.cpp is.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Llama {
    /// In this file, with its functions exported.
    Shared(PathBuf),
    /// In this file, with nothing exported.
    Inside(PathBuf),
    /// Nowhere.
    Absent,
}

/// How ggml gets its compute backends.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Backends {
    /// Loaded at run time from beside it: these files.
    Loaded(Vec<PathBuf>),
    /// Linked in.
    Linked,
    /// No ggml was found.
    Unknown,
}

/// A place where calls of one function can be intercepted.
#[derive(Serialize, Clone)]
pub struct Slot {
    /// The function's name for people.
    pub name: &'static str,
    /// Its symbol.
    pub symbol: &'static str,
    /// Nothing can be done without it.
    pub required: bool,
    /// `plt` or `pointer`; none if calls to it are direct.
    pub through: Option<&'static str>,
    /// The file that has the slot.
    pub file: Option<PathBuf>,
}

impl Slot {
    /// True if the plug-in can work as far as this function is concerned.
    pub fn good(&self) -> bool {
        self.through.is_some() || !self.required
    }
}

/// What the files say. Self-test, process and doors are added by the caller.
pub fn diagnose(scan: &Scan) -> Diagnosis {
    let root = scan.root();
    let llama = match (scan.defining("llama_decode"), scan.hiding("llama_decode")) {
        (Some(image), _) => Llama::Shared(image.path.clone()),
        (None, Some(image)) => Llama::Inside(image.path.clone()),
        (None, None) => match scan.images.iter().find(|i| i.mentions_llama) {
            Some(image) => Llama::Inside(image.path.clone()),
            None => Llama::Absent,
        },
    };
    let shared = matches!(llama, Llama::Shared(_));
    let absent = |name: &&str| scan.defining(name).is_none();
    Diagnosis {
        target: root.path.clone(),
        program: root.program,
        backends: backends(scan),
        slots: slots(scan),
        missing: if shared { needed().filter(absent).collect() } else { Vec::new() },
        self_test: None,
        process: None,
        doors: Vec::new(),
        unresolved: scan.unresolved.clone(),
        llama,
    }
}

fn backends(scan: &Scan) -> Backends {
    match (scan.defining("ggml_backend_cpu_reg"), scan.defining("ggml_backend_load_all")) {
        (Some(_), _) => Backends::Linked,
        (None, Some(_)) => Backends::Loaded(scan.backends.clone()),
        (None, None) => Backends::Unknown,
    }
}

fn slots(scan: &Scan) -> Vec<Slot> {
    let llama = scan.defining("llama_decode");
    let slot = |hook: &super::hooks::Hook| {
        let inside = llama.into_iter();
        let images: Vec<&Image> = if hook.from_inside { inside.collect() } else { scan.images.iter().collect() };
        let found = images.into_iter().find_map(|i| Some((i, *i.imports.get(hook.symbol)?)));
        // A program with a foreign function interface asks the loader for it by name: no slot, and none needed.
        let by_name = !hook.from_inside && scan.defining(hook.symbol).is_some();
        Slot {
            name: hook.name,
            symbol: hook.symbol,
            required: hook.required,
            through: match found {
                Some((_, Import::Plt)) => Some("plt"),
                Some((_, Import::Pointer)) => Some("pointer"),
                None => by_name.then_some("name"),
            },
            file: found.map(|(i, _)| i.path.clone()),
        }
    };
    HOOKS.iter().map(slot).collect()
}

//! The three ways in, and which of them are open.

use std::path::Path;

use serde::Serialize;

use super::diagnosis::{Backends, Diagnosis, Llama};
use crate::elf::Scan;

/// A way in.
#[derive(Serialize)]
pub struct Door {
    /// Its name.
    pub name: &'static str,
    /// It works here.
    pub open: bool,
    /// Why, or why not.
    pub why: String,
    /// What to type.
    pub do_this: Option<String>,
}

/// All doors of a target. `plugin` is the plug-in's file, if it is known.
pub fn doors(d: &Diagnosis, scan: &Scan, plugin: Option<&Path>) -> Vec<Door> {
    let plugin = plugin.map_or("/path/to/libevenkeel.so".into(), |p| p.display().to_string());
    let target = d.target.display();
    let closed = closed(d);
    let door = |name, open: Result<String, String>, do_this: String| match open {
        Ok(why) => Door { name, open: true, why, do_this: Some(do_this) },
        Err(why) => Door { name, open: false, why, do_this: None },
    };
    let typed = |variable: &str| {
        let program = if d.program { target.to_string() } else { "your-program".into() };
        format!("{variable}={plugin} EVENKEEL_PROFILE=profile.toml {program} ...")
    };
    let library = match &d.llama {
        Llama::Shared(path) => path.display().to_string(),
        _ => "libllama.so".into(),
    };
    let check = |own: Result<String, String>| closed.clone().map_or(own, Err);
    vec![
        door("LD_PRELOAD", check(preload(d, scan)), typed("LD_PRELOAD")),
        door("GGML_BACKEND_PATH", check(backend_path(d, scan)), typed("GGML_BACKEND_PATH")),
        door(
            "ek_install()",
            check(Ok("for a program that can load libraries itself (Python, Node, C, ...)".into())),
            format!(
                "load {library}, then {plugin}; call ek_install(), ek_load_profile(\"profile.toml\"); then make the context"
            ),
        ),
    ]
}

/// Why no door can be open, whichever it is.
fn closed(d: &Diagnosis) -> Option<String> {
    match &d.llama {
        Llama::Absent => return Some("there is no llama.cpp in it or in what it is linked with".into()),
        Llama::Inside(path) => {
            return Some(format!(
                "llama.cpp is inside {} and calls its own functions directly, past the loader; a build with shared libraries can be steered",
                name(path)
            ));
        }
        Llama::Shared(_) => {}
    }
    if !d.missing.is_empty() {
        return Some(format!("this llama.cpp lacks {}; 0.5 and 0.6 are supported", d.missing.join(", ")));
    }
    let bad: Vec<&str> = d.slots.iter().filter(|s| !s.good()).map(|s| s.name).collect();
    if !bad.is_empty() {
        return Some(format!(
            "calls to {} do not pass the loader (another version, or hidden symbols)",
            bad.join(", ")
        ));
    }
    d.self_test.as_ref().and_then(|t| t.error.clone()).map(|e| format!("the self-test failed: {e}"))
}

fn preload(d: &Diagnosis, scan: &Scan) -> Result<String, String> {
    let root = scan.root();
    if !d.program {
        return Ok("for every program that uses this library".into());
    }
    match &root.interpreter {
        None => return Err("the program is static: the loader is not there to preload anything".into()),
        Some(loader) if loader.contains("musl") => {
            return Err(format!("the program is for the C library musl ({loader}), the plug-in for glibc"));
        }
        Some(_) => {}
    }
    if root.privileged {
        return Err("the program is setuid or setgid: the loader ignores LD_PRELOAD".into());
    }
    if root.machine != std::env::consts::ARCH {
        return Err(format!("the program is for {}, the plug-in for {}", root.machine, std::env::consts::ARCH));
    }
    if scan.images.iter().any(|i| i.symbolic && i.defined.contains("llama_decode")) {
        return Err("the library was linked with -Bsymbolic: its own calls cannot be taken over by symbol order".into());
    }
    Ok("its calls go through the loader".into())
}

fn backend_path(d: &Diagnosis, scan: &Scan) -> Result<String, String> {
    match &d.backends {
        Backends::Loaded(_) => Ok("ggml loads its backends at run time, and this one with them".into()),
        Backends::Unknown => Err("no ggml was found that loads backends".into()),
        Backends::Linked => {
            let asks =
                |name: &str| scan.images.iter().any(|i| i.imports.contains_key(name) && !i.defined.contains(name));
            let some = asks("ggml_backend_load_all") || asks("ggml_backend_load_all_from_path");
            let but = if some { " unless the program asks for it (llama-server does with --device)" } else { "" };
            Err(format!("the backends are linked in, so that ggml loads none{but}"))
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

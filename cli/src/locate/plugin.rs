//! Finds `libevenkeel.so`.

use std::path::PathBuf;

use crate::{args::PluginChoice, failure::Failure};

const NAME: &str = "libevenkeel.so";

/// The file that was named, else the one beside this program or in `../lib`.
pub fn plugin(choice: &PluginChoice) -> Result<PathBuf, Failure> {
    if let Some(path) = &choice.plugin {
        let path = if path.is_dir() { path.join(NAME) } else { path.clone() };
        return path.canonicalize().map_err(|e| Failure::usage(format!("--plugin {}: {e}", path.display())));
    }
    let program = std::env::current_exe().and_then(|p| p.canonicalize()).map_err(Failure::new)?;
    let folder = program.parent().unwrap_or(&program);
    // Where Debian's packages have the libraries of one architecture.
    let multiarch = format!("../lib/{}-linux-gnu", std::env::consts::ARCH);
    let places = ["", "../lib", "../lib/evenkeel", &multiarch, ".."].map(|p| folder.join(p).join(NAME));
    places.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        Failure::new(format!("{NAME} is neither beside this program ({}) nor in ../lib", folder.display()))
            .todo("build it with `cargo build --release -p evenkeel`, or name it with --plugin FILE")
    })
}

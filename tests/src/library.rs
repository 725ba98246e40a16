//! The library under test, and the ways it gets into a host.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::run::Setting;

/// How the library gets into a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The dynamic linker loads it first: `LD_PRELOAD`.
    Preload,
    /// ggml loads it among its backends: `GGML_BACKEND_PATH`.
    BackendPath,
    /// The program loads it by hand and calls `ek_install()`. Only the C host does.
    Install,
    /// The program hands its own llama.cpp over and attaches its contexts. Only the C host does.
    Embed,
    /// The same, but the library looks the program's functions up: they are exported. Only the C host does.
    EmbedExported,
}

impl Door {
    /// The environment that opens it.
    pub fn setting(self) -> Setting {
        match self {
            Self::Preload => Setting::new().env("LD_PRELOAD", library()),
            Self::BackendPath => Setting::new().env("GGML_BACKEND_PATH", library()),
            Self::Install | Self::Embed | Self::EmbedExported => Setting::new(),
        }
    }

    /// Arguments for the C host.
    pub(crate) fn arguments(self) -> Vec<OsString> {
        match self {
            Self::Preload | Self::BackendPath => Vec::new(),
            Self::Install => vec!["--install".into(), library().into()],
            Self::Embed => vec!["--embed".into(), library().into()],
            Self::EmbedExported => vec!["--embed".into(), library().into(), "--exported".into()],
        }
    }
}

/// The path of `libevenkeel.so`: `$EVENKEEL_LIBRARY`, or built now, in release, from this source tree, so that no test
/// ever runs on a stale one.
///
/// # Panics
/// When it cannot be built.
pub fn library() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let built = || build("evenkeel", "libevenkeel.so", &["--release"]);
    PATH.get_or_init(|| env::var_os("EVENKEEL_LIBRARY").map_or_else(built, PathBuf::from)).clone()
}

/// The path of the command line tool: `$EVENKEEL_TOOL`, or built now as the library is.
///
/// # Panics
/// When it cannot be built.
pub fn tool() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let built = || build("evenkeel-cli", "evenkeel", &["--release"]);
    PATH.get_or_init(|| env::var_os("EVENKEEL_TOOL").map_or_else(built, PathBuf::from)).clone()
}

/// A library that leaves out what `name` says, loaded instead of the right one: a test that it passes is none.
///
/// # Panics
/// When it cannot be built.
pub fn mutant(name: &str) -> Setting {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    // In a target folder of its own, because it would else take the place of the library that everyone else tests.
    let build = || {
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::cache::source("../target"), PathBuf::from);
        let folder = target.join("mutants").display().to_string();
        build("evenkeel", "libevenkeel.so", &["--features", "inject-panics", "--target-dir", &folder])
    };
    Setting::new().env("LD_PRELOAD", PATH.get_or_init(build)).env("EVENKEEL_MUTANT", name)
}

/// Builds a package, and finds one of its files.
fn build(package: &str, file: &str, arguments: &[&str]) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--package", package, "--message-format=json-render-diagnostics"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{package} does not build:\n{errors}");
    let text = String::from_utf8(output.stdout).expect("cargo's messages are UTF-8");
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|path| path.file_name().is_some_and(|name| name == file))
        .unwrap_or_else(|| panic!("cargo names no {file} among its artefacts"))
}

//! Compiles the null host and its driver, once per variant and content.

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// The folder of the workspace.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Where compiled things go.
pub fn output_dir() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("null");
    fs::create_dir_all(&dir).expect("the target folder can be written");
    dir
}

/// A compiler: `$CC` or `$CXX`, or the system's.
///
/// # Panics
/// If there is none, naming the package that has it.
pub fn compiler(variable: &str) -> String {
    let (default, package) = if variable == "CC" { ("cc", "gcc") } else { ("c++", "g++") };
    let name = env::var(variable).ok().filter(|c| !c.is_empty()).unwrap_or_else(|| default.into());
    let found = Command::new(&name).arg("--version").output().is_ok_and(|o| o.status.success());
    assert!(found, "these tests compile a small host: `{name}` does not run (apt install {package})");
    name
}

/// Compiles `sources` with `flags` into a file called `name`; returns it. What was compiled before is not compiled again.
///
/// # Panics
/// With the compiler's output, if it fails.
pub fn compile(compiler: &str, name: &str, sources: &[PathBuf], flags: &[&str]) -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hash = DefaultHasher::new();
    (compiler, name, flags).hash(&mut hash);
    for folder in ["plugin/tests/null", "plugin/tests/driver", "include", "examples/c"] {
        for file in files(&repository().join(folder), "") {
            fs::read(file).expect("sources can be read").hash(&mut hash);
        }
    }
    let folder = output_dir().join(format!("{:016x}", hash.finish()));
    let file = folder.join(name);
    if !file.exists() {
        fs::create_dir_all(&folder).expect("the target folder can be written");
        let part = folder.join(format!("{name}.{}", std::process::id()));
        let output =
            Command::new(compiler).args(sources).args(flags).arg("-o").arg(&part).output().expect("it ran before");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{compiler} {flags:?} failed:\n{errors}");
        fs::rename(part, &file).expect("both are in one folder");
    }
    file
}

/// The null host with these flags: `libnull.so` in a folder of its own.
pub fn host(variant: &[&str]) -> PathBuf {
    let mut flags =
        vec!["-std=c++17", "-O1", "-g", "-fPIC", "-shared", "-Wl,-soname,libnull.so", "-Wall", "-Wextra", "-Werror"];
    flags.extend(variant);
    compile(&compiler("CXX"), "libnull.so", &files(&repository().join("plugin/tests/null"), "cpp"), &flags)
}

/// The driver, linked with the null host or not.
pub fn driver(linked: bool) -> PathBuf {
    let mut flags = vec!["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-ldl", "-pthread"];
    let library = host(&[]).display().to_string();
    if linked {
        flags.extend(["-DLINKED", &library]);
    }
    compile(&compiler("CXX"), "driver", &files(&repository().join("plugin/tests/driver"), "cpp"), &flags)
}

/// The files of a folder that end so, sorted.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("a folder can be listed").path()).collect();
    files.retain(|f| f.is_file() && (ending.is_empty() || f.extension().is_some_and(|e| e == ending)));
    files.sort();
    files
}

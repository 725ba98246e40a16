//! Puts the demo into the program: `tests/sandbox/demo.toml` and the files that it names, if they are there.

use std::{env, fmt::Write, fs, path::Path};

fn main() {
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sandbox");
    let data = sandbox.join("demo.toml");
    // The whole folder: a model that comes later must be noticed.
    println!("cargo::rerun-if-changed={}", sandbox.display());
    let text = fs::read_to_string(&data).unwrap_or_default();
    let mut code = String::from("pub const FILES: &[(&str, &[u8])] = &[\n");
    // One file per line of the list `files = [`, so that the build needs no TOML parser.
    let list = text.split_once("\nfiles = [").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
    let names: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    let all = names.iter().all(|n| sandbox.join(n).is_file());
    if all && !names.is_empty() {
        for name in ["demo.toml"].iter().chain(&names) {
            let path = fs::canonicalize(sandbox.join(name)).expect("a file that is there");
            writeln!(code, "    ({name:?}, include_bytes!({path:?})),").expect("writing to a string");
        }
    }
    code.push_str("];\n");
    let out = Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("demo.rs");
    fs::write(out, code).expect("OUT_DIR is writable");
}

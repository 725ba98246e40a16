//! Writes `ffi/src/generated/{types,symbols}.rs` from llama.cpp's headers.
//!
//! `cargo run -- FOLDER` rewrites the files, `cargo run -- --check FOLDER` fails if they differ. The folder holds
//! `llama.h`, `ggml.h` and what they include, or is llama.cpp's source tree. `make bindings` knows where one is.

mod symbols;

use std::{
    io::Write as _,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let check = args.first().is_some_and(|a| a == "--check");
    if check {
        args.remove(0);
    }
    let [tree] = args.as_slice() else {
        eprintln!("usage: evenkeel-ffi-generate [--check] FOLDER, with llama.cpp's headers or its source tree");
        return ExitCode::from(2);
    };
    // As cargo says it now: a target folder that several clones share may hold a program that another one built.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let here = Path::new(&here);
    let list = symbols::List::parse(&std::fs::read_to_string(here.join("symbols.txt")).expect("symbols.txt"));
    let (types, symbols) = symbols::split(&bindings(here, Path::new(tree), &list), &list);

    let mut stale = false;
    for (name, text) in [("types.rs", types), ("symbols.rs", symbols)] {
        let text = formatted(&text);
        let path = here.join("../src/generated").join(name);
        if check {
            let old = std::fs::read_to_string(&path).unwrap_or_default();
            if old != text {
                eprintln!("{} is not what the headers give: run `make bindings`", path.display());
                stale = true;
            }
        } else {
            std::fs::write(&path, text).expect("write generated file");
        }
    }
    ExitCode::from(u8::from(stale))
}

/// bindgen's output for the listed functions and every type they mention.
fn bindings(here: &Path, tree: &Path, list: &symbols::List) -> String {
    let mut builder = bindgen::Builder::default()
        .header(here.join("wrapper.h").to_string_lossy())
        .clang_arg(format!("-I{}", tree.display()))
        .clang_arg(format!("-I{}", tree.join("include").display()))
        .clang_arg(format!("-I{}", tree.join("ggml/include").display()))
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_debug(false)
        .generate_comments(false)
        .layout_tests(true)
        .disable_header_comment()
        // ggml_op's numbers shift between versions: nobody may use them, so they are not here.
        .blocklist_type("ggml_op")
        .raw_line("/// An operation's number: it shifts between versions, so only its name may be used.")
        .raw_line("pub type ggml_op = ::std::os::raw::c_uint;");
    for symbol in &list.symbols {
        builder = builder.allowlist_function(format!("^{}$", symbol.name));
    }
    for constant in ["GGML_MAX_NAME", "GGML_MAX_SRC", "GGML_MAX_OP_PARAMS", "GGML_TENSOR_FLAG_.*"] {
        builder = builder.allowlist_var(constant);
    }
    // Not named by any function: flags are ORed into an int.
    builder = builder.allowlist_type("ggml_tensor_flag");
    builder.generate().expect("bindgen").to_string()
}

/// As `cargo fmt` leaves it.
fn formatted(text: &str) -> String {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../..")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("rustfmt");
    let mut stdin = rustfmt.stdin.take().expect("piped");
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = rustfmt.wait_with_output().expect("rustfmt");
    writer.join().expect("writer").expect("rustfmt reads");
    assert!(output.status.success(), "rustfmt failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

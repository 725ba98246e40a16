//! The program of `../llama-cpp-2`, line for line, and what `examples/rust/evenkeel.rs` asks of the linker.

use std::{env, fs, path::Path};

fn main() {
    let source = "../llama-cpp-2/src/main.rs";
    let text = fs::read_to_string(source).expect("the other host's source");
    let code: Vec<&str> = text.lines().filter(|line| !line.starts_with("//!")).collect();
    let code = code.join("\n").replace("\nfn main()", "\npub fn main()");
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("host.rs"), code).expect("the folder can be written");
    println!("cargo:rerun-if-changed={source}");

    for name in ["llama_new_context_with_model", "llama_decode", "llama_free"] {
        println!("cargo:rustc-link-arg-bins=-Wl,--wrap={name}");
    }
    println!("cargo:rustc-link-arg-bins=-rdynamic");
}

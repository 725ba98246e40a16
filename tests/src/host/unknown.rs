//! A program on a library that only looks like llama.cpp.

use std::path::PathBuf;
use std::process::Command;

use crate::cache::source;
use crate::{Scratch, Setting, run};

/// Compiles it.
///
/// # Panics
/// When it does not compile.
pub fn compile_unknown(scratch: &Scratch) -> PathBuf {
    let (library, program) = (scratch.path("libllama.so"), scratch.path("unknown"));
    let compiler = || {
        let mut command = Command::new("cc");
        command.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"]).arg(source("c/unknown.c"));
        command
    };
    let mut command = compiler();
    command.args(["-shared", "-fPIC", "-DLIBRARY", "-o"]).arg(&library);
    let _ = run(command, &Setting::new(), scratch.folder()).success();
    let mut command = compiler();
    command.arg("-o").arg(&program).arg(&library).arg(format!("-Wl,-rpath,{}", scratch.folder().display()));
    let _ = run(command, &Setting::new(), scratch.folder()).success();
    program
}

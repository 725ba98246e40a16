//! llama.cpp's own control vector in programs that offer none.

use std::fs;
use std::process::Command;

use evenkeel_model::ControlVector;

use crate::cache::source;
use crate::{Scratch, Setting, run};

/// A preload library that calls `llama_set_adapter_cvec` for each new context.
///
/// # Panics
/// When it does not compile.
pub fn native_vector(scratch: &Scratch, vector: &ControlVector, strength: f32) -> Setting {
    let library = scratch.path("native.so");
    let mut command = Command::new("cc");
    command.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-pthread", "-o"]);
    command.arg(&library).arg(source("c/native.c")).arg("-ldl");
    let _ = run(command, &Setting::new(), scratch.folder()).success();

    let file = scratch.path("native.f32");
    let scaled = vector.clone().scaled(strength);
    let bytes: Vec<u8> = scaled.directions.values().flatten().flat_map(|value| value.to_le_bytes()).collect();
    fs::write(&file, bytes).expect("a vector is written");
    Setting::new().env("LD_PRELOAD", library).env("NATIVE_VECTOR", file)
}

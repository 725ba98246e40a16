//! Writes the inputs that fuzzing begins with, and the words it may insert: `seeds FOLDER`.
#![forbid(unsafe_code)]

#[path = "../../tests/support/gguf.rs"]
#[allow(dead_code)]
mod gguf;
#[path = "../../tests/support/safetensors.rs"]
#[allow(dead_code)]
mod safetensors;

use std::fs;
use std::path::Path;

use ::safetensors::tensor::Dtype;
use evenkeel_core::profile::KEYS;
use gguf::Gguf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).expect("usage: seeds FOLDER");
    let folder = Path::new(&folder);
    let put = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(folder.join(target))?;
        fs::write(folder.join(target).join(name), bytes)
    };
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    for kind in ["good", "bad"] {
        for entry in fs::read_dir(cases.join(kind))? {
            let path = entry?.path();
            // The few long cases would only slow every mutation down.
            if path.extension().is_some_and(|e| e == "toml") && path.metadata()?.len() <= 512 {
                let name = format!("{kind}-{}", path.file_name().unwrap_or_default().to_string_lossy());
                put("profile", &name, &fs::read(&path)?)?;
            }
        }
    }
    let vector = || Gguf::vector("llama");
    let list = [&4u32.to_le_bytes()[..], &2u64.to_le_bytes(), &[0; 8]].concat();
    put("gguf", "one", &vector().direction(1, &[1.0, 2.0]).build())?;
    put("gguf", "three", &vector().direction(1, &[1.0]).direction(2, &[0.0]).direction(9, &[-1.0]).build())?;
    put("gguf", "keys", &vector().u32("general.alignment", 8).raw("n", 9, &list).direction(0, &[0.5; 8]).build())?;
    put("gguf", "texts", &vector().texts("t", &["a", "", "bc"]).direction(3, &[1e5; 4]).build())?;
    put("gguf", "model", &Gguf::model("llama", 8, 6).build())?;
    for kind in 0..13 {
        put("model", &format!("type-{kind}"), &Gguf::model("qwen3", 64, 4).raw("k", kind, &[1; 16]).build())?;
    }
    put(
        "model",
        "split",
        &Gguf::model("llama", 8, 6).raw("split.no", 2, &[0, 0]).raw("split.count", 2, &[2, 0]).build(),
    )?;
    let one: &[usize] = &[2];
    let tensor = |name, dtype, data: &[u8]| safetensors::file(&[(name, dtype, one, data.to_vec())], &[])[8..].to_vec();
    put("safetensors", "f32", &tensor("direction.1", Dtype::F32, &[0; 8]))?;
    put("safetensors", "f16", &tensor("direction.3", Dtype::F16, &[0; 4]))?;
    put("safetensors", "bf16", &tensor("direction.0", Dtype::BF16, &[0; 4]))?;
    let matrix = safetensors::file(&[("direction", Dtype::F32, &[2, 2], vec![0; 16])], &[("model_hint", "llama")]);
    put("safetensors", "matrix", &matrix[8..])?;
    put("safetensors", "whole", &matrix)?;
    let npy = |descr: &str, shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        [header.as_bytes(), data].concat()
    };
    put("npy", "matrix", &npy("<f4", "(2, 2)", &[0; 16]))?;
    put("npy", "one", &npy("<f8", "(2,)", &[0; 16]))?;
    put("npy", "half", &npy("<f2", "(1, 2)", &[0; 4]))?;
    put("npy", "headerless", &[0; 16])?;
    let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let labels = [("evenkeel.method", "online"), ("evenkeel.labels", "[\"a\",\"b\"]")];
    let tensor = |name: &'static str, shape: &'static [usize], values: &[f32]| (name, Dtype::F32, shape, floats(values));
    let state = [
        tensor("prior", &[2], &[0.25, 0.75]),
        tensor("means", &[4], &[0.5, 0.5, 0.75, 0.25]),
        tensor("counts", &[3], &[1.0, 2.0, 3.0]),
    ];
    put("prior", "state", &safetensors::file(&state, &labels)[8..])?;
    put("prior", "affine", &safetensors::file(&[tensor("scale", &[2], &[1.0, 1.0])], &labels)[8..])?;
    put("prior", "line", &safetensors::file(&[tensor("line", &[2], &[1.0, 0.0])], &[])[8..])?;
    words(folder)
}

/// libFuzzer's dictionaries.
fn words(folder: &Path) -> std::io::Result<()> {
    let quoted = |words: &[&str]| words.iter().map(|w| format!("{w:?}\n")).collect::<String>();
    let mut toml =
        vec!["[[steer]]", "[model]", "[runtime]", " = ", "\"all\"", "40%..70%", "2..4", "true", "nan", "inf"];
    toml.extend(KEYS.iter().map(|k| k.name()));
    fs::write(folder.join("profile.dict"), quoted(&toml))?;
    let gguf = [
        "GGUF",
        "general.architecture",
        "controlvector",
        "controlvector.model_hint",
        "general.alignment",
        "direction.1",
        "llama",
        "llama.block_count",
        "llama.embedding_length",
        "split.no",
        "split.count",
    ];
    fs::write(folder.join("gguf.dict"), quoted(&gguf))?;
    fs::write(folder.join("model.dict"), quoted(&gguf))?;
    let python = [
        "'descr': ",
        "'fortran_order': ",
        "'shape': ",
        "'<f4'",
        "'<f8'",
        "'<f2'",
        "False",
        "True",
        "(2, 2)",
        "(1,)",
        "18446744073709551615",
    ];
    fs::write(folder.join("npy.dict"), quoted(&python))?;
    let json = [
        "direction",
        "direction.1",
        "__metadata__",
        "dtype",
        "shape",
        "data_offsets",
        "F32",
        "F16",
        "BF16",
        "I64",
        "[0,8]",
        "18446744073709551615",
        "2305843009213693952",
        "\\\\u0000",
    ];
    let tensors = evenkeel_core::asset::CALIBRATION_TENSORS.iter().chain(&json);
    fs::write(folder.join("prior.dict"), tensors.map(|w| format!("\"{w}\"\n")).collect::<String>())?;
    fs::write(folder.join("safetensors.dict"), json.map(|w| format!("\"{w}\"\n")).concat())
}

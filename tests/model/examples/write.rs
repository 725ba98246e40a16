//! Writes every tiny model, the vision encoders, a vector for them, and on request the large one: `write FOLDER [large]`.
use std::path::PathBuf;

use evenkeel_model::{Arch, FileType, Shape, TINY_EMBD, TINY_LAYERS, Vision, control_vector, random_llama, tiny};

fn main() -> std::io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| ".".into()));
    if folder.to_string_lossy().starts_with('-') {
        eprintln!("usage: write FOLDER [large]");
        std::process::exit(2);
    }
    std::fs::create_dir_all(&folder)?;
    for arch in Arch::ALL {
        tiny(arch, 1, &folder.join(format!("{}.gguf", arch.name())))?;
    }
    for vision in Vision::ALL {
        vision.write(1, &folder.join(format!("mmproj-{vision:?}.gguf")))?;
    }
    control_vector(TINY_EMBD, 1..TINY_LAYERS, 1, &folder.join("v.gguf"))?;
    if args.next().is_some_and(|arg| arg == "large") {
        let report = |done, total| eprint!("\r{} %", done * 100 / total);
        random_llama(&Shape::BILLION, FileType::Q8_0, 1, &folder.join("large.gguf"), report)?;
        eprintln!();
    }
    Ok(())
}

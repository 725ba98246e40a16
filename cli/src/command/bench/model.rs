//! The model that is measured: random weights of real shape, made once and kept in the cache.

use std::path::PathBuf;

use evenkeel_model::{FileType, Shape, random_llama};

use crate::{args, failure::Failure, locate, screen};

/// A llama whose evaluation takes no time to speak of.
const TINY: Shape = Shape { layers: 4, embd: 64, heads: 4, kv_heads: 2, ff: 128, vocab: 512, context: 4096 };

/// The file of the model, made if it is not there.
pub fn file(args: &args::Bench) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.model {
        return Ok(path.clone());
    }
    let (name, shape) = if args.quick { ("tiny", TINY) } else { ("1b", Shape::BILLION) };
    let folder = locate::cache()?.join("bench");
    let failed = |e: std::io::Error| {
        Failure::new(format!("the model cannot be written to {}: {e}", folder.display()))
            .todo("set EVENKEEL_CACHE to a folder with 1.3 GB of room")
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let path = folder.join(format!("random-llama-{name}-q8_0.gguf"));
    if path.is_file() {
        return Ok(path);
    }
    let bar = screen::progress_bytes(shape.parameters() * 34 / 32, "making a model");
    let made = random_llama(&shape, FileType::Q8_0, 1, &path, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    made.map_err(failed)?;
    Ok(path)
}

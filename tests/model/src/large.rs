//! A llama of real shape.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::arch::{Arch, Extents, Positions};
use crate::file_type::FileType;
use crate::tiny::model;

/// The extents of a llama.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Blocks.
    pub layers: u32,
    /// Width of the residual stream.
    pub embd: u32,
    /// Attention heads; the head size is `embd / heads`.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Width of the feed-forward block.
    pub ff: u32,
    /// Tokens, at least 259.
    pub vocab: u32,
    /// Context length.
    pub context: u32,
}

impl Shape {
    /// TinyLlama's shape (Zhang et al. 2024): 1.10 billion parameters, 1.17 GB as [`FileType::Q8_0`].
    pub const BILLION: Self =
        Self { layers: 22, embd: 2048, heads: 32, kv_heads: 4, ff: 5632, vocab: 32_000, context: 2048 };

    /// The number of parameters.
    pub fn parameters(&self) -> u64 {
        let parts = Arch::Llama.parts(&self.extents());
        parts.iter().map(|part| part.shape.iter().product::<u64>()).sum()
    }

    fn extents(&self) -> Extents {
        Extents {
            layers: self.layers.into(),
            embd: self.embd.into(),
            heads: self.heads.into(),
            kv_heads: self.kv_heads.into(),
            head: (self.embd / self.heads).into(),
            rot: (self.embd / self.heads).into(),
            positions: Positions::Plain,
            ff: self.ff.into(),
            vocab: self.vocab.into(),
            context: self.context.into(),
        }
    }
}

/// Streams a llama with random weights to `path`. `progress` gets the bytes written and the bytes in all.
///
/// The file appears under its name only when it is complete.
///
/// # Errors
/// What the file system answers.
pub fn random_llama(
    shape: &Shape,
    file_type: FileType,
    seed: u64,
    path: &Path,
    mut progress: impl FnMut(u64, u64),
) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.tmp", std::process::id()));
    let written = File::create(&part)
        .and_then(|file| model(Arch::Llama, &shape.extents(), file_type, seed, file, &mut progress))
        .and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // The cause is in `written`; what is left behind is best effort.
        let _ = std::fs::remove_file(&part);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_billion_is_a_billion() {
        assert_eq!(Shape::BILLION.parameters(), 1_100_048_384);
    }
}

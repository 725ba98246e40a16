//! Models of about a megabyte.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::arch::{Arch, Extents, Fill, Part, Positions};
use crate::file_type::FileType;
use crate::gguf::{Tensor, Value, Writer};
use crate::random::Random;
use crate::vocabulary;

/// Layers of a tiny model.
pub const TINY_LAYERS: u32 = 5;
/// Width of its residual stream.
pub const TINY_EMBD: u32 = 64;
/// Its vocabulary.
pub const TINY_VOCAB: u32 = 320;
/// Its context length.
pub const TINY_CONTEXT: u32 = 512;

/// Attention heads.
const HEADS: u64 = 4;

/// Weights that are generated and written at a time.
const CHUNK: usize = 1 << 18;

/// Writes a tiny F32 model.
///
/// # Errors
/// What the file system answers.
pub fn tiny(arch: Arch, seed: u64, path: &Path) -> io::Result<()> {
    tiny_as(arch, FileType::F32, seed, path)
}

/// Writes a tiny model whose matrices have the given type.
///
/// # Errors
/// What the file system answers.
pub fn tiny_as(arch: Arch, file_type: FileType, seed: u64, path: &Path) -> io::Result<()> {
    Tiny::new(arch).write(file_type, seed, path)
}

/// A tiny model's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiny {
    /// Its architecture.
    pub arch: Arch,
    /// Dimensions of a head.
    pub head: u64,
    /// Those of them that rotary positions turn.
    pub rot: u64,
    /// How positions are scaled.
    pub positions: Positions,
}

impl Tiny {
    /// As the architecture has it.
    pub fn new(arch: Arch) -> Self {
        // Heads wider than embd / heads where the architecture allows it.
        let wide = matches!(arch, Arch::Qwen3 | Arch::Gemma2);
        let head = if wide { 32 } else { u64::from(TINY_EMBD) / HEADS };
        let part = matches!(arch, Arch::ChatGlm | Arch::StableLm | Arch::Plm);
        Self { arch, head, rot: if part { head / 2 } else { head }, positions: Positions::Plain }
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn write(&self, file_type: FileType, seed: u64, path: &Path) -> io::Result<()> {
        let extents = Extents {
            layers: TINY_LAYERS.into(),
            embd: TINY_EMBD.into(),
            heads: HEADS,
            // These have no grouped queries.
            kv_heads: if matches!(self.arch, Arch::Gpt2 | Arch::Plm) { HEADS } else { 2 },
            head: self.head,
            rot: self.rot,
            positions: self.positions,
            ff: 128,
            vocab: TINY_VOCAB.into(),
            context: TINY_CONTEXT.into(),
        };
        model(self.arch, &extents, file_type, seed, File::create(path)?, &mut |_, _| {})
    }
}

/// Writes a model: metadata, vocabulary, random weights. `progress` gets the bytes written and the bytes in all.
pub(crate) fn model(
    arch: Arch,
    extents: &Extents,
    file_type: FileType,
    seed: u64,
    destination: impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<()> {
    let mut metadata = vec![
        ("general.architecture".to_owned(), Value::Text(arch.name().into())),
        // Some names change how llama.cpp treats the vocabulary: no architecture in it.
        ("general.name".to_owned(), Value::Text(format!("random weights, seed {seed}"))),
        ("general.file_type".to_owned(), Value::U32(file_type.llama_ftype())),
    ];
    metadata.extend(arch.metadata(extents));
    metadata.extend(vocabulary::metadata(extents.vocab as usize));
    weights(&metadata, &arch.parts(extents), file_type, seed, destination, progress)
}

/// Writes metadata and random weights.
pub(crate) fn weights(
    metadata: &[(String, Value)],
    parts: &[Part],
    file_type: FileType,
    seed: u64,
    destination: impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<()> {
    let tensors: Vec<Tensor> = parts.iter().map(|part| entry(part, file_type)).collect();
    let total = tensors.iter().map(|tensor| tensor.bytes).sum();
    let mut writer = Writer::new(destination, metadata, &tensors)?;
    let mut done = 0;
    let mut bytes = Vec::new();
    for part in parts {
        let storage = storage(part, file_type);
        let mut random = Random::named(seed, &part.name);
        let mut left = elements(part);
        while left > 0 {
            let count = left.min(CHUNK);
            left -= count;
            bytes.clear();
            match part.fill {
                Fill::Matrix(deviation) => storage.fill(&mut random, deviation, count, &mut bytes),
                Fill::Scale => shifted(&mut random, 1.0, count, &mut bytes),
                Fill::Bias => shifted(&mut random, 0.0, count, &mut bytes),
                Fill::Factors => (0..count).for_each(|i| bytes.extend((i as f32 + 1.0).to_le_bytes())),
            }
            writer.data(&bytes)?;
            done += bytes.len() as u64;
            progress(done, total);
        }
    }
    writer.finish()
}

/// Vectors, and matrices with rows that are no whole blocks, stay F32.
fn storage(part: &Part, file_type: FileType) -> FileType {
    let matrix = matches!(part.fill, Fill::Matrix(_));
    // llama.cpp keeps expert routers, positions and short convolutions in F32 in every quantised file.
    let exempt = ["ffn_gate_inp", "position", "shortconv.conv"].iter().any(|name| part.name.contains(name));
    let whole = (part.shape[0] as usize).is_multiple_of(file_type.block());
    if matrix && whole && !exempt { file_type } else { FileType::F32 }
}

fn elements(part: &Part) -> usize {
    part.shape.iter().product::<u64>() as usize
}

fn entry(part: &Part, file_type: FileType) -> Tensor {
    let storage = storage(part, file_type);
    Tensor {
        name: part.name.clone(),
        shape: part.shape.clone(),
        ggml_type: storage.ggml_type(),
        bytes: storage.bytes(elements(part) as u64),
    }
}

/// A vector around `mean`.
fn shifted(random: &mut Random, mean: f32, count: usize, out: &mut Vec<u8>) {
    (0..count).for_each(|_| out.extend((mean + 0.1 * random.normal()).to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_arguments_give_equal_bytes() {
        let folder = std::env::temp_dir().join(format!("evenkeel-model-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for arch in Arch::ALL {
            for file_type in [FileType::F32, FileType::Q8_0] {
                let [a, b, c] = ["a", "b", "c"].map(|name| folder.join(name));
                tiny_as(arch, file_type, 1, &a).unwrap();
                tiny_as(arch, file_type, 1, &b).unwrap();
                tiny_as(arch, file_type, 2, &c).unwrap();
                let [a, b, c] = [a, b, c].map(|path| std::fs::read(path).unwrap());
                assert!(a == b, "{arch:?} {file_type:?}: equal seeds");
                assert!(a != c, "{arch:?} {file_type:?}: different seeds");
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

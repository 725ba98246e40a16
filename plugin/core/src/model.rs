//! What a plan has to know about a model.

use std::io::Read;
use std::path::Path;

use crate::asset::gguf::{Cursor, Header, Metadata};
use crate::asset::{AssetError, GgufError, MAX_MODEL_HEADER_BYTES, MAX_MODEL_LAYERS, open_regular, shown};

/// Facts of one loaded model, read from the host's library or from a GGUF file's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// `general.architecture`, for example `llama`.
    pub arch: String,
    /// Width of the residual stream (`<arch>.embedding_length`).
    pub n_embd: u32,
    /// Number of transformer blocks (`<arch>.block_count`).
    pub n_layer: u32,
    /// Number of attention heads in every layer (`<arch>.attention.head_count`); `None` if it is not the same in all.
    pub n_head: Option<u32>,
    /// `general.name`, where the file has one.
    pub name: Option<String>,
}

/// A model file whose facts cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] AssetError),
    /// Its GGUF structure.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The metadata do not end within the cap.
    #[error("metadata of the model file, got more than {max} bytes, allowed: at most {max}")]
    HeaderTooLarge {
        /// The cap.
        max: u64,
    },
    /// A GGUF file of something else.
    #[error("not a model, got a file of architecture \"{got}\", allowed: a model")]
    NotAModel {
        /// `general.architecture`.
        got: String,
    },
    /// A further part of a model in several files.
    #[error(
        "part {part} of a model in {count} files, got a part without metadata, allowed: the first part (00001-of-…)"
    )]
    LaterPart {
        /// This part, from 1.
        part: u64,
        /// Number of parts.
        count: u64,
    },
    /// A key that every model has is absent or unusable.
    #[error("metadata key `{key}`, got {got}, allowed: {allowed}")]
    Key {
        /// The key.
        key: String,
        /// Its value.
        got: String,
        /// What it must be.
        allowed: String,
    },
}

impl ModelFacts {
    /// Reads the facts from a model's GGUF file. Of its data nothing is read.
    ///
    /// # Errors
    /// The first thing that is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        read_metadata(path, Self::parse)
    }

    /// Reads the facts from the first bytes of a model's GGUF file.
    ///
    /// # Errors
    /// [`GgufError::Truncated`] if the metadata go on after these bytes; otherwise what is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut cursor = Cursor::new(bytes);
        let header = Header::read(&mut cursor)?;
        let metadata = Metadata::read(&mut cursor, header)?;
        let arch = metadata.text("general.architecture")?.unwrap_or_default();
        if let (Some(Ok(part)), Some(Ok(count))) = (metadata.count("split.no"), metadata.count("split.count"))
            && part > 0
        {
            return Err(ModelError::LaterPart { part: part.saturating_add(1), count });
        }
        let plain = arch.len() <= 64 && arch.bytes().all(|b| b.is_ascii_graphic());
        if arch.is_empty() || !plain || arch == "controlvector" || arch == "adapter" || arch == "clip" {
            return Err(ModelError::NotAModel { got: shown(arch) });
        }
        let count = |key: &str, max| count(&metadata, &format!("{arch}.{key}"), max);
        let n_block = count("block_count", MAX_MODEL_LAYERS)?;
        // Layers that only predict further tokens are no blocks of the main graph, and llama.cpp does not count them.
        let extra = match metadata.get(&format!("{arch}.nextn_predict_layers")) {
            Some(_) => count("nextn_predict_layers", n_block).unwrap_or(0),
            None => 0,
        };
        Ok(Self {
            n_embd: count("embedding_length", u32::MAX)?,
            n_layer: n_block.saturating_sub(extra),
            n_head: metadata.count(&format!("{arch}.attention.head_count")).and_then(|n| u32::try_from(n.ok()?).ok()),
            name: metadata.text("general.name")?.map(shown),
            arch: arch.to_owned(),
        })
    }
}

/// Reads what `parse` takes from a model's GGUF file: it gets more and more of its first bytes until they are enough.
pub(crate) fn read_metadata<T>(path: &Path, parse: impl Fn(&[u8]) -> Result<T, ModelError>) -> Result<T, ModelError> {
    let (file, metadata) = open_regular(path)?;
    let mut file = file.take(MAX_MODEL_HEADER_BYTES);
    let mut bytes = vec![];
    // The metadata are some megabytes at most as a rule; their length is known only at their end.
    let mut want = 1 << 20;
    loop {
        let room = want - bytes.len() as u64;
        let unreadable = |e: std::io::Error| AssetError::Unreadable { why: format!("\"{e}\"") };
        let got = (&mut file).take(room).read_to_end(&mut bytes).map_err(unreadable)?;
        match parse(&bytes) {
            Err(ModelError::Gguf(GgufError::Truncated { need, .. })) => {
                if want >= MAX_MODEL_HEADER_BYTES || need > MAX_MODEL_HEADER_BYTES {
                    return Err(truncated(need, metadata.len()));
                }
                if (got as u64) < room {
                    return Err(GgufError::Truncated { need, have: metadata.len() }.into());
                }
                want = (want * 4).min(MAX_MODEL_HEADER_BYTES);
            }
            done => return done,
        }
    }
}

fn truncated(need: u64, have: u64) -> ModelError {
    if need > have {
        return GgufError::Truncated { need, have }.into();
    }
    ModelError::HeaderTooLarge { max: MAX_MODEL_HEADER_BYTES }
}

/// A whole number from 1 to `max`.
fn count(metadata: &Metadata<'_>, key: &str, max: u32) -> Result<u32, ModelError> {
    let bad = |got| {
        let allowed = format!("a whole number from 1 to {max}");
        ModelError::Key { key: key.to_owned(), got, allowed }
    };
    match metadata.count(key) {
        None => Err(bad("nothing".into())),
        Some(Err(got)) => Err(bad(got)),
        Some(Ok(n)) => u32::try_from(n).ok().filter(|n| (1..=max).contains(n)).ok_or_else(|| bad(n.to_string())),
    }
}

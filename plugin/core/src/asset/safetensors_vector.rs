//! Vectors in safetensors: tensors `direction.N` of shape `[width]`, or one tensor `direction` of shape
//! `[layers, width]` whose row N is the direction after layer N. F32, F16 or BF16.
//!
//! The header is parsed by the `safetensors` crate; the slicing is ours, because `SafeTensors::deserialize` (0.8) adds
//! the header's length to a sum of sizes that a file can bring close to 2^64, and panics on such a file.

use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::bound::{MAX_SAFETENSORS_HEADER_BYTES, MAX_TENSORS};
use super::vectors::{Collector, Format, Vectors, layer_of, shown};
use super::{AssetError, half};

/// A file whose header is read and whose sizes agree.
pub(super) struct Opened<'a> {
    pub(super) metadata: Metadata,
    pub(super) data: &'a [u8],
}

impl<'a> Opened<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let bad = |why: &str| AssetError::SafeTensors { why: shown(why) };
        let (len, rest) = bytes.split_first_chunk().ok_or_else(|| bad("fewer than 8 bytes"))?;
        let len = u64::from_le_bytes(*len);
        if len > MAX_SAFETENSORS_HEADER_BYTES {
            return Err(bad(&format!("a header of {len} bytes (at most {MAX_SAFETENSORS_HEADER_BYTES})")));
        }
        // In range: the cap is far below `usize::MAX`.
        let (header, data) = rest.split_at_checked(len as usize).ok_or_else(|| bad("a header longer than the file"))?;
        let metadata: Metadata = serde_json::from_slice(header).map_err(|e| bad(&format!("the error \"{e}\"")))?;
        if metadata.data_len() != data.len() {
            return Err(bad(&format!("{} bytes of data for tensors of {}", data.len(), metadata.data_len())));
        }
        let got = metadata.tensors().len() as u64;
        if got > MAX_TENSORS {
            return Err(AssetError::TooManyTensors { got, max: MAX_TENSORS });
        }
        Ok(Self { metadata, data })
    }

    /// By name.
    pub(super) fn tensors(&self) -> Vec<(String, &TensorInfo)> {
        let mut tensors: Vec<_> = self.metadata.tensors().into_iter().collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        tensors
    }

    /// Collects what the file holds, beginning with what it says about itself.
    pub(super) fn collector(&self) -> Collector {
        let says = |key| meta(&self.metadata, key);
        let mut collector = Collector::new(Format::SafeTensors, says("model_hint").filter(|hint| !hint.is_empty()));
        collector.vectors.operator = says(super::direction::OPERATOR);
        collector.vectors.site = says(super::direction::SITE);
        collector
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Vectors, AssetError> {
    let opened = Opened::new(bytes)?;
    let (tensors, data) = (opened.tensors(), opened.data);
    let mut collector = opened.collector();
    if let [(name, info)] = &tensors[..]
        && name == "direction"
    {
        matrix(&mut collector, info, data)?;
    } else {
        for (name, info) in &tensors {
            let got = || shown(name);
            let allowed = "direction.N with a layer number N, or one tensor `direction`";
            let layer = layer_of(name).ok_or_else(|| AssetError::TensorName { got: got(), allowed })?;
            if info.shape.len() != 1 {
                return Err(shape(name, info, "[width]"));
            }
            collector.add(name, layer, floats(name, info, data)?)?;
        }
    }
    collector.finish()
}

fn matrix(collector: &mut Collector, info: &TensorInfo, data: &[u8]) -> Result<(), AssetError> {
    const NAME: &str = "direction";
    let allowed = "[layers, width] with at most 1024 layers";
    let &[rows, width] = &info.shape[..] else { return Err(shape(NAME, info, allowed)) };
    if rows as u64 > MAX_TENSORS || width == 0 {
        return Err(shape(NAME, info, allowed));
    }
    let values = floats(NAME, info, data)?;
    for (layer, row) in (0..).zip(values.chunks_exact(width)) {
        collector.add(&format!("{NAME}[{layer}]"), layer, row.to_vec())?;
    }
    collector.vectors.rows = u32::try_from(rows).ok();
    Ok(())
}

pub(super) fn floats(name: &str, info: &TensorInfo, data: &[u8]) -> Result<Vec<f32>, AssetError> {
    let (begin, end) = info.data_offsets;
    let Some(data) = data.get(begin..end) else {
        return Err(AssetError::SafeTensors { why: format!("tensor `{}` outside the file", shown(name)) });
    };
    let halves = |f: fn(u16) -> f32| data.as_chunks().0.iter().map(|b| f(u16::from_le_bytes(*b))).collect();
    match info.dtype {
        Dtype::F32 => Ok(data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Ok(halves(half::f16)),
        Dtype::BF16 => Ok(halves(half::bf16)),
        other => {
            let (tensor, got) = (shown(name), format!("{other}"));
            Err(AssetError::TensorType { tensor, got, allowed: "F32, F16, BF16" })
        }
    }
}

pub(super) fn shape(name: &str, info: &TensorInfo, allowed: &'static str) -> AssetError {
    let got = info.shape.iter().map(|n| *n as u64).collect();
    AssetError::TensorShape { tensor: shown(name), got, allowed }
}

pub(super) fn meta(metadata: &Metadata, key: &str) -> Option<String> {
    let text = metadata.metadata().as_ref()?.get(key)?;
    Some(shown(text))
}

//! Low-rank maps in safetensors (F32, F16, BF16), one per layer N: erasers as `read.N` and `write.N` of shape `[r, width]`
//! and `mean.N` of shape `[r]`, features of sparse autoencoders as `encoder.N` and `decoder.N` of shape `[width]` and
//! `bias.N` of shape `[1]`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::TensorInfo;
use sha2::{Digest, Sha256};

use super::bound::{MAX_ASSET_BYTES, MAX_RANK};
use super::direction::hex;
use super::file::read_regular;
use super::probe::is_safetensors;
use super::safetensors_vector::{Opened, floats, shape};
use super::vectors::{Vectors, check_values, numbered, shown};
use super::{AssetError, Direction};

/// The map of one layer: what is read of a row, what is written to it, and a number for each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Factors {
    /// Rows of the eraser, or the encoder.
    pub reads: Vec<Arc<[f32]>>,
    /// Columns of the eraser, or the decoder: as many.
    pub writes: Vec<Arc<[f32]>>,
    /// The mean of what is read, or the encoder's bias: as many.
    pub offset: Vec<f32>,
}

/// How the tensors of a file are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    stems: [&'static str; 3],
    /// Whether there can be several rows.
    matrix: bool,
    allowed: &'static str,
}

/// An eraser: `x − W(Rx − m)`.
pub const ERASER: Layout = Layout {
    stems: ["read.", "write.", "mean."],
    matrix: true,
    allowed: "read.N, write.N and mean.N with a layer number N",
};

/// A feature of a sparse autoencoder.
pub const FEATURE: Layout = Layout {
    stems: ["encoder.", "decoder.", "bias."],
    matrix: false,
    allowed: "encoder.N, decoder.N and bias.N with a layer number N",
};

impl Direction {
    /// Reads a file with maps that [`super::Places::resolve`] found.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read_factors(file: &Path, layout: Layout) -> Result<Self, AssetError> {
        let bytes = read_regular(file, MAX_ASSET_BYTES, is_safetensors)?;
        let (vectors, factors) = parse_factors(&bytes, layout)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        Ok(Self { file: file.to_owned(), sha256, bytes: bytes.len() as u64, vectors, factors })
    }
}

/// Reads the bytes of a file with maps: their layers and width, and the maps.
///
/// # Errors
/// The first thing that is wrong with it. No input makes this panic, or allocate more than a small multiple of the
/// input's size.
pub fn parse_factors(bytes: &[u8], layout: Layout) -> Result<(Vectors, BTreeMap<u32, Factors>), AssetError> {
    is_safetensors(bytes)?;
    let opened = Opened::new(bytes)?;
    let mut collector = opened.collector();
    let mut factors: BTreeMap<u32, Factors> = BTreeMap::new();
    for (name, info) in &opened.tensors() {
        let mut found = layout.stems.iter().enumerate().filter_map(|(i, stem)| Some((i, numbered(name, stem)?)));
        let Some((stem, layer)) = found.next() else {
            return Err(AssetError::TensorName { got: shown(name), allowed: layout.allowed });
        };
        let map = factors.entry(layer).or_default();
        if stem == 2 {
            map.offset = numbers(name, info, opened.data, layout)?;
            continue;
        }
        let rows = rows(name, info, opened.data, layout)?;
        // Which of the rows the collector keeps does not matter: it checks each.
        rows.iter().try_for_each(|row| collector.add(name, layer, row.to_vec()))?;
        *(if stem == 0 { &mut map.reads } else { &mut map.writes }) = rows;
    }
    let vectors = collector.finish_as(if layout.matrix { "read.N" } else { "encoder.N" })?;
    for (layer, map) in &factors {
        let ranks = [map.reads.len(), map.writes.len(), map.offset.len()];
        let partner = |wrong: fn(usize, usize) -> bool| ranks.iter().position(|n| wrong(*n, ranks[0].max(ranks[1])));
        if let Some(other) = partner(|n, _| n == 0) {
            let whole = ranks.iter().position(|n| *n > 0).unwrap_or_default();
            let name = |i: usize| format!("{}{layer}", layout.stems[i]);
            return Err(AssetError::NoPartner { tensor: name(whole), partner: name(other) });
        }
        if let Some(other) = partner(|n, most| n != most) {
            let (tensor, got) = (format!("{}{layer}", layout.stems[other]), vec![ranks[other] as u64]);
            return Err(AssetError::TensorShape { tensor, got, allowed: "as many rows as the layer's others" });
        }
    }
    Ok((vectors, factors))
}

fn rows(name: &str, info: &TensorInfo, data: &[u8], layout: Layout) -> Result<Vec<Arc<[f32]>>, AssetError> {
    let width = match (layout.matrix, &info.shape[..]) {
        (true, &[rows, width]) if (1..=MAX_RANK).contains(&rows) && width > 0 => width,
        (true, _) => return Err(shape(name, info, "[r, width] with r from 1 to 8")),
        (false, &[width]) if width > 0 => width,
        (false, _) => return Err(shape(name, info, "[width]")),
    };
    Ok(floats(name, info, data)?.chunks_exact(width).map(Arc::from).collect())
}

fn numbers(name: &str, info: &TensorInfo, data: &[u8], layout: Layout) -> Result<Vec<f32>, AssetError> {
    let most = if layout.matrix { MAX_RANK } else { 1 };
    if !matches!(info.shape[..], [n] if (1..=most).contains(&n)) {
        return Err(shape(name, info, if layout.matrix { "[r] with r from 1 to 8" } else { "[1]" }));
    }
    let values = floats(name, info, data)?;
    check_values(name, &values)?;
    Ok(values)
}

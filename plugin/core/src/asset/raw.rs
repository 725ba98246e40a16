//! What a profile says of a file that does not say it itself: shape, and the layers of its rows.

use super::bound::MAX_TENSORS;
use super::vectors::{Collector, Format, Vectors};
use super::{AssetError, npy};

/// What was typed beside a file's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Raw {
    /// `shape`: rows and width of a file of F32 values without a header.
    pub shape: Option<(u32, u32)>,
    /// `rows`: the layer of each row, in order.
    pub rows: Option<Vec<u32>>,
}

/// Values without a header: little-endian F32, row after row.
pub(super) fn headerless(bytes: &[u8], raw: &Raw, shape: (u32, u32)) -> Result<Vectors, AssetError> {
    let (rows, width) = (u64::from(shape.0), u64::from(shape.1));
    let need = rows.saturating_mul(width).saturating_mul(4);
    if bytes.len() as u64 != need {
        return Err(AssetError::Headerless { got: bytes.len() as u64, need, shape: [shape.0, shape.1] });
    }
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    directions(Format::Raw, raw, Some(shape.0 as usize), shape.1 as usize, &values)
}

/// A NumPy array.
pub(super) fn array(bytes: &[u8], raw: &Raw) -> Result<Vectors, AssetError> {
    let array = npy::parse(bytes)?;
    let found = [array.rows.unwrap_or(1) as u64, array.width as u64];
    if let Some((rows, width)) = raw.shape
        && [u64::from(rows), u64::from(width)] != found
    {
        return Err(AssetError::OtherShape { got: found.to_vec(), typed: [rows, width] });
    }
    directions(Format::Npy, raw, array.rows, array.width, &array.values)
}

/// Without `rows`, a matrix has one row for every layer of the model, which the plan checks.
fn directions(
    format: Format,
    raw: &Raw,
    rows: Option<usize>,
    width: usize,
    values: &[f32],
) -> Result<Vectors, AssetError> {
    let n_rows = rows.unwrap_or(1);
    if n_rows as u64 > MAX_TENSORS {
        return Err(AssetError::TooManyTensors { got: n_rows as u64, max: MAX_TENSORS });
    }
    let all: Vec<u32>;
    let layers = match (&raw.rows, rows) {
        (Some(layers), _) if layers.len() != n_rows => {
            return Err(AssetError::RowCount { got: layers.len() as u64, rows: n_rows as u64 });
        }
        (Some(layers), _) => layers,
        (None, Some(n)) if format == Format::Npy => {
            all = (0..u32::try_from(n).unwrap_or(u32::MAX)).collect();
            &all
        }
        (None, _) => return Err(AssetError::RowsUnknown { format }),
    };
    let mut collector = Collector::new(format, None);
    for (row, (layer, values)) in layers.iter().zip(values.chunks_exact(width.max(1))).enumerate() {
        collector.add(&format!("row {row}"), *layer, values.to_vec())?;
    }
    if raw.rows.is_none() {
        collector.vectors.rows = u32::try_from(n_rows).ok();
    }
    collector.finish_as("row")
}

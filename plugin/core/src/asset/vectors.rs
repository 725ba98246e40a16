//! What a vector file holds.

use std::collections::BTreeMap;
use std::fmt;

use super::bound::{MAX_DIRECTION_NORM, MAX_WIDTH};
use super::{AssetError, Raw, gguf, gguf_vector, npy, raw, safetensors_vector};

/// Format of a vector file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// llama.cpp's control vector.
    Gguf,
    /// safetensors.
    SafeTensors,
    /// NumPy's.
    Npy,
    /// F32 values without a header.
    Raw,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gguf => "GGUF",
            Self::SafeTensors => "safetensors",
            Self::Npy => "npy",
            Self::Raw => "headerless",
        })
    }
}

/// The directions of one file: finite, of one width, with norms of at most [`MAX_DIRECTION_NORM`].
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// The file's format.
    pub format: Format,
    /// The model family the file says it was made for.
    pub model_hint: Option<String>,
    /// The operator the file says it was made for.
    pub operator: Option<String>,
    /// The site the file says it was made for.
    pub site: Option<String>,
    /// Width of every direction, in elements.
    pub width: u32,
    /// For a file with one matrix: its number of rows, which must be the model's number of layers.
    pub rows: Option<u32>,
    /// The direction of each layer, layers counted from 0; never empty.
    pub layers: BTreeMap<u32, Vec<f32>>,
}

/// Reads a vector file's bytes.
///
/// # Errors
/// The first thing that is wrong with it. No input makes this panic, or allocate more than a small multiple of the
/// input's size.
pub fn parse(bytes: &[u8]) -> Result<Vectors, AssetError> {
    parse_with(bytes, &Raw::default())
}

/// The same with what the profile says of the file's shape.
///
/// # Errors
/// As [`parse`]; also if the profile says what the file says itself.
pub fn parse_with(bytes: &[u8], raw: &Raw) -> Result<Vectors, AssetError> {
    let typed = raw.shape.map(|_| "shape").or(raw.rows.as_ref().map(|_| "rows"));
    let itself = |format, vectors| match typed {
        Some(key) => Err(AssetError::SaysItself { key, format }),
        None => vectors,
    };
    if bytes.starts_with(gguf::MAGIC) {
        return itself(Format::Gguf, gguf_vector::parse(bytes));
    }
    if bytes.starts_with(npy::MAGIC) {
        return raw::array(bytes, raw);
    }
    if let Some(shape) = raw.shape {
        return raw::headerless(bytes, raw, shape);
    }
    // A safetensors file begins with its header's length and the header, a JSON object.
    if bytes.get(8) == Some(&b'{') {
        return itself(Format::SafeTensors, safetensors_vector::parse(bytes));
    }
    let got = match bytes {
        [] => "an empty file".to_owned(),
        [b'P', b'K', 3, 4, ..] => "a zip archive (PyTorch or NumPy?)".to_owned(),
        [0x80, 2..=5, ..] => "a Python pickle".to_owned(),
        _ if bytes.starts_with(b"version https://git-lfs") => "a Git LFS pointer instead of the file".to_owned(),
        _ => format!("the first bytes {:02x?}", &bytes[..bytes.len().min(8)]),
    };
    Err(AssetError::UnknownFormat { got })
}

/// Looks at a file's first bytes only, so that a model of many gigabytes is not read to learn that it is none of ours.
pub(super) fn peek(first: &[u8], raw: &Raw) -> Result<(), AssetError> {
    if first.starts_with(gguf::MAGIC) {
        return gguf_vector::peek(first);
    }
    if first.starts_with(npy::MAGIC) || raw.shape.is_some() {
        return Ok(());
    }
    if first.get(8) == Some(&b'{') { Ok(()) } else { parse(first).map(|_| ()) }
}

/// Collects directions and checks what holds for every format.
pub(super) struct Collector {
    pub(super) vectors: Vectors,
    first: Option<String>,
}

impl Collector {
    pub(super) fn new(format: Format, model_hint: Option<String>) -> Self {
        let (operator, site, layers) = (None, None, BTreeMap::new());
        let vectors = Vectors { format, model_hint, operator, site, width: 0, rows: None, layers };
        Self { vectors, first: None }
    }

    /// Adds the direction of one layer.
    pub(super) fn add(&mut self, tensor: &str, layer: u32, values: Vec<f32>) -> Result<(), AssetError> {
        let tensor_name = || tensor.to_owned();
        let width = values.len() as u64;
        if width == 0 || width > MAX_WIDTH {
            let allowed = "1 to 1048576 elements";
            return Err(AssetError::TensorShape { tensor: tensor_name(), got: vec![width], allowed });
        }
        let first_tensor = self.first.get_or_insert_with(tensor_name);
        if self.vectors.layers.is_empty() {
            self.vectors.width = width as u32;
        } else if u64::from(self.vectors.width) != width {
            let (first_tensor, first) = (first_tensor.clone(), u64::from(self.vectors.width));
            return Err(AssetError::Width { tensor: tensor_name(), got: width, first_tensor, first });
        }
        check_values(tensor, &values)?;
        self.vectors.layers.insert(layer, values);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Vectors, AssetError> {
        self.finish_as("direction.N")
    }

    /// The same for tensors of another name.
    pub(super) fn finish_as(self, allowed: &'static str) -> Result<Vectors, AssetError> {
        if self.vectors.layers.is_empty() { Err(AssetError::NoDirection { allowed }) } else { Ok(self.vectors) }
    }
}

/// Finite, and with a norm of at most [`MAX_DIRECTION_NORM`].
pub(super) fn check_values(tensor: &str, values: &[f32]) -> Result<(), AssetError> {
    if let Some(index) = values.iter().position(|v| !v.is_finite()) {
        return Err(AssetError::NotFinite { tensor: tensor.to_owned(), index, got: values[index] });
    }
    let norm = norm(values);
    if norm > MAX_DIRECTION_NORM {
        return Err(AssetError::Norm { tensor: tensor.to_owned(), got: norm, max: MAX_DIRECTION_NORM });
    }
    Ok(())
}

/// Euclidean norm, summed in F64 in order.
pub(crate) fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// The layer of a tensor `direction.N`; N without sign or leading zeros.
pub(super) fn layer_of(name: &str) -> Option<u32> {
    numbered(name, "direction.")
}

/// The number after a stem, without sign or leading zeros.
pub(super) fn numbered(name: &str, stem: &str) -> Option<u32> {
    let digits = name.strip_prefix(stem)?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

/// Text from a file as a message may show it: at most 200 characters, none of them control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect()
}

//! A writer of small safetensors files.

use safetensors::tensor::{Dtype, TensorView};

/// Tensors with their type, shape and bytes.
pub fn file(tensors: &[(&str, Dtype, &[usize], Vec<u8>)], metadata: &[(&str, &str)]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), data).expect("shape and bytes agree"))
    });
    let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    // The crate writes an empty map as a broken header.
    let metadata = if metadata.len() == 0 { None } else { Some(metadata.collect()) };
    safetensors::serialize(views, metadata).expect("a valid file")
}

/// A header of one's own choice, and data.
pub fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

pub fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// bfloat16 of values that it can hold exactly.
pub fn bf16s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

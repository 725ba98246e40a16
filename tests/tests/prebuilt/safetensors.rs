//! A writer of safetensors files.

use serde_json::json;

/// Name, shape, values.
pub type Tensor = (String, Vec<usize>, Vec<f32>);

/// A file of F32 tensors.
pub fn write(tensors: &[Tensor]) -> Vec<u8> {
    let (mut header, mut data) = (json!({}), Vec::new());
    for (name, shape, values) in tensors {
        let begin = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        header[name] = json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()] });
    }
    let header = header.to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

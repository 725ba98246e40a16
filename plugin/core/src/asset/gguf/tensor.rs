//! The tensor table of a GGUF file.

use std::collections::HashSet;

use super::{Cursor, GgufError};

/// One entry of the table.
#[derive(Debug, Clone)]
pub(crate) struct TensorInfo<'a> {
    pub(crate) name: &'a str,
    /// Elements per dimension; the first varies fastest. Never empty.
    pub(crate) shape: Vec<u64>,
    /// ggml's number of the element type.
    pub(crate) kind: u32,
    /// From the beginning of the tensor data.
    pub(crate) offset: u64,
}

/// ggml's number of F32.
pub(crate) const TYPE_F32: u32 = 0;

/// Name of an element type, for messages.
pub(crate) fn type_name(kind: u32) -> String {
    let name = match kind {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        6 => "Q5_0",
        7 => "Q5_1",
        8 => "Q8_0",
        12 => "Q4_K",
        14 => "Q6_K",
        28 => "F64",
        30 => "BF16",
        _ => return format!("ggml type {kind}"),
    };
    name.to_owned()
}

/// Reads the table; the caller has bounded `n`.
pub(crate) fn tensors<'a>(cursor: &mut Cursor<'a>, n: u64) -> Result<Vec<TensorInfo<'a>>, GgufError> {
    let mut list = vec![];
    let mut names = HashSet::new();
    for _ in 0..n {
        let name = cursor.name()?;
        let n_dims = cursor.u32()?;
        if !(1..=4).contains(&n_dims) {
            return Err(GgufError::Dimensions { name: name.into(), got: n_dims });
        }
        let shape = (0..n_dims).map(|_| cursor.u64()).collect::<Result<_, _>>()?;
        let (kind, offset) = (cursor.u32()?, cursor.u64()?);
        if !names.insert(name) {
            return Err(GgufError::DuplicateTensor { name: name.into() });
        }
        list.push(TensorInfo { name, shape, kind, offset });
    }
    Ok(list)
}

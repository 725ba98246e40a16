//! A strict, streaming writer of GGUF version 3.
//!
//! The published crates that write GGUF keep all tensor data in memory or cannot check it against the header; this
//! needs a gigabyte streamed, and a wrong size found here, not in llama.cpp.

use std::io::{self, BufWriter, Write};

/// The data of every tensor starts at a multiple of this.
const ALIGNMENT: u64 = 32;

/// A metadata value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Unsigned 32-bit.
    U32(u32),
    /// 32-bit float.
    F32(f32),
    /// Boolean.
    Bool(bool),
    /// UTF-8 text.
    Text(String),
    /// An array of text.
    Texts(Vec<String>),
    /// An array of 32-bit floats.
    F32s(Vec<f32>),
    /// An array of signed 32-bit integers.
    I32s(Vec<i32>),
}

impl Value {
    /// GGUF's type number of this value and, for an array, of its elements.
    fn type_numbers(&self) -> (u32, Option<u32>) {
        const ARRAY: u32 = 9;
        match self {
            Self::U32(_) => (4, None),
            Self::F32(_) => (6, None),
            Self::Bool(_) => (7, None),
            Self::Text(_) => (8, None),
            Self::Texts(_) => (ARRAY, Some(8)),
            Self::F32s(_) => (ARRAY, Some(6)),
            Self::I32s(_) => (ARRAY, Some(5)),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (kind, element) = self.type_numbers();
        out.extend(kind.to_le_bytes());
        out.extend(element.iter().flat_map(|kind| kind.to_le_bytes()));
        match self {
            Self::U32(value) => out.extend(value.to_le_bytes()),
            Self::F32(value) => out.extend(value.to_le_bytes()),
            Self::Bool(value) => out.push(u8::from(*value)),
            Self::Text(value) => text(value, out),
            Self::Texts(values) => {
                length(values.len(), out);
                values.iter().for_each(|value| text(value, out));
            }
            Self::F32s(values) => {
                length(values.len(), out);
                values.iter().for_each(|value| out.extend(value.to_le_bytes()));
            }
            Self::I32s(values) => {
                length(values.len(), out);
                values.iter().for_each(|value| out.extend(value.to_le_bytes()));
            }
        }
    }
}

fn length(value: usize, out: &mut Vec<u8>) {
    out.extend((value as u64).to_le_bytes());
}

fn text(value: &str, out: &mut Vec<u8>) {
    length(value.len(), out);
    out.extend(value.as_bytes());
}

/// A tensor's entry in the header.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its name, at most 63 bytes.
    pub name: String,
    /// Its extents, the fastest one first, as ggml counts them.
    pub shape: Vec<u64>,
    /// Its `ggml_type`.
    pub ggml_type: u32,
    /// The size of its data.
    pub bytes: u64,
}

/// Writes the header at once and then the tensors' data in the order they were declared.
pub struct Writer<W: Write> {
    out: BufWriter<W>,
    /// Sizes of the tensors still to come, the next one last.
    due: Vec<u64>,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header: metadata in the order given, then the tensors' entries.
    ///
    /// # Errors
    /// What the destination answers.
    pub fn new(destination: W, metadata: &[(String, Value)], tensors: &[Tensor]) -> io::Result<Self> {
        let mut head = b"GGUF\x03\0\0\0".to_vec();
        length(tensors.len(), &mut head);
        length(metadata.len(), &mut head);
        for (key, value) in metadata {
            text(key, &mut head);
            value.write(&mut head);
        }
        let mut offset = 0_u64;
        for tensor in tensors {
            text(&tensor.name, &mut head);
            head.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().for_each(|extent| head.extend(extent.to_le_bytes()));
            head.extend(tensor.ggml_type.to_le_bytes());
            head.extend(offset.to_le_bytes());
            offset += tensor.bytes.next_multiple_of(ALIGNMENT);
        }
        head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);
        let mut out = BufWriter::with_capacity(1 << 20, destination);
        out.write_all(&head)?;
        Ok(Self { out, due: tensors.iter().rev().map(|tensor| tensor.bytes).collect(), written: 0 })
    }

    /// Writes a part of the next tensor's data. A tensor ends when all its bytes are there; a part never crosses that end.
    ///
    /// # Errors
    /// `InvalidInput` when more comes than was declared; otherwise what the destination answers.
    pub fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(&size) = self.due.last() else { return Err(wrong("data after the last tensor")) };
        self.written += bytes.len() as u64;
        if self.written > size {
            return Err(wrong("more data than the tensor's entry declares"));
        }
        self.out.write_all(bytes)?;
        if self.written == size {
            let padding = size.next_multiple_of(ALIGNMENT) - size;
            self.out.write_all(&[0; ALIGNMENT as usize][..padding as usize])?;
            self.due.pop();
            self.written = 0;
        }
        Ok(())
    }

    /// Flushes, after checking that every declared tensor was written.
    ///
    /// # Errors
    /// `InvalidInput` when data is missing; otherwise what the destination answers.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.due.is_empty() {
            return Err(wrong("a declared tensor has no data"));
        }
        self.out.flush()
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, bytes: u64) -> Tensor {
        Tensor { name: name.into(), shape: vec![bytes / 4], ggml_type: 0, bytes }
    }

    #[test]
    fn header_and_alignment() {
        let mut out = Vec::new();
        let metadata = [("k".to_owned(), Value::U32(7))];
        let mut writer = Writer::new(&mut out, &metadata, &[tensor("a", 4), tensor("b", 8)]).unwrap();
        writer.data(&[1; 4]).unwrap();
        writer.data(&[2; 4]).unwrap();
        writer.data(&[2; 4]).unwrap();
        writer.finish().unwrap();
        assert_eq!(&out[..8], b"GGUF\x03\0\0\0");
        assert_eq!(out.len() % 32, 0);
        let data = out.len() - 64;
        assert_eq!(&out[data..data + 8], &[1, 1, 1, 1, 0, 0, 0, 0]);
        assert_eq!(&out[data + 32..data + 40], &[2; 8]);
    }

    #[test]
    fn sizes_are_enforced() {
        let writer = Writer::new(Vec::new(), &[], &[tensor("a", 4)]).unwrap();
        assert!(writer.finish().is_err(), "missing data");
        let mut writer = Writer::new(Vec::new(), &[], &[tensor("a", 4)]).unwrap();
        assert!(writer.data(&[0; 5]).is_err(), "too much data");
        let mut writer = Writer::new(Vec::new(), &[], &[]).unwrap();
        assert!(writer.data(&[0]).is_err(), "no tensor");
    }
}

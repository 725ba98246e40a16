//! Captured activations in a safetensors file: a tensor `layer.N` of shape `[examples, width]`, F32, for each layer.
//!
//! The file has its full size from the beginning and rows are written where they belong, so memory holds a batch, never
//! the data; what reads it goes through it block by block. Without a path it is a temporary file without a name.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use serde_json::{Map, json};

use super::Metadata;
use crate::estimate::Rows;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// The activations of all layers.
pub struct Store {
    file: File,
    data: u64,
    examples: usize,
    width: usize,
    seen: Vec<bool>,
}

impl Store {
    /// A file for `examples` rows of each layer.
    pub fn new(
        path: Option<&Path>,
        examples: usize,
        layers: usize,
        width: usize,
        metadata: &Metadata,
    ) -> io::Result<Store> {
        let mut file = match path {
            Some(path) => File::options().read(true).write(true).create(true).truncate(true).open(path)?,
            None => tempfile::tempfile()?,
        };
        let size = examples * width * 4;
        let mut header = Map::new();
        let said: Map<String, _> = metadata.0.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        header.insert("__metadata__".into(), said.into());
        for layer in 0..layers {
            let offsets = [layer * size, (layer + 1) * size];
            let tensor = json!({ "dtype": "F32", "shape": [examples, width], "data_offsets": offsets });
            header.insert(format!("layer.{layer}"), tensor);
        }
        let mut text = serde_json::to_vec(&header)?;
        text.resize(text.len().next_multiple_of(8), b' ');
        file.write_all(&(text.len() as u64).to_le_bytes())?;
        file.write_all(&text)?;
        let data = 8 + text.len() as u64;
        file.set_len(data + (layers * size) as u64)?;
        Ok(Store { file, data, examples, width, seen: vec![false; layers] })
    }

    /// Writes one row.
    pub fn put(&mut self, layer: usize, example: usize, row: &[f32]) -> io::Result<()> {
        self.seen[layer] = true;
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.file.write_all_at(&bytes, self.at(layer, example))
    }

    /// Everything was written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// The layers that were captured.
    pub fn layers(&self) -> Vec<usize> {
        (0..self.seen.len()).filter(|l| self.seen[*l]).collect()
    }

    /// The rows of one layer.
    pub fn layer(&self, layer: usize) -> Layer<'_> {
        Layer { store: self, layer }
    }

    fn at(&self, layer: usize, example: usize) -> u64 {
        self.data + ((layer * self.examples + example) * self.width * 4) as u64
    }
}

/// The rows of one layer.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    store: &'a Store,
    layer: usize,
}

impl Rows for Layer<'_> {
    fn len(&self) -> usize {
        self.store.examples
    }

    fn width(&self) -> usize {
        self.store.width
    }

    fn visit(&self, see: &mut dyn FnMut(usize, &[f32])) -> io::Result<()> {
        let width = self.store.width;
        // Even, so that pairs stay together.
        let rows = (BLOCK / (4 * width)).next_multiple_of(2).max(2);
        let mut bytes = vec![0u8; rows * width * 4];
        let mut values = vec![0f32; rows * width];
        for first in (0..self.store.examples).step_by(rows) {
            let n = rows.min(self.store.examples - first);
            let part = &mut bytes[..n * width * 4];
            self.store.file.read_exact_at(part, self.store.at(self.layer, first))?;
            values.iter_mut().zip(part.as_chunks().0).for_each(|(v, b)| *v = f32::from_le_bytes(*b));
            see(first, &values[..n * width]);
        }
        Ok(())
    }
}

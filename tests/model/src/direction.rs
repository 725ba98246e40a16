//! Control vectors, in llama.cpp's own format.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::gguf::{Tensor, Value, Writer};
use crate::random::Random;

/// Directions by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlVector {
    /// The architecture it was made for, `controlvector.model_hint`.
    pub hint: String,
    /// One direction per layer, `[n_embd]`. llama.cpp accepts layers from 1.
    pub directions: BTreeMap<u32, Vec<f32>>,
}

impl ControlVector {
    /// Random directions, each component with standard deviation 1.
    pub fn random(hint: &str, n_embd: u32, layers: impl IntoIterator<Item = u32>, seed: u64) -> Self {
        let direction = |layer: u32| {
            let mut random = Random::named(seed, &format!("direction.{layer}"));
            (layer, (0..n_embd).map(|_| random.normal()).collect())
        };
        Self { hint: hint.to_owned(), directions: layers.into_iter().map(direction).collect() }
    }

    /// The same, times `factor`.
    #[must_use]
    pub fn scaled(mut self, factor: f32) -> Self {
        self.directions.values_mut().flatten().for_each(|component| *component *= factor);
        self
    }

    /// Writes a GGUF file.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let metadata = [
            ("general.architecture", Value::Text("controlvector".into())),
            ("controlvector.model_hint", Value::Text(self.hint.clone())),
            ("controlvector.layer_count", Value::U32(self.directions.len() as u32)),
        ]
        .map(|(key, value)| (key.to_owned(), value));
        let tensor = |(layer, direction): (&u32, &Vec<f32>)| Tensor {
            name: format!("direction.{layer}"),
            shape: vec![direction.len() as u64],
            ggml_type: 0,
            bytes: direction.len() as u64 * 4,
        };
        let tensors: Vec<Tensor> = self.directions.iter().map(tensor).collect();
        let mut writer = Writer::new(File::create(path)?, &metadata, &tensors)?;
        for direction in self.directions.values() {
            let bytes: Vec<u8> = direction.iter().flat_map(|component| component.to_le_bytes()).collect();
            writer.data(&bytes)?;
        }
        writer.finish()
    }
}

/// Writes random directions for a llama.
///
/// # Errors
/// What the file system answers.
pub fn control_vector(n_embd: u32, layers: impl IntoIterator<Item = u32>, seed: u64, path: &Path) -> io::Result<()> {
    ControlVector::random("llama", n_embd, layers, seed).write(path)
}

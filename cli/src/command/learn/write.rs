//! Vector files, probes and erasers, in the formats that profiles name.

use std::{collections::BTreeMap, fs::File, io, path::Path};

use evenkeel_model::{Tensor, Value, Writer};
use safetensors::tensor::{Dtype, TensorView};

use super::{fit::LayerFit, sae::Feature};

/// A control vector in llama.cpp's format: `--control-vector` of a stock llama.cpp reads it, too, as it has no layer 0.
pub fn vector(
    path: &Path,
    arch: &str,
    directions: &BTreeMap<usize, Vec<f32>>,
    said: &[(String, String)],
) -> io::Result<()> {
    let mut metadata = vec![
        ("general.architecture".to_owned(), Value::Text("controlvector".into())),
        ("controlvector.model_hint".to_owned(), Value::Text(arch.into())),
        ("controlvector.layer_count".to_owned(), Value::U32(directions.len() as u32)),
    ];
    metadata.extend(said.iter().map(|(k, v)| (k.clone(), Value::Text(v.clone()))));
    let tensor = |(layer, direction): (&usize, &Vec<f32>)| Tensor {
        name: format!("direction.{layer}"),
        shape: vec![direction.len() as u64],
        ggml_type: 0,
        bytes: direction.len() as u64 * 4,
    };
    let tensors: Vec<Tensor> = directions.iter().map(tensor).collect();
    let mut writer = Writer::new(File::create(path)?, &metadata, &tensors)?;
    directions.values().try_for_each(|d| writer.data(&bytes(d)))?;
    writer.finish()
}

/// Linear probes: `probe.N` and `bias.N`.
pub fn probe(path: &Path, layers: &[LayerFit], said: &[(String, String)]) -> io::Result<()> {
    let parts = layers.iter().flat_map(|l| {
        [
            (format!("probe.{}", l.layer), vec![l.probe.weights.len()], single(&l.probe.weights)),
            (format!("bias.{}", l.layer), vec![1], vec![l.probe.bias as f32]),
        ]
    });
    tensors(path, parts.collect(), said)
}

/// Erasers: `read.N`, `write.N` and `mean.N`.
pub fn eraser(path: &Path, layers: &[LayerFit], said: &[(String, String)]) -> io::Result<()> {
    let parts = layers.iter().filter_map(|l| Some((l.layer, l.eraser.as_ref()?))).flat_map(|(layer, e)| {
        [
            (format!("read.{layer}"), vec![1, e.read.len()], single(&e.read)),
            (format!("write.{layer}"), vec![1, e.write.len()], single(&e.write)),
            (format!("mean.{layer}"), vec![1], vec![e.mean as f32]),
        ]
    });
    tensors(path, parts.collect(), said)
}

/// A feature of a sparse autoencoder: `encoder.N`, `bias.N` and `decoder.N`.
pub fn feature(path: &Path, layer: usize, f: &Feature, said: &[(String, String)]) -> io::Result<()> {
    let parts = vec![
        (format!("encoder.{layer}"), vec![f.encoder.len()], f.encoder.clone()),
        (format!("bias.{layer}"), vec![1], vec![f.bias]),
        (format!("decoder.{layer}"), vec![f.decoder.len()], f.decoder.clone()),
    ];
    tensors(path, parts, said)
}

/// Tensors of F32 in safetensors.
pub fn tensors(path: &Path, parts: Vec<(String, Vec<usize>, Vec<f32>)>, said: &[(String, String)]) -> io::Result<()> {
    let data: Vec<Vec<u8>> = parts.iter().map(|(_, _, values)| bytes(values)).collect();
    let views: Result<Vec<(String, TensorView<'_>)>, _> = parts
        .iter()
        .zip(&data)
        .map(|((name, shape, _), data)| Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect();
    let views = views.map_err(|e: safetensors::SafeTensorError| io::Error::other(e))?;
    let said = said.iter().cloned().collect();
    safetensors::serialize_to_file(views, Some(said), path).map_err(io::Error::other)
}

/// As F32.
pub fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

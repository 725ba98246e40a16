//! Features of a sparse autoencoder, from the file it was published in.
//!
//! SAELens' names (`W_enc` of shape [width, features], `W_dec`, `b_enc`, `b_dec`) and those of a pair of linear layers
//! (`encoder.weight` of shape [features, width], `encoder.bias`, `decoder.weight`) are known; F32, F16 or BF16. The file is read
//! in parts: it may be larger than memory.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::{Deserialize, Serialize};

use crate::{
    estimate::{Rows, Scored},
    failure::Failure,
};

/// Features that are read at once.
const PART: usize = 512;
/// Largest header, in bytes.
const MAX_HEADER: u64 = 16 << 20;

/// One feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    pub index: usize,
    /// How well its activation tells the classes apart on the texts that are fitted.
    pub auroc: f64,
    pub encoder: Vec<f32>,
    pub bias: f32,
    pub decoder: Vec<f32>,
}

/// What the report says of one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ranked {
    pub index: usize,
    pub auroc: f64,
}

/// A sparse autoencoder's file.
pub struct Sae {
    path: PathBuf,
    file: File,
    data: u64,
    encoder: Matrix,
    decoder: Matrix,
    bias: Vec<f32>,
    /// What is subtracted before encoding.
    centre: Option<Vec<f32>>,
    pub width: usize,
    pub features: usize,
    /// What cannot be taken over as it is.
    pub notes: Vec<String>,
}

/// Where the numbers of each feature are.
struct Matrix {
    info: TensorInfo,
    /// A row is a feature, else a column is.
    by_row: bool,
}

impl Sae {
    /// Opens a file.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn open(path: &Path, width: usize) -> Result<Sae, Failure> {
        let bad = |why: String| Failure::usage(format!("--sae {}: {why}", path.display()));
        let file = File::open(path).map_err(|e| bad(e.to_string()))?;
        let mut head = [0u8; 8];
        file.read_exact_at(&mut head, 0).map_err(|e| bad(e.to_string()))?;
        let length = u64::from_le_bytes(head);
        if length > MAX_HEADER {
            return Err(bad("is no safetensors file".into()));
        }
        let mut header = vec![0u8; length as usize];
        file.read_exact_at(&mut header, 8).map_err(|e| bad(e.to_string()))?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|e| bad(format!("is no safetensors file: {e}")))?;
        let tensors = metadata.tensors();
        let find = |names: [&str; 2]| {
            let found = names.iter().enumerate().find_map(|(i, n)| Some((i, (*tensors.get(*n)?).clone())));
            found.ok_or_else(|| {
                let have: Vec<&str> = tensors.keys().map(String::as_str).take(8).collect();
                bad(format!("has neither `{}` nor `{}`, but {}", names[0], names[1], have.join(", ")))
            })
        };
        let (linear, info) = find(["W_enc", "encoder.weight"])?;
        let encoder = Matrix { info, by_row: linear == 1 };
        let (linear, info) = find(["W_dec", "decoder.weight"])?;
        let decoder = Matrix { info, by_row: linear == 0 };
        let features = encoder.features(width).filter(|n| decoder.features(width) == Some(*n)).ok_or_else(|| {
            bad(format!(
                "encoder {:?} and decoder {:?} do not fit a model of width {width}",
                encoder.info.shape, decoder.info.shape
            ))
        })?;
        let mut sae = Sae {
            path: path.to_owned(),
            file,
            data: 8 + length,
            encoder,
            decoder,
            bias: Vec::new(),
            centre: None,
            width,
            features,
            notes: Vec::new(),
        };
        let (_, info) = find(["b_enc", "encoder.bias"])?;
        sae.bias = sae.run(&info, 0, features)?;
        let subtracted = std::fs::read_to_string(path.with_file_name("cfg.json"))
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
            .and_then(|cfg| cfg["apply_b_dec_to_input"].as_bool());
        match (tensors.get("b_dec"), subtracted) {
            (Some(info), Some(true)) => sae.centre = Some(sae.run(info, 0, width)?),
            (Some(_), None) => sae.notes.push(
                "no cfg.json beside the autoencoder says whether b_dec is subtracted first: taken as it is not".into(),
            ),
            _ => {}
        }
        if tensors.contains_key("threshold") || tensors.contains_key("log_threshold") {
            sae.notes.push("the autoencoder has thresholds (JumpReLU), which are taken as zero".into());
        }
        Ok(sae)
    }

    /// The features whose activation tells the classes apart best, either way, best first.
    ///
    /// # Errors
    /// A file that cannot be read to its end.
    pub fn rank(
        &self,
        rows: &impl Rows,
        weights: &[f64],
        positive: &[bool],
        most: usize,
        step: impl Fn(usize),
    ) -> Result<Vec<Feature>, Failure> {
        let mut best: Vec<Feature> = Vec::new();
        for first in (0..self.features).step_by(PART) {
            let n = PART.min(self.features - first);
            let encoders = self.part(&self.encoder, first, n)?;
            let mut biases = self.bias[first..first + n].to_vec();
            if let Some(centre) = &self.centre {
                for (bias, e) in biases.iter_mut().zip(encoders.chunks_exact(self.width)) {
                    *bias -= e.iter().zip(centre).map(|(e, c)| e * c).sum::<f32>();
                }
            }
            let mut activations: Vec<Vec<f64>> = vec![Vec::new(); n];
            let mut classes = Vec::new();
            rows.each(weights, &mut |i, _, row| {
                classes.push(positive[i]);
                for (f, e) in encoders.chunks_exact(self.width).enumerate() {
                    let u: f32 = row.iter().zip(e).map(|(x, e)| x * e).sum();
                    activations[f].push(f64::from((u + biases[f]).max(0.0)));
                }
            })
            .map_err(|e| Failure::new(format!("the captured activations cannot be read: {e}")))?;
            let ones = vec![1.0; classes.len()];
            for (f, scores) in activations.into_iter().enumerate() {
                let auroc = Scored::new(scores, classes.clone()).area(&ones);
                let telling = |f: &Feature| (f.auroc - 0.5).abs();
                if best.len() == most && best.last().is_some_and(|b| telling(b) >= (auroc - 0.5).abs()) {
                    continue;
                }
                let index = first + f;
                let encoder = encoders[f * self.width..(f + 1) * self.width].to_vec();
                let decoder = self.part(&self.decoder, index, 1)?;
                best.push(Feature { index, auroc, encoder, bias: biases[f], decoder });
                best.sort_by(|a, b| telling(b).total_cmp(&telling(a)));
                best.truncate(most);
            }
            step(n);
        }
        Ok(best)
    }

    /// The numbers of some features, feature by feature.
    fn part(&self, matrix: &Matrix, first: usize, n: usize) -> Result<Vec<f32>, Failure> {
        if matrix.by_row {
            return self.run(&matrix.info, first * self.width, n * self.width);
        }
        let mut out = vec![0f32; n * self.width];
        for k in 0..self.width {
            let row = self.run(&matrix.info, k * self.features + first, n)?;
            row.iter().enumerate().for_each(|(f, x)| out[f * self.width + k] = *x);
        }
        Ok(out)
    }

    /// `n` numbers of a tensor from number `at` on.
    fn run(&self, info: &TensorInfo, at: usize, n: usize) -> Result<Vec<f32>, Failure> {
        let bad = |why: String| Failure::usage(format!("--sae {}: {why}", self.path.display()));
        let size = match info.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => return Err(bad(format!("a tensor is {other}, allowed: F32, F16, BF16"))),
        };
        let mut bytes = vec![0u8; n * size];
        let begin = self.data + (info.data_offsets.0 + at * size) as u64;
        if info.data_offsets.0 + (at + n) * size > info.data_offsets.1 {
            return Err(bad(format!("a tensor of shape {:?} is too small", info.shape)));
        }
        self.file.read_exact_at(&mut bytes, begin).map_err(|e| bad(e.to_string()))?;
        let halves = |f: fn([u8; 2]) -> f32| bytes.as_chunks().0.iter().map(|b| f(*b)).collect();
        Ok(match info.dtype {
            Dtype::F16 => halves(|b| half::f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => halves(|b| half::bf16::from_le_bytes(b).to_f32()),
            _ => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        })
    }
}

impl Matrix {
    /// How many features there are, if the other extent is the model's width.
    fn features(&self, width: usize) -> Option<usize> {
        let &[rows, columns] = &self.info.shape[..] else { return None };
        let (features, other) = if self.by_row { (rows, columns) } else { (columns, rows) };
        (other == width && features > 0).then_some(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command::learn::write, estimate::Matrix as Data};

    #[test]
    fn the_feature_that_tells_is_found_in_both_layouts() {
        let (width, features) = (3, 1100);
        let folder = tempfile::tempdir().unwrap();
        // Feature 700 reads the second component, the others nothing.
        let own = |f: usize, k: usize| if f == 700 && k == 1 { 2.0 } else { 0.0 };
        let by = |rows: usize, columns: usize, of: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            (0..rows * columns).map(|i| of(i / columns, i % columns)).collect()
        };
        let rows_of = by(features, width, &own);
        let columns_of = by(width, features, &|k, f| own(f, k));
        let bias = vec![-1.0; features];
        let lens = folder.path().join("lens.safetensors");
        let parts = |e: (&str, Vec<usize>, &Vec<f32>), d: (&str, Vec<usize>, &Vec<f32>), b: &str| {
            vec![
                (e.0.to_owned(), e.1, e.2.clone()),
                (d.0.to_owned(), d.1, d.2.clone()),
                (b.to_owned(), vec![features], bias.clone()),
            ]
        };
        let (wide, tall) = (vec![width, features], vec![features, width]);
        let all = parts(("W_enc", wide.clone(), &columns_of), ("W_dec", tall.clone(), &rows_of), "b_enc");
        write::tensors(&lens, all, &[]).unwrap();
        let linear = folder.path().join("linear.safetensors");
        let all = parts(("encoder.weight", tall, &rows_of), ("decoder.weight", wide, &columns_of), "encoder.bias");
        write::tensors(&linear, all, &[]).unwrap();
        let rows = Data { width, values: (0..60).map(|i| if i % 6 == 1 { 1.0 } else { 0.1 }).collect() };
        let positive: Vec<bool> = (0..20).map(|i| i % 2 == 0).collect();
        for path in [lens, linear] {
            let sae = Sae::open(&path, width).unwrap();
            assert_eq!(sae.features, features);
            let found = sae.rank(&rows, &[1.0; 20], &positive, 3, |_| {}).unwrap();
            let best = &found[0];
            assert_eq!((best.index, best.auroc, best.bias), (700, 1.0, -1.0), "{}", path.display());
            assert_eq!((&best.encoder[..], &best.decoder[..]), (&[0.0, 2.0, 0.0][..], &[0.0, 2.0, 0.0][..]));
            assert!(Sae::open(&path, 4).is_err());
        }
    }
}

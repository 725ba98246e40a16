//! What `evenkeel learn` computes, computed again from the activations that it saved, in float64 and by other ways: dense
//! linear algebra in place of passes over rows.

use std::fs;

use evenkeel_core::asset::{ERASER, parse, parse_factors, parse_probe};
use evenkeel_tests::Scratch;
use serde_json::Value;

use super::items::sandbox;
use super::learn::{MODEL, learn};
use crate::float64::{along, dot, unit, wide};

type Matrix = Vec<Vec<f64>>;

/// The texts that were fitted: the residual stream after each layer, and the class.
struct Fitted {
    layers: Vec<Matrix>,
    positive: Vec<bool>,
}

/// Learns with `more`; the fitted rows are those of the saved file.
fn fitted(scratch: &Scratch, name: &str, more: &[&str]) -> Fitted {
    let file = scratch.path("activations.safetensors");
    let more = [more, &["--controls", "0", "--save-activations", file.to_str().expect("text")]].concat();
    learn(scratch, MODEL, &sandbox("pairs.jsonl"), name, &more);
    let bytes = fs::read(&file).expect("activations");
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&rest[..length]).expect("a header");
    let digits = |key: &str| header["__metadata__"][key].as_str().expect("digits").bytes().collect::<Vec<u8>>();
    let (part, class) = (digits("evenkeel.rows.part"), digits("evenkeel.rows.class"));
    let fit: Vec<usize> = (0..part.len()).filter(|i| part[*i] == b'0').collect();
    assert!(fit.len() > 500 && part.contains(&b'1') && part.contains(&b'2'), "{} rows", fit.len());
    let layer = |n: usize| -> Matrix {
        let tensor = &header[format!("layer.{n}")];
        let number = |value: &Value| value.as_u64().expect("a number") as usize;
        let (rows, width) = (number(&tensor["shape"][0]), number(&tensor["shape"][1]));
        assert_eq!(rows, part.len());
        let data = &rest[length + number(&tensor["data_offsets"][0])..];
        let row = |i: &usize| {
            let bytes = data[i * width * 4..(i + 1) * width * 4].chunks_exact(4);
            bytes.map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("four bytes")))).collect()
        };
        fit.iter().map(row).collect()
    };
    Fitted { layers: (0..4).map(layer).collect(), positive: fit.iter().map(|i| class[*i] == b'1').collect() }
}

impl Fitted {
    fn mean(&self, layer: usize, of: impl Fn(usize) -> bool) -> Vec<f64> {
        let mut sum = vec![0.0; self.layers[layer][0].len()];
        let rows: Vec<&Vec<f64>> =
            (0..self.positive.len()).filter(|i| of(*i)).map(|i| &self.layers[layer][i]).collect();
        rows.iter().for_each(|row| along(&mut sum, row, 1.0));
        sum.iter().map(|s| s / rows.len() as f64).collect()
    }

    fn difference(&self, layer: usize) -> Vec<f64> {
        let mut mean = self.mean(layer, |i| self.positive[i]);
        along(&mut mean, &self.mean(layer, |i| !self.positive[i]), -1.0);
        mean
    }
}

fn far(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Gaussian elimination with pivots.
fn solve(mut m: Matrix, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|i, j| m[*i][k].abs().total_cmp(&m[*j][k].abs())).expect("a row");
        m.swap(k, pivot);
        b.swap(k, pivot);
        for i in k + 1..n {
            let (above, below) = m.split_at_mut(i);
            let factor = below[0][k] / above[k][k];
            along(&mut below[0], &above[k], -factor);
            b[i] -= factor * b[k];
        }
    }
    for k in (0..n).rev() {
        b[k] = (b[k] - dot(&m[k][k + 1..], &b[k + 1..])) / m[k][k];
    }
    b
}

#[test]
fn the_difference_in_means_is_exact() {
    let scratch = Scratch::new();
    let data = fitted(&scratch, "mean", &["--method", "mean"]);
    let found = parse(&fs::read(scratch.path("mean.gguf")).expect("vectors")).expect("vectors");
    for (layer, direction) in &found.layers {
        let wanted = data.difference(*layer as usize);
        // As exact as the file's F32 is.
        let size = dot(&wanted, &wanted).sqrt();
        let off = far(&wide(direction), &wanted) / size;
        println!("layer {layer}: {off:.1e}");
        assert!(off < 1e-7, "layer {layer}: {off:.1e}");
    }
}

#[test]
fn the_component_is_that_of_the_whole_matrix_and_the_probe_the_minimum_of_its_loss() {
    let scratch = Scratch::new();
    let data = fitted(&scratch, "pca", &["--method", "pca"]);
    let found = parse(&fs::read(scratch.path("pca.gguf")).expect("vectors")).expect("vectors");
    for (layer, direction) in &found.layers {
        let rows = &data.layers[*layer as usize];
        let differences = rows.chunks_exact(2).map(|pair| {
            let mut d = pair[0].clone();
            along(&mut d, &pair[1], -1.0);
            d
        });
        let mut square: Matrix = vec![vec![0.0; rows[0].len()]; rows[0].len()];
        differences.for_each(|d| d.iter().zip(&mut square).for_each(|(x, row)| along(row, &d, *x)));
        // Power iteration.
        let mut v = unit(&data.difference(*layer as usize));
        for _ in 0..3000 {
            v = unit(&square.iter().map(|row| dot(row, &v)).collect::<Vec<f64>>());
        }
        let off = far(&unit(&wide(direction)), &v);
        println!("layer {layer}: component {off:.1e}");
        assert!(off < 1e-4, "layer {layer}: {off:.1e}");
    }

    let (weights, bias) = parse_probe(&fs::read(scratch.path("pca-probe.safetensors")).expect("a probe")).expect("one");
    for (layer, found) in &weights.layers {
        let rows = &data.layers[*layer as usize];
        let (n, width) = (rows.len() as f64, rows[0].len());
        let mean = data.mean(*layer as usize, |_| true);
        let deviation: Vec<f64> =
            (0..width).map(|k| (rows.iter().map(|r| (r[k] - mean[k]).powi(2)).sum::<f64>() / n).sqrt()).collect();
        let standard: Matrix =
            rows.iter().map(|r| (0..width).map(|k| (r[k] - mean[k]) / deviation[k]).chain([1.0]).collect()).collect();
        // Newton's method with the whole Hessian, on |w|²/2 + Σ log(1 + exp(−y f)).
        let mut w = vec![0.0; width + 1];
        for _ in 0..30 {
            let mut gradient: Vec<f64> = w[..width].iter().copied().chain([0.0]).collect();
            let mut hessian: Matrix =
                (0..=width).map(|i| (0..=width).map(|k| f64::from(i == k && i < width)).collect()).collect();
            for (x, positive) in standard.iter().zip(&data.positive) {
                let p = 1.0 / (1.0 + (-dot(x, &w)).exp());
                along(&mut gradient, x, p - f64::from(*positive));
                x.iter().zip(&mut hessian).for_each(|(a, row)| along(row, x, a * p * (1.0 - p)));
            }
            let step = solve(hessian, gradient);
            along(&mut w, &step, -1.0);
            if dot(&step, &step) < 1e-20 {
                break;
            }
        }
        let own: Vec<f64> = found.iter().zip(&deviation).map(|(w, d)| f64::from(*w) * d).collect();
        let constant = f64::from(bias[layer]) + dot(&wide(found), &mean);
        let off = far(&own, &w[..width]).max((constant - w[width]).abs());
        println!("layer {layer}: probe {off:.1e}");
        assert!(off < 1e-4, "layer {layer}: {off:.1e}");
    }
}

#[test]
fn what_is_erased_is_uncorrelated_with_the_class() {
    let scratch = Scratch::new();
    let data = fitted(&scratch, "leace", &["--method", "leace"]);
    let file = fs::read(scratch.path("leace-eraser.safetensors")).expect("an eraser");
    let (_, factors) = parse_factors(&file, ERASER).expect("an eraser");
    let share = data.positive.iter().filter(|p| **p).count() as f64 / data.positive.len() as f64;
    let spread = (share * (1.0 - share)).sqrt();
    for (layer, factors) in &factors {
        let (read, write) = (wide(&factors.reads[0]), wide(&factors.writes[0]));
        let erased: Matrix = data.layers[*layer as usize]
            .iter()
            .map(|row| {
                let mut row = row.clone();
                let u = dot(&row, &read) - f64::from(factors.offset[0]);
                along(&mut row, &write, -u);
                row
            })
            .collect();
        let largest = |rows: &Matrix| -> f64 {
            let n = rows.len() as f64;
            let correlation = |k: usize| {
                let mean = rows.iter().map(|r| r[k]).sum::<f64>() / n;
                let deviation = (rows.iter().map(|r| (r[k] - mean).powi(2)).sum::<f64>() / n).sqrt();
                let both = rows.iter().zip(&data.positive).map(|(r, p)| (r[k] - mean) * (f64::from(*p) - share));
                (both.sum::<f64>() / n / deviation / spread).abs()
            };
            (0..rows[0].len()).map(correlation).fold(0.0, f64::max)
        };
        let (before, after) = (largest(&data.layers[*layer as usize]), largest(&erased));
        println!("layer {layer}: largest correlation {before:.3}, erased {after:.1e}");
        assert!(before > 0.2 && after < 1e-5, "layer {layer}: {before} {after}");
    }
}

//! A real eraser: fitted on a model's own activations, applied by the library, compared with the closed form of LEACE
//! (Belrose et al. 2023, theorem 4.3) by its definition, and with what it promises.

use std::fs;

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use crate::float64::{dot, wide};
use crate::safetensors::write;

type Matrix = Vec<Vec<f64>>;

fn column(recording: &Recording, name: &str) -> Matrix {
    let found = recording.captures.iter().filter(|c| c.name == name).flat_map(|c| &c.rows);
    found.map(|row| wide(row)).collect()
}

fn mean(rows: &Matrix) -> Vec<f64> {
    let sum = |i: usize| rows.iter().map(|row| row[i]).sum::<f64>();
    (0..rows[0].len()).map(|i| sum(i) / rows.len() as f64).collect()
}

/// `E[(a − E[a])(b − E[b])ᵀ]`
fn covariance(a: &Matrix, b: &Matrix) -> Matrix {
    let (ma, mb) = (mean(a), mean(b));
    let entry = |i: usize, j: usize| a.iter().zip(b).map(|(a, b)| (a[i] - ma[i]) * (b[j] - mb[j])).sum::<f64>();
    let row = |i: usize| (0..mb.len()).map(|j| entry(i, j) / a.len() as f64).collect();
    (0..ma.len()).map(row).collect()
}

/// Two concepts: what a row's label is, by its place.
fn labels(n: usize) -> Matrix {
    (0..n).map(|row| vec![f64::from(row % 2 == 0), f64::from(row / 3 % 3 == 1)]).collect()
}

/// Eigenvalues, and eigenvectors as rows, of a symmetric matrix (Jacobi).
fn eigen(mut m: Matrix) -> (Vec<f64>, Matrix) {
    let n = m.len();
    let mut v: Matrix = (0..n).map(|i| (0..n).map(|j| f64::from(i == j)).collect()).collect();
    for _ in 0..60 {
        for p in 0..n {
            for q in p + 1..n {
                if m[p][q].abs() < 1e-300 {
                    continue;
                }
                let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let (c, s) = (1.0 / t.hypot(1.0), t / t.hypot(1.0));
                for row in &mut m {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                for matrix in [&mut m, &mut v] {
                    let (a, b) = (matrix[p].clone(), matrix[q].clone());
                    matrix[p] = a.iter().zip(&b).map(|(a, b)| c * a - s * b).collect();
                    matrix[q] = a.iter().zip(&b).map(|(a, b)| s * a + c * b).collect();
                }
            }
        }
    }
    ((0..n).map(|i| m[i][i]).collect(), v)
}

/// `Σ f(λ) q qᵀ x`
fn function(eigen: &(Vec<f64>, Matrix), f: impl Fn(f64) -> f64, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for (value, q) in eigen.0.iter().zip(&eigen.1) {
        let along = f(*value) * dot(q, x);
        y.iter_mut().zip(q).for_each(|(y, q)| *y += along * q);
    }
    y
}

/// `r(x) = x − W⁺ P W (x − E[x])`, with the whitening `W = Σxx^(−1/2)` and the orthogonal projection `P` onto what `WΣxz`
/// spans: the definition, step by step.
struct Leace {
    sigma: (Vec<f64>, Matrix),
    /// An orthonormal basis of what `P` keeps.
    basis: Matrix,
    mean: Vec<f64>,
}

impl Leace {
    fn fit(x: &Matrix, z: &Matrix) -> Self {
        let (sigma, cross) = (eigen(covariance(x, x)), covariance(x, z));
        let whiten = |x: &[f64]| function(&sigma, |l| 1.0 / l.sqrt(), x);
        let mut basis: Matrix = vec![];
        for j in 0..z[0].len() {
            let mut u = whiten(&cross.iter().map(|row| row[j]).collect::<Vec<_>>());
            for _ in 0..2 {
                for b in &basis {
                    let along = dot(b, &u);
                    u.iter_mut().zip(b).for_each(|(u, b)| *u -= along * b);
                }
            }
            let norm = dot(&u, &u).sqrt();
            basis.push(u.iter().map(|u| u / norm).collect());
        }
        Leace { sigma, basis, mean: mean(x) }
    }

    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let centred: Vec<f64> = x.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        let white = function(&self.sigma, |l| 1.0 / l.sqrt(), &centred);
        let mut kept = vec![0.0; x.len()];
        for b in &self.basis {
            let along = dot(b, &white);
            kept.iter_mut().zip(b).for_each(|(k, b)| *k += along * b);
        }
        let taken = function(&self.sigma, f64::sqrt, &kept);
        x.iter().zip(taken).map(|(x, t)| x - t).collect()
    }

    /// The same as low-rank factors: rows to read, columns to write, what the mean reads.
    fn factors(&self) -> (Matrix, Matrix, Vec<f64>) {
        let reads: Matrix = self.basis.iter().map(|b| function(&self.sigma, |l| 1.0 / l.sqrt(), b)).collect();
        let writes = self.basis.iter().map(|b| function(&self.sigma, f64::sqrt, b)).collect();
        let means = reads.iter().map(|r| dot(r, &self.mean)).collect();
        (reads, writes, means)
    }
}

#[test]
fn an_eraser_fitted_on_activations_is_leace() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe] {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        // 480 rows for 64 dimensions.
        let decode = Decode { sequences: 16, capture: true, ..Decode::new(&model) };
        let plain = host.plain(&decode);
        let mut tensors = vec![];
        let mut fitted = vec![];
        for layer in [2, 3] {
            let x = column(&plain, &format!("l_out-{layer}"));
            assert!(x.len() > 400, "{} rows", x.len());
            let leace = Leace::fit(&x, &labels(x.len()));
            let (reads, writes, means) = leace.factors();
            let flat = |m: &Matrix| m.iter().flatten().map(|v| *v as f32).collect::<Vec<f32>>();
            let shape = vec![2, x[0].len()];
            tensors.push((format!("read.{layer}"), shape.clone(), flat(&reads)));
            tensors.push((format!("write.{layer}"), shape, flat(&writes)));
            tensors.push((format!("mean.{layer}"), vec![2], means.iter().map(|v| *v as f32).collect()));
            fitted.push((layer, leace));
        }
        fs::write(scratch.path("leace.safetensors"), write(&tensors)).expect("an eraser is written");
        let profile = Profile::empty().and_file("eraser", "leace.safetensors", "operator = \"affine\"");
        let recording = host.with(&decode, Door::Preload, &scratch.profile(&profile));
        for (layer, leace) in &fitted {
            let at = |name: &str| column(&recording, &format!("{name}l_out-{layer}"));
            let (before, after) = (at("ek."), at(""));
            let (mut error, mut power) = (0.0, 0.0);
            for (x, got) in before.iter().zip(&after) {
                for (expected, got) in leace.apply(x).iter().zip(got) {
                    error += (expected - got).powi(2);
                    power += expected * expected;
                }
            }
            assert!(error <= 1e-10 * power, "{arch:?}, layer {layer}: NMSE {:e}", error / power);
        }
        // What it promises, on the rows that it was fitted on: no linear function of a row tells anything of a label.
        let size = |m: &Matrix| m.iter().flatten().map(|c| c * c).sum::<f64>().sqrt();
        let (before, after) = (column(&recording, "ek.l_out-2"), column(&recording, "l_out-2"));
        let z = labels(before.len());
        let (told, tells) = (size(&covariance(&before, &z)), size(&covariance(&after, &z)));
        assert!(tells <= 1e-5 * told, "{arch:?}: covariance with the labels was {told:e} and is {tells:e}");
    }
}

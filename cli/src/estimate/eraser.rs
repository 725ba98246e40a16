//! LEACE for a concept of two classes: the least change of the rows after which no linear classifier tells the classes
//! apart (Belrose et al. 2023, theorem 4.2 with one label; arXiv 2306.03819).
//!
//! With s the covariance of row and label and S that of the rows, the eraser is x − s (s'S⁺(x − m)) / (s'S⁺s). S⁺s comes
//! from conjugate gradients on S + ridge · diag(S). Whatever vector stands in its place, the covariance of erased rows
//! and label is zero; the ridge, which keeps few rows from being fitted by chance, costs a little optimality only.

use std::io;

use super::{Moments, Rows, dot, norm, project};

/// The map x − write · (read · x − mean).
#[derive(Debug, Clone, PartialEq)]
pub struct Eraser {
    pub read: Vec<f64>,
    pub write: Vec<f64>,
    pub mean: f64,
}

/// Of the residual's norm to the right side's.
const TOLERANCE: f64 = 1e-10;
/// Steps at most.
const STEPS: usize = 1000;

/// Fits it. None where the classes have the same mean.
///
/// # Errors
/// As [`Rows::visit`].
pub fn eraser(rows: &impl Rows, weights: &[f64], moments: &Moments, ridge: f64) -> io::Result<Option<Eraser>> {
    let total: f64 = moments.weight.iter().sum();
    let share = moments.weight[0] / total;
    let s: Vec<f64> = moments.difference().iter().map(|d| d * share * (1.0 - share)).collect();
    let scale: Vec<f64> = moments.variance.iter().map(|v| if *v > 0.0 { *v } else { 1.0 }).collect();
    let covariance = |v: &[f64]| -> io::Result<Vec<f64>> {
        let mut out = vec![0f64; rows.width()];
        let offset = dot(&moments.mean, v);
        let mut sum = 0.0;
        rows.each(weights, &mut |_, w, row| {
            let c = w * (project(row, v) - offset);
            sum += c;
            out.iter_mut().zip(row).for_each(|(o, x)| *o += c * f64::from(*x));
        })?;
        for (k, o) in out.iter_mut().enumerate() {
            *o = (*o - sum * moments.mean[k]) / total + ridge * moments.variance[k] * v[k];
        }
        Ok(out)
    };
    // Conjugate gradients, preconditioned by the diagonal.
    let mut w = vec![0f64; s.len()];
    let mut r = s.clone();
    let mut z: Vec<f64> = r.iter().zip(&scale).map(|(r, d)| r / d).collect();
    let mut p = z.clone();
    let mut rz = dot(&r, &z);
    for _ in 0..STEPS {
        let ap = covariance(&p)?;
        let curve = dot(&p, &ap);
        if curve.is_nan() || curve <= 0.0 {
            break;
        }
        let step = rz / curve;
        w.iter_mut().zip(&p).for_each(|(w, p)| *w += step * p);
        r.iter_mut().zip(&ap).for_each(|(r, a)| *r -= step * a);
        if norm(&r) <= TOLERANCE * norm(&s) {
            break;
        }
        z.iter_mut().zip(&r).zip(&scale).for_each(|((z, r), d)| *z = r / d);
        let next = dot(&r, &z);
        let turn = next / rz;
        rz = next;
        p.iter_mut().zip(&z).for_each(|(p, z)| *p = z + turn * *p);
    }
    let scale = dot(&w, &s);
    if scale.is_nan() || scale <= 0.0 {
        return Ok(None);
    }
    // The unit vector is what is read, so that both parts have sizes that fit F32.
    let length = norm(&w);
    let read: Vec<f64> = w.iter().map(|w| w / length).collect();
    let write: Vec<f64> = s.iter().map(|s| s * length / scale).collect();
    let mean = dot(&read, &moments.mean);
    Ok(Some(Eraser { read, write, mean }))
}

impl Eraser {
    /// The row without the concept.
    #[cfg(test)]
    pub fn erase(&self, row: &[f32]) -> Vec<f64> {
        let u = project(row, &self.read) - self.mean;
        row.iter().zip(&self.write).map(|(x, w)| f64::from(*x) - u * w).collect()
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Random;
    use nalgebra::{DMatrix, DVector};

    use super::{
        super::{Matrix, moments},
        *,
    };

    fn data(n: usize, width: usize) -> (Matrix, Vec<bool>) {
        let mut random = Random::named(5, "leace");
        let positive: Vec<bool> = (0..n).map(|i| i % 3 == 0).collect();
        let mut values = Vec::new();
        for p in &positive {
            let common = random.normal();
            values.extend((0..width).map(|k| {
                let shift = if *p { 0.4 * (k % 4) as f32 } else { 0.0 };
                30.0 + random.normal() * (1.0 + k as f32) + common * (k % 5) as f32 + shift
            }));
        }
        (Matrix { width, values }, positive)
    }

    #[test]
    fn it_is_the_closed_form() {
        let (n, width) = (400, 16);
        let (rows, positive) = data(n, width);
        let weights = vec![1.0; n];
        let m = moments(&rows, &weights, &positive).unwrap();
        let found = eraser(&rows, &weights, &m, 0.0).unwrap().expect("classes differ");
        let x = DMatrix::from_fn(n, width, |i, k| f64::from(rows.values[i * width + k]) - m.mean[k]);
        let share = positive.iter().filter(|p| **p).count() as f64 / n as f64;
        let z = DVector::from_fn(n, |i, _| f64::from(u8::from(positive[i])) - share);
        let covariance = x.transpose() * &x / n as f64;
        let s = x.transpose() * z / n as f64;
        let solved = covariance.cholesky().expect("positive definite").solve(&s);
        let map = &s * solved.transpose() / solved.dot(&s);
        for i in 0..width {
            for k in 0..width {
                let own = found.write[i] * found.read[k];
                assert!((own - map[(i, k)]).abs() < 1e-6, "{i} {k}: {own} {}", map[(i, k)]);
            }
        }
    }

    #[test]
    fn erased_rows_and_labels_are_uncorrelated_whatever_the_ridge() {
        for (n, width, ridge) in [(400, 16, 0.0), (400, 16, 0.1), (30, 64, 1e-3)] {
            let (rows, positive) = data(n, width);
            let weights = vec![1.0; n];
            let m = moments(&rows, &weights, &positive).unwrap();
            let found = eraser(&rows, &weights, &m, ridge).unwrap().expect("classes differ");
            let share = positive.iter().filter(|p| **p).count() as f64 / n as f64;
            let (mut cross, mut squares) = (vec![0f64; width], vec![0f64; width]);
            for (row, p) in rows.values.chunks_exact(width).zip(&positive) {
                for (k, x) in found.erase(row).iter().enumerate() {
                    cross[k] += (x - m.mean[k]) * (f64::from(u8::from(*p)) - share) / n as f64;
                    squares[k] += (x - m.mean[k]).powi(2) / n as f64;
                }
            }
            let spread = (share * (1.0 - share)).sqrt();
            let most = cross.iter().zip(&squares).map(|(c, s)| (c / s.sqrt() / spread).abs()).fold(0.0, f64::max);
            assert!(most < 1e-5, "correlation {most} with ridge {ridge}");
        }
    }

    #[test]
    fn classes_with_one_mean_need_no_eraser() {
        let rows = Matrix { width: 2, values: vec![1.0, 2.0, 1.0, 2.0] };
        let m = moments(&rows, &[1.0; 2], &[true, false]).unwrap();
        assert_eq!(eraser(&rows, &[1.0; 2], &m, 1e-3).unwrap(), None);
    }
}

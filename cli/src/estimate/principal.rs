//! The first principal component, by Lanczos' method: the rows are read once per step, and no matrix of width times
//! width is ever made.

use std::io;

use evenkeel_model::Random;
use nalgebra::DMatrix;

use super::{Rows, dot, norm, unit};

/// What rows are compared with.
pub enum Centre<'a> {
    /// One point for all.
    Point(&'a [f64]),
    /// Rows 2i and 2i + 1: each with the middle of both, so that the component is that of the differences (as
    /// llama.cpp's cvector-generator has it: not centred).
    Pair,
}

/// Steps before a restart.
const STEPS: usize = 40;
/// Restarts.
const ROUNDS: usize = 20;
/// Of the residual's norm to the eigenvalue.
const TOLERANCE: f64 = 1e-9;

/// The direction along which the centred rows are longest, of norm 1; its sign is arbitrary.
///
/// # Errors
/// As [`Rows::visit`].
pub fn principal(rows: &impl Rows, weights: &[f64], centre: &Centre<'_>) -> io::Result<Vec<f64>> {
    let width = rows.width();
    let mut random = Random::named(1, "principal");
    let mut start: Vec<f64> = (0..width).map(|_| f64::from(random.normal())).collect();
    // One multiplication brings it into the span of the rows.
    start = unit(&apply(rows, weights, centre, &start)?);
    for _ in 0..ROUNDS {
        let (next, done) = lanczos(rows, weights, centre, &start)?;
        start = next;
        if done {
            break;
        }
    }
    Ok(start)
}

/// Some steps from a start; the best approximation in the space they span, and whether it is good.
fn lanczos(rows: &impl Rows, weights: &[f64], centre: &Centre<'_>, start: &[f64]) -> io::Result<(Vec<f64>, bool)> {
    let mut basis = vec![start.to_vec()];
    let (mut alpha, mut beta): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    loop {
        let last = &basis[basis.len() - 1];
        let mut w = apply(rows, weights, centre, last)?;
        alpha.push(dot(&w, last));
        // Twice against all: once is not enough in floating point.
        for _ in 0..2 {
            for b in &basis {
                let c = dot(&w, b);
                w.iter_mut().zip(b).for_each(|(w, b)| *w -= c * b);
            }
        }
        let size = norm(&w);
        let scale = alpha.iter().fold(0f64, |m, a| m.max(a.abs()));
        let exhausted = size <= 1e-12 * scale || scale == 0.0;
        if exhausted || basis.len() == STEPS.min(start.len()) {
            let n = alpha.len();
            let tridiagonal = DMatrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
                0 => alpha[i],
                1 => beta[i.min(j)],
                _ => 0.0,
            });
            let eigen = tridiagonal.symmetric_eigen();
            let best = (0..n).max_by(|a, b| eigen.eigenvalues[*a].total_cmp(&eigen.eigenvalues[*b])).unwrap_or(0);
            let mut out = vec![0f64; start.len()];
            for (i, b) in basis.iter().enumerate() {
                let c = eigen.eigenvectors[(i, best)];
                out.iter_mut().zip(b).for_each(|(o, b)| *o += c * b);
            }
            // The norm of what the approximation lacks to be an eigenvector.
            let residual = size * eigen.eigenvectors[(n - 1, best)].abs();
            let done = exhausted || residual <= TOLERANCE * eigen.eigenvalues[best].abs();
            return Ok((unit(&out), done));
        }
        beta.push(size);
        basis.push(w.iter().map(|x| x / size).collect());
    }
}

/// Sum over the rows of weight · x (x · v), centred.
fn apply(rows: &impl Rows, weights: &[f64], centre: &Centre<'_>, v: &[f64]) -> io::Result<Vec<f64>> {
    let width = rows.width();
    let mut out = vec![0f64; width];
    let mut x = vec![0f64; width];
    let mut add = |x: &[f64], weight: f64| {
        let c = weight * dot(x, v);
        out.iter_mut().zip(x).for_each(|(o, x)| *o += c * x);
    };
    match centre {
        Centre::Point(point) => rows.each(weights, &mut |_, w, row| {
            x.iter_mut().zip(row).zip(*point).for_each(|((x, r), p)| *x = f64::from(*r) - p);
            add(&x, w);
        })?,
        Centre::Pair => rows.visit(&mut |first, block| {
            for (i, pair) in block.chunks_exact(2 * width).enumerate() {
                let weight = weights[first + 2 * i];
                if weight != 0.0 {
                    let (a, b) = pair.split_at(width);
                    x.iter_mut().zip(a).zip(b).for_each(|((x, a), b)| *x = f64::from(*a) - f64::from(*b));
                    add(&x, weight);
                }
            }
        })?,
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{super::Matrix, *};

    #[test]
    fn the_component_is_that_of_a_whole_decomposition() {
        let (n, width) = (60, 24);
        let mut random = Random::named(3, "pca");
        let scale: Vec<f32> = (0..width).map(|k| 1.0 + k as f32 * 0.03).collect();
        let values: Vec<f32> = (0..n * width).map(|i| 5.0 + random.normal() * scale[i % width]).collect();
        let rows = Matrix { width, values };
        let weights = vec![1.0; n];
        let mean: Vec<f64> = (0..width)
            .map(|k| rows.values.iter().skip(k).step_by(width).map(|x| f64::from(*x)).sum::<f64>() / n as f64)
            .collect();
        for pairs in [false, true] {
            let x = |i: usize, k: usize| f64::from(rows.values[i * width + k]);
            let data = if pairs {
                DMatrix::from_fn(n / 2, width, |i, k| x(2 * i, k) - x(2 * i + 1, k))
            } else {
                DMatrix::from_fn(n, width, |i, k| x(i, k) - mean[k])
            };
            let eigen = (data.transpose() * data).symmetric_eigen();
            let best = eigen.eigenvalues.imax();
            let wanted: Vec<f64> = eigen.eigenvectors.column(best).iter().copied().collect();
            let centre = if pairs { Centre::Pair } else { Centre::Point(&mean) };
            let found = principal(&rows, &weights, &centre).unwrap();
            let sign = dot(&found, &wanted).signum();
            let far = found.iter().zip(&wanted).map(|(a, b)| (a * sign - b).abs()).fold(0.0, f64::max);
            assert!(far < 1e-6, "pairs {pairs}: {far}");
        }
    }
}

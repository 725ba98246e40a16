//! Logistic regression with a squared-norm penalty on standardised features.
//!
//! Minimises |w|²/2 + C Σ weight · log(1 + exp(−y (w·x̃ + b))) with y = ±1 and x̃ = (x − mean) / deviation; the intercept
//! is not penalised. scikit-learn's LogisticRegression after its StandardScaler minimises the same. Newton's method, the
//! steps solved by conjugate gradients, so that the rows are read as often as that takes and never held.

use std::io;

use super::{Moments, Rows, dot, norm, project};

/// Weights for rows as they are, not standardised.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    pub weights: Vec<f64>,
    pub bias: f64,
}

impl Logistic {
    /// The logit of the positive class.
    pub fn logit(&self, row: &[f32]) -> f64 {
        project(row, &self.weights) + self.bias
    }
}

/// Newton steps at most.
const STEPS: usize = 50;
/// Of the gradient's norm to that at zero.
const TOLERANCE: f64 = 1e-9;

/// Fits it with C = `c`. The moments are those of the same rows and weights.
///
/// # Errors
/// As [`Rows::visit`].
pub fn logistic(
    rows: &impl Rows,
    weights: &[f64],
    positive: &[bool],
    moments: &Moments,
    c: f64,
) -> io::Result<Logistic> {
    let fit = Fit {
        rows,
        weights,
        positive,
        mean: &moments.mean,
        inverse: moments.variance.iter().map(|v| if *v > 0.0 { 1.0 / v.sqrt() } else { 0.0 }).collect(),
        c,
    };
    // The last component is the intercept.
    let mut x = vec![0f64; rows.width() + 1];
    let mut at = fit.evaluate(&x)?;
    let begin = norm(&at.gradient).max(f64::MIN_POSITIVE);
    for _ in 0..STEPS {
        let size = norm(&at.gradient);
        if size <= TOLERANCE * begin {
            break;
        }
        let step = fit.newton(&at, 0.1f64.min(size / begin) * size)?;
        let slope = dot(&step, &at.gradient);
        let mut length = 1.0;
        let next = loop {
            let trial: Vec<f64> = x.iter().zip(&step).map(|(x, s)| x + length * s).collect();
            let value = fit.evaluate(&trial)?;
            if value.loss <= at.loss + 1e-4 * length * slope || length < 1e-6 {
                x = trial;
                break value;
            }
            length /= 2.0;
        };
        let stalled = at.loss - next.loss <= 1e-15 * at.loss.abs() && length < 1e-6;
        at = next;
        if stalled {
            break;
        }
    }
    let bias = x.pop().unwrap_or_default();
    let weights: Vec<f64> = x.iter().zip(&fit.inverse).map(|(w, i)| w * i).collect();
    Ok(Logistic { bias: bias - dot(&weights, &moments.mean), weights })
}

struct Fit<'a, R> {
    rows: &'a R,
    weights: &'a [f64],
    positive: &'a [bool],
    mean: &'a [f64],
    inverse: Vec<f64>,
    c: f64,
}

/// The loss at a point.
struct Point {
    loss: f64,
    gradient: Vec<f64>,
    /// The second derivative of each row's loss.
    curvature: Vec<f64>,
}

impl<R: Rows> Fit<'_, R> {
    /// What a row is multiplied with, and the constant, for standardised weights and intercept.
    fn raw(&self, x: &[f64]) -> (Vec<f64>, f64) {
        let v: Vec<f64> = x.iter().zip(&self.inverse).map(|(x, i)| x * i).collect();
        let constant = x[x.len() - 1] - dot(&v, self.mean);
        (v, constant)
    }

    /// From Σ k x and Σ k to the same over standardised rows with a one at the end.
    fn standard(&self, mut sums: Vec<f64>, total: f64) -> Vec<f64> {
        for (k, s) in sums.iter_mut().enumerate() {
            *s = (*s - total * self.mean[k]) * self.inverse[k];
        }
        sums.push(total);
        sums
    }

    fn evaluate(&self, x: &[f64]) -> io::Result<Point> {
        let (v, constant) = self.raw(x);
        let last = x.len() - 1;
        let mut loss = dot(&x[..last], &x[..last]) / 2.0;
        let (mut sums, mut total) = (vec![0f64; last], 0.0);
        let mut curvature = vec![0f64; self.rows.len()];
        self.rows.each(self.weights, &mut |i, weight, row| {
            let weight = weight * self.c;
            let y = if self.positive[i] { 1.0 } else { -1.0 };
            let margin = y * (project(row, &v) + constant);
            // log(1 + exp(−margin)) and its derivative, without overflow.
            let e = (-margin.abs()).exp();
            loss += weight * (e.ln_1p() + (-margin).max(0.0));
            let p = if margin > 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) };
            curvature[i] = weight * p * (1.0 - p);
            let k = -weight * y * p;
            total += k;
            sums.iter_mut().zip(row).for_each(|(s, r)| *s += k * f64::from(*r));
        })?;
        let mut gradient = self.standard(sums, total);
        gradient[..last].iter_mut().zip(x).for_each(|(g, x)| *g += x);
        Ok(Point { loss, gradient, curvature })
    }

    /// The Newton step, up to a residual.
    fn newton(&self, at: &Point, tolerance: f64) -> io::Result<Vec<f64>> {
        let n = at.gradient.len();
        let mut step = vec![0f64; n];
        let mut r: Vec<f64> = at.gradient.iter().map(|g| -g).collect();
        let mut p = r.clone();
        let mut rr = dot(&r, &r);
        for _ in 0..2 * n {
            if rr.sqrt() <= tolerance {
                break;
            }
            let (v, constant) = self.raw(&p);
            let (mut sums, mut total) = (vec![0f64; n - 1], 0.0);
            self.rows.each(&at.curvature, &mut |_, h, row| {
                let k = h * (project(row, &v) + constant);
                total += k;
                sums.iter_mut().zip(row).for_each(|(s, r)| *s += k * f64::from(*r));
            })?;
            let mut hp = self.standard(sums, total);
            hp[..n - 1].iter_mut().zip(&p).for_each(|(h, p)| *h += p);
            let curve = dot(&p, &hp);
            if curve.is_nan() || curve <= 0.0 {
                break;
            }
            let a = rr / curve;
            step.iter_mut().zip(&p).for_each(|(s, p)| *s += a * p);
            r.iter_mut().zip(&hp).for_each(|(r, h)| *r -= a * h);
            let next = dot(&r, &r);
            p.iter_mut().zip(&r).for_each(|(p, r)| *p = r + next / rr * *p);
            rr = next;
        }
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Random;

    use super::{
        super::{Matrix, moments},
        *,
    };

    #[test]
    fn the_gradient_vanishes_and_what_separates_is_found() {
        let (n, width) = (300, 12);
        let mut random = Random::named(9, "logistic");
        let positive: Vec<bool> = (0..n).map(|i| i % 4 == 0).collect();
        let values: Vec<f32> = (0..n * width)
            .map(|i| {
                let shift = if positive[i / width] && i % width == 3 { 3.0 } else { 0.0 };
                100.0 + (random.normal() + shift) * (1.0 + (i % width) as f32)
            })
            .collect();
        let rows = Matrix { width, values };
        let weights: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i % 7 != 0))).collect();
        let m = moments(&rows, &weights, &positive).unwrap();
        let found = logistic(&rows, &weights, &positive, &m, 0.5).unwrap();
        // The optimum's own condition, on standardised features: w + C Σ (σ(f) − t) x̃ = 0, Σ (σ(f) − t) = 0.
        let (mut gradient, mut total) = (vec![0f64; width], 0.0);
        for (i, row) in rows.values.chunks_exact(width).enumerate().filter(|(i, _)| weights[*i] > 0.0) {
            let k = 1.0 / (1.0 + (-found.logit(row)).exp()) - f64::from(u8::from(positive[i]));
            total += k;
            for j in 0..width {
                gradient[j] += 0.5 * k * (f64::from(row[j]) - m.mean[j]) / m.variance[j].sqrt();
            }
        }
        let standard: Vec<f64> = found.weights.iter().zip(&m.variance).map(|(w, v)| w * v.sqrt()).collect();
        gradient.iter_mut().zip(&standard).for_each(|(g, w)| *g += w);
        assert!(norm(&gradient) < 1e-6 && total.abs() < 1e-6, "{gradient:?} {total}");
        assert!((0..width).all(|j| j == 3 || standard[j].abs() < standard[3]), "{standard:?}");
    }
}

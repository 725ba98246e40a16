//! From what a model says to examples to the values of a calibration.

use super::examples::Asked;
use crate::args::CalibrateMethod as Method;

/// Fitted values: tensors of a file by name, or a temperature.
#[derive(Debug, Clone, PartialEq)]
pub enum Fit {
    /// Tensors by name.
    Tensors(Vec<(&'static str, Vec<f64>)>),
    /// A number in the profile.
    Temperature(f64),
}

/// Points of the curve of [`Method::Tweedie`].
const KNOTS: usize = 25;
/// The temperatures that are tried.
const COOLEST: f64 = 0.02;
const HOTTEST: f64 = 50.0;
/// How much a fitted scale is drawn to 1 and an offset to 0, per example.
const RIDGE: f64 = 1e-3;

/// Fits a method. What it needs answers for has them, and `scores` are those of the labels where it has some. With `zhao`
/// affine fits on probabilities, else on their logarithms.
pub fn fit(method: Method, zhao: bool, asked: &[Asked], scores: &[f64]) -> Result<Fit, String> {
    let n = asked.first().map_or(0, |a| a.shares.len());
    match method {
        Method::Contextual | Method::Batch => {
            let mean = |l: usize| asked.iter().map(|a| a.shares[l]).sum::<f64>() / asked.len() as f64;
            let prior: Vec<f64> = (0..n).map(mean).collect();
            Ok(Fit::Tensors(vec![("prior", prior)]))
        }
        Method::Temperature => Ok(Fit::Temperature(temperature(asked))),
        Method::Affine => {
            let (scale, offset) = affine(asked, n, if zhao { |q| q } else { f64::ln });
            Ok(Fit::Tensors(vec![("scale", scale), ("offset", offset)]))
        }
        Method::Linear => linear(asked, scores).map(|line| Fit::Tensors(vec![("line", line.into())])),
        Method::Tweedie => tweedie(asked, scores).map(|(k, v)| Fit::Tensors(vec![("knots", k), ("values", v)])),
    }
}

/// The mean score of a row.
pub fn mean(shares: &[f64], scores: &[f64]) -> f64 {
    shares.iter().zip(scores).map(|(q, s)| q * s).sum()
}

fn softmax(z: impl Iterator<Item = f64>) -> Vec<f64> {
    let z: Vec<f64> = z.collect();
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = z.iter().map(|z| (z - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|e| e / sum).collect()
}

/// The temperature of the least negative log-likelihood, by golden section (it has one minimum).
fn temperature(asked: &[Asked]) -> f64 {
    let loss = |log_t: f64| -> f64 {
        let one = |a: &Asked| {
            let p = softmax(a.shares.iter().map(|q| q.ln() / log_t.exp()));
            a.answer.map_or(0.0, |y| -p[y].max(1e-300).ln())
        };
        asked.iter().map(one).sum()
    };
    let ratio = 0.5 * (5f64.sqrt() - 1.0);
    let (mut low, mut high) = (COOLEST.ln(), HOTTEST.ln());
    for _ in 0..80 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(a) < loss(b) { high = b } else { low = a }
    }
    (0.5 * (low + high)).exp()
}

/// Whether the best temperature may lie beyond what was tried.
pub fn at_edge(temperature: f64) -> bool {
    !(1.001 * COOLEST..=0.999 * HOTTEST).contains(&temperature)
}

/// Scales and offsets of the least negative log-likelihood, drawn a little to 1 and 0: it is convex, and Adam gets there.
fn affine(asked: &[Asked], n: usize, of: fn(f64) -> f64) -> (Vec<f64>, Vec<f64>) {
    let mut x: Vec<f64> = (0..2 * n).map(|i| if i < n { 1.0 } else { 0.0 }).collect();
    let (mut first, mut second) = (vec![0.0; 2 * n], vec![0.0; 2 * n]);
    for step in 1..=2000 {
        let mut slope: Vec<f64> =
            x.iter().enumerate().map(|(i, x)| 2.0 * RIDGE * (x - if i < n { 1.0 } else { 0.0 })).collect();
        for a in asked {
            let Some(y) = a.answer else { continue };
            let p = softmax((0..n).map(|l| x[l] * of(a.shares[l]) + x[n + l]));
            for l in 0..n {
                let d = (p[l] - f64::from(u8::from(l == y))) / asked.len() as f64;
                slope[l] += d * of(a.shares[l]);
                slope[n + l] += d;
            }
        }
        let rate = 0.05 / (1.0 + f64::from(step) / 300.0);
        for i in 0..2 * n {
            first[i] = 0.9 * first[i] + 0.1 * slope[i];
            second[i] = 0.999 * second[i] + 0.001 * slope[i] * slope[i];
            let (m, v) = (first[i] / (1.0 - 0.9f64.powi(step)), second[i] / (1.0 - 0.999f64.powi(step)));
            x[i] -= rate * m / (v.sqrt() + 1e-9);
        }
    }
    let offset = x.split_off(n);
    (x, offset)
}

/// What is said against what is right: `said = m + k · right`, the least squares.
fn attenuation(asked: &[Asked], scores: &[f64]) -> Option<(f64, f64)> {
    line(asked.iter().filter_map(|a| Some((scores[a.answer?], mean(&a.shares, scores), 1.0))))
}

/// Intercept and slope of the second on the first, with weights; `None` where the first is the same everywhere.
pub fn line(triples: impl Iterator<Item = (f64, f64, f64)>) -> Option<(f64, f64)> {
    let all: Vec<(f64, f64, f64)> = triples.collect();
    let sum = |of: &dyn Fn(f64, f64) -> f64| all.iter().map(|(x, y, w)| w * of(*x, *y)).sum::<f64>();
    let n = sum(&|_, _| 1.0);
    let (mx, my) = (sum(&|x, _| x) / n, sum(&|_, y| y) / n);
    let (xx, xy) = (sum(&|x, _| (x - mx).powi(2)), sum(&|x, y| (x - mx) * (y - my)));
    (xx > 0.0).then(|| (my - xy / xx * mx, xy / xx))
}

/// Linear calibration correction (arXiv 2508.01341): the line that undoes the attenuation.
fn linear(asked: &[Asked], scores: &[f64]) -> Result<[f64; 2], String> {
    let (m, k) = attenuation(asked, scores).ok_or("all examples have one answer")?;
    if k < 0.05 {
        return Err(format!(
            "ratings hardly follow the right answers: their slope is {k:.3}, and at least 0.05 is needed"
        ));
    }
    Ok([-m / k, 1.0 / k])
}

/// Tweedie's correction (arXiv 2508.01341): `said − σ² · d/d(said) log density(said)`, where σ² is the variance of what is
/// right less what is said, and the density is a kernel estimate with Gaussian kernels. Made to ascend, so that no rating
/// overtakes another.
fn tweedie(asked: &[Asked], scores: &[f64]) -> Result<(Vec<f64>, Vec<f64>), String> {
    let said: Vec<f64> = asked.iter().map(|a| mean(&a.shares, scores)).collect();
    let gaps: Vec<f64> = asked.iter().zip(&said).filter_map(|(a, s)| Some(scores[a.answer?] - s)).collect();
    let noise = variance(&gaps);
    let spread = variance(&said).sqrt();
    if spread < 1e-6 {
        return Err("all examples get the same rating".into());
    }
    // Silverman's rule, doubled: the score is a derivative, and wants a smoother density than the density itself.
    let width = 2.0 * 1.06 * spread * (said.len() as f64).powf(-0.2);
    let (low, high) = said.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), s| (l.min(*s), h.max(*s)));
    let knots: Vec<f64> = (0..KNOTS).map(|i| low + (high - low) * i as f64 / (KNOTS - 1) as f64).collect();
    let corrected = |at: f64| {
        let kernel = |s: &f64| (-0.5 * ((at - s) / width).powi(2)).exp();
        let density: f64 = said.iter().map(kernel).sum();
        let rise: f64 = said.iter().map(|s| kernel(s) * (s - at) / (width * width)).sum();
        at - noise * rise / density.max(1e-300)
    };
    let mut values: Vec<f64> = knots.iter().map(|k| corrected(*k)).collect();
    for i in 1..values.len() {
        values[i] = values[i].max(values[i - 1]);
    }
    Ok((knots, values))
}

fn variance(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answer: usize, shares: &[f64]) -> Asked {
        Asked { answer: Some(answer), cluster: String::new(), shares: shares.to_vec(), mass: 1.0 }
    }

    /// Shares that are right as often as they say, made twice as sure.
    fn overconfident() -> Vec<Asked> {
        let mut list = Vec::new();
        for p in [0.6f64, 0.7, 0.8, 0.9] {
            let odds = (p / (1.0 - p)).powi(2);
            let shares = [odds / (1.0 + odds), 1.0 / (1.0 + odds)];
            let right = (p * 100.0).round() as usize;
            list.extend((0..100).map(|i| asked(usize::from(i >= right), &shares)));
        }
        list
    }

    #[test]
    fn a_temperature_undoes_overconfidence() {
        assert!((temperature(&overconfident()) - 2.0).abs() < 1e-3);
    }

    #[test]
    fn scales_undo_overconfidence_and_offsets_a_habit() {
        // Both labels are as often right as they say, but for a factor of 5 on the second and twice the sureness.
        let mut list = Vec::new();
        let said = |p: f64| {
            let odds = (p / (1.0 - p)).powi(2) / 5.0;
            [odds / (1.0 + odds), 1.0 / (1.0 + odds)]
        };
        let all = [0.1f64, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9];
        for p in all {
            list.extend((0..100).map(|i| asked(usize::from(i >= (p * 100.0).round() as usize), &said(p))));
        }
        let (scale, offset) = affine(&list, 2, f64::ln);
        for p in all {
            let q = softmax((0..2).map(|l| scale[l] * said(p)[l].ln() + offset[l]));
            assert!((q[0] - p).abs() < 0.01, "{p} became {} with {scale:?} {offset:?}", q[0]);
        }
    }

    #[test]
    fn a_line_undoes_attenuation() {
        let scores = [1.0, 2.0, 3.0];
        // What is said is 1 + half of what is right: 1.5, 2, 2.5.
        let said = [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]];
        let asked: Vec<Asked> = said.iter().enumerate().map(|(i, q)| asked(i, q)).collect();
        let [a, b] = linear(&asked, &scores).unwrap();
        assert!((a + 2.0).abs() < 1e-9 && (b - 2.0).abs() < 1e-9, "{a} {b}");
        let (knots, values) = tweedie(&asked, &scores).unwrap();
        assert!(knots.len() == KNOTS && values[0] < knots[0] && values[KNOTS - 1] > knots[KNOTS - 1], "it spreads");
    }

    #[test]
    fn a_prior_is_the_mean() {
        let list = [asked(0, &[0.2, 0.8]), asked(0, &[0.4, 0.6])];
        let Ok(Fit::Tensors(tensors)) = fit(Method::Batch, false, &list, &[]) else { panic!() };
        assert!((tensors[0].1[0] - 0.3).abs() < 1e-12);
    }
}

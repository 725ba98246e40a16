//! The operators' formulas in float64, independent of the code under test.

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x += z · v`
pub fn along(x: &mut [f64], v: &[f64], z: f64) {
    x.iter_mut().zip(v).for_each(|(x, v)| *x += z * v);
}

pub fn unit(v: &[f64]) -> Vec<f64> {
    let norm = dot(v, v).sqrt();
    v.iter().map(|v| v / norm).collect()
}

pub fn project(x: &mut [f64], v: &[f64], fraction: f64) {
    let v = unit(v);
    let u = dot(x, &v);
    along(x, &v, -fraction * u);
}

/// `x += strength · |x| · v̂`
pub fn by_norm(x: &mut [f64], v: &[f64], strength: f64) {
    let length = dot(x, x).sqrt();
    along(x, &unit(v), strength * length);
}

pub fn clamp(x: &mut [f64], v: &[f64], min: f64, max: f64) {
    let v = unit(v);
    let u = dot(x, &v);
    along(x, &v, u.clamp(min, max) - u);
}

pub fn cosine(x: &[f64], v: &[f64]) -> f64 {
    dot(x, v) / (dot(x, x) * dot(v, v)).sqrt()
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

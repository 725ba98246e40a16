//! Rotary positions.

/// Which dimensions make a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Neighbours: `2m` and `2m + 1`.
    Norm,
    /// Halves: `m` and `m + n_rot / 2`.
    Neox,
}

/// A rotation by an angle in proportion to the position, one frequency per pair.
#[derive(Clone, Debug)]
pub struct Rope {
    style: Style,
    frequencies: Vec<f64>,
}

impl Rope {
    /// Turns the first `n_rot` dimensions; `factors` divide the frequencies.
    pub fn new(style: Style, n_rot: usize, base: f64, factors: Option<&[f64]>) -> Self {
        let frequency = |m: usize| base.powf(-2.0 * m as f64 / n_rot as f64) / factors.map_or(1.0, |f| f[m]);
        Self { style, frequencies: (0..n_rot / 2).map(frequency).collect() }
    }

    /// `x` at a position.
    pub fn turn(&self, x: &[f64], position: f64) -> Vec<f64> {
        let mut turned = x.to_vec();
        let half = self.frequencies.len();
        for (m, frequency) in self.frequencies.iter().enumerate() {
            let (a, b) = match self.style {
                Style::Norm => (2 * m, 2 * m + 1),
                Style::Neox => (m, m + half),
            };
            let (sin, cos) = (position * frequency).sin_cos();
            turned[a] = x[a] * cos - x[b] * sin;
            turned[b] = x[a] * sin + x[b] * cos;
        }
        turned
    }
}

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
    /// What a rotation multiplies lengths by (YaRN's attention factor).
    length: f64,
}

impl Rope {
    /// Turns the first `n_rot` dimensions; `factors` divide the frequencies.
    pub fn new(style: Style, n_rot: usize, base: f64, factors: Option<&[f64]>) -> Self {
        let frequency = |m: usize| base.powf(-2.0 * m as f64 / n_rot as f64) / factors.map_or(1.0, |f| f[m]);
        Self { style, frequencies: (0..n_rot / 2).map(frequency).collect(), length: 1.0 }
    }

    /// With positions divided by `factor`.
    #[must_use]
    pub fn linear(mut self, factor: f64) -> Self {
        self.frequencies.iter_mut().for_each(|f| *f /= factor);
        self
    }

    /// YaRN (Peng et al., arXiv 2309.00071): pairs that turn more than 32 times in the `original` context stay, those that
    /// turn less than once are divided by `factor`, between them it is a ramp; and queries and keys get longer.
    #[must_use]
    pub fn yarn(mut self, base: f64, factor: f64, original: f64) -> Self {
        let n_rot = 2.0 * self.frequencies.len() as f64;
        let pair = |turns: f64| n_rot * (original / (turns * std::f64::consts::TAU)).ln() / (2.0 * base.ln());
        let (low, high) = (pair(32.0).floor().max(0.0), pair(1.0).ceil().min(n_rot - 1.0));
        for (m, frequency) in self.frequencies.iter_mut().enumerate() {
            let divided = ((m as f64 - low) / (high - low).max(1e-3)).clamp(0.0, 1.0);
            *frequency *= divided / factor + 1.0 - divided;
        }
        self.length = 1.0 + 0.1 * factor.ln();
        self
    }

    /// The one that turns nothing.
    #[must_use]
    pub fn none(&self) -> Self {
        Self { frequencies: vec![], ..self.clone() }
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
            turned[a] = (x[a] * cos - x[b] * sin) * self.length;
            turned[b] = (x[a] * sin + x[b] * cos) * self.length;
        }
        turned
    }
}

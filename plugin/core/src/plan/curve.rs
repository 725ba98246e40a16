//! The correction of a mean rating: a curve, and the tilt that gives a distribution a mean.

use std::sync::Arc;

/// Steps of one level of the search for a tilt.
pub const TILT_STEPS: u32 = 64;
/// Levels of it, each between two steps of the one before.
pub const TILT_LEVELS: u32 = 4;

/// Scores, and where the tilt that gives them a mean is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Tilt {
    /// From 0 to 1.
    pub scores: Arc<[f32]>,
    /// The largest tilt: enough to bring a label of share 1e-30 before its neighbour.
    pub limit: f32,
    /// Per level: of each step its tilt times each score, step after step.
    pub grids: Vec<Arc<[f32]>>,
}

impl Tilt {
    /// `None` if two scores are the same.
    pub fn new(scores: &[f32]) -> Option<Tilt> {
        let (low, high) = bounds(scores);
        let scores: Arc<[f32]> = scores.iter().map(|s| ((f64::from(*s) - low) / (high - low)) as f32).collect();
        let mut sorted = scores.to_vec();
        sorted.sort_by(f32::total_cmp);
        let gap = sorted.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0, f32::min);
        if gap.is_nan() || gap <= 1e-3 {
            return None;
        }
        let mut tilt = Tilt { scores, limit: 80.0 / gap, grids: vec![] };
        for level in 0..TILT_LEVELS {
            let at = |step: u32| tilt.begin(level) + tilt.step(level) * step as f32;
            let grid = (0..TILT_STEPS).flat_map(|step| tilt.scores.iter().map(move |s| at(step) * s)).collect();
            tilt.grids.push(grid);
        }
        Some(tilt)
    }

    /// The tilt between two steps of a level.
    pub fn step(&self, level: u32) -> f32 {
        2.0 * self.limit / (TILT_STEPS as f32).powi(level as i32 + 1)
    }

    /// The first tilt of a level, beyond what the levels before it found.
    pub fn begin(&self, level: u32) -> f32 {
        if level == 0 { -self.limit } else { 0.0 }
    }
}

/// A curve of straight pieces on the scale of [`Tilt::scores`]: `offset + slope·m + Σ bend_i · relu(m − at_i)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Bend {
    /// At 0.
    pub offset: f32,
    /// Of the first piece.
    pub slope: f32,
    /// Where a piece ends and the next begins, negated.
    pub minus_at: Arc<[f32]>,
    /// By how much the slope grows there.
    pub bends: Arc<[f32]>,
}

impl Bend {
    /// Through the points `(knots, values)`, in the units of `scores`, and straight on beyond them. `None` if there are not
    /// as many of both, or knots do not ascend.
    pub fn new(knots: &[f32], values: &[f32], scores: &[f32]) -> Option<Bend> {
        let (low, high) = bounds(scores);
        let scaled = |list: &[f32]| -> Vec<f64> { list.iter().map(|v| (f64::from(*v) - low) / (high - low)).collect() };
        let (knots, values) = (scaled(knots), scaled(values));
        let ascend = knots.windows(2).all(|pair| pair[1] - pair[0] > 1e-6);
        if knots.len() != values.len() || knots.len() < 2 || !ascend || high.is_nan() || high <= low {
            return None;
        }
        let pieces = knots.windows(2).zip(values.windows(2));
        let slopes: Vec<f64> = pieces.map(|(k, v)| (v[1] - v[0]) / (k[1] - k[0])).collect();
        let offset = (values[0] - slopes[0] * knots[0]) as f32;
        let bends = slopes.windows(2).map(|pair| (pair[1] - pair[0]) as f32).collect();
        let minus_at = knots[1..knots.len() - 1].iter().map(|k| -k as f32).collect();
        Some(Bend { offset, slope: slopes[0] as f32, minus_at, bends })
    }
}

fn bounds(scores: &[f32]) -> (f64, f64) {
    let wide = scores.iter().map(|s| f64::from(*s));
    wide.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| (low.min(s), high.max(s)))
}

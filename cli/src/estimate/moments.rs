//! Means and variances by class.

use std::io;

use super::Rows;

/// Means of the two classes and of all, and the variance of each component.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    pub positive: Vec<f64>,
    pub negative: Vec<f64>,
    pub mean: Vec<f64>,
    /// Of all rows, divided by their weight.
    pub variance: Vec<f64>,
    /// Sum of the weights: positive, negative.
    pub weight: [f64; 2],
}

/// One pass over the rows.
///
/// # Errors
/// As [`Rows::visit`].
pub fn moments(rows: &impl Rows, weights: &[f64], positive: &[bool]) -> io::Result<Moments> {
    let width = rows.width();
    let mut sums = [vec![0f64; width], vec![0f64; width]];
    let mut squares = vec![0f64; width];
    let mut weight = [0f64; 2];
    // Subtracted before squaring, so that large means cost no digits.
    let mut shift: Option<Vec<f64>> = None;
    rows.each(weights, &mut |i, w, row| {
        let shift = shift.get_or_insert_with(|| row.iter().map(|x| f64::from(*x)).collect());
        let class = usize::from(!positive[i]);
        weight[class] += w;
        for (k, x) in row.iter().enumerate() {
            let d = f64::from(*x) - shift[k];
            sums[class][k] += w * d;
            squares[k] += w * d * d;
        }
    })?;
    let shift = shift.unwrap_or_else(|| vec![0.0; width]);
    let total = weight[0] + weight[1];
    let over = |sum: f64, n: f64| if n > 0.0 { sum / n } else { 0.0 };
    let mean = |k: usize| over(sums[0][k] + sums[1][k], total);
    Ok(Moments {
        positive: (0..width).map(|k| shift[k] + over(sums[0][k], weight[0])).collect(),
        negative: (0..width).map(|k| shift[k] + over(sums[1][k], weight[1])).collect(),
        mean: (0..width).map(|k| shift[k] + mean(k)).collect(),
        variance: (0..width).map(|k| (over(squares[k], total) - mean(k).powi(2)).max(0.0)).collect(),
        weight,
    })
}

impl Moments {
    /// Difference in means: from the negative class to the positive one (CAA, Rimsky et al. 2024).
    pub fn difference(&self) -> Vec<f64> {
        self.positive.iter().zip(&self.negative).map(|(p, n)| p - n).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Matrix, *};

    #[test]
    fn means_are_exact_and_rows_of_no_weight_are_absent() {
        let values = vec![1e6, 1.0, 1e6 + 2.0, 3.0, 1e6 + 4.0, 5.0, 77.0, 77.0];
        let m = moments(&Matrix { width: 2, values }, &[1.0, 1.0, 1.0, 0.0], &[true, true, false, false]).unwrap();
        assert_eq!(m.positive, [1e6 + 1.0, 2.0]);
        assert_eq!(m.negative, [1e6 + 4.0, 5.0]);
        assert_eq!(m.difference(), [-3.0, -3.0]);
        let variance = 8.0 / 3.0;
        assert!(m.variance.iter().all(|v| (v - variance).abs() < 1e-12), "{:?}", m.variance);
    }
}

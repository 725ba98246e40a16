//! Rows of numbers, read block by block.

use std::io;

/// `len` rows of `width` numbers.
pub trait Rows: Sync {
    /// Number of rows.
    fn len(&self) -> usize;
    /// Numbers per row.
    fn width(&self) -> usize;
    /// Gives all rows in order, an even number at a time (but for the last block): the index of the first, and the
    /// numbers.
    ///
    /// # Errors
    /// What the file system answers.
    fn visit(&self, see: &mut dyn FnMut(usize, &[f32])) -> io::Result<()>;

    /// Gives each row with a weight that is not zero.
    ///
    /// # Errors
    /// As [`Rows::visit`].
    fn each(&self, weights: &[f64], see: &mut dyn FnMut(usize, f64, &[f32])) -> io::Result<()> {
        self.visit(&mut |first, block| {
            for (i, row) in block.chunks_exact(self.width()).enumerate() {
                let weight = weights[first + i];
                if weight != 0.0 {
                    see(first + i, weight, row);
                }
            }
        })
    }
}

/// Rows in memory.
#[cfg(test)]
pub struct Matrix {
    pub width: usize,
    pub values: Vec<f32>,
}

#[cfg(test)]
impl Rows for Matrix {
    fn len(&self) -> usize {
        self.values.len() / self.width
    }

    fn width(&self) -> usize {
        self.width
    }

    fn visit(&self, see: &mut dyn FnMut(usize, &[f32])) -> io::Result<()> {
        for (i, block) in self.values.chunks(self.width * 6).enumerate() {
            see(i * 6, block);
        }
        Ok(())
    }
}

/// Inner product, in F64.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The same with a row. Four sums, so that it is vectorised.
pub fn project(row: &[f32], v: &[f64]) -> f64 {
    let (rows, rest) = row.as_chunks::<4>();
    let (vs, last) = v.as_chunks::<4>();
    let mut sums = [0f64; 4];
    for (r, v) in rows.iter().zip(vs) {
        for i in 0..4 {
            sums[i] += f64::from(r[i]) * v[i];
        }
    }
    sums.iter().sum::<f64>() + rest.iter().zip(last).map(|(a, b)| f64::from(*a) * b).sum::<f64>()
}

/// Euclidean norm.
pub fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt()
}

/// The same direction with norm 1; a zero vector stays.
pub fn unit(v: &[f64]) -> Vec<f64> {
    let n = norm(v);
    if n > 0.0 { v.iter().map(|x| x / n).collect() } else { v.to_vec() }
}

//! What the tests share.

mod compile;
mod driver;
mod golden;
mod library;
mod profile;

pub use compile::{compile, compiler, driver, host, output_dir, repository};
pub use driver::{Door, Driver, Ran};
pub use golden::golden;
pub use library::{library, panicking_library};
pub use profile::{ADJUSTABLE, CONSTANT, Profile, rule, two, two_with};

/// Logits of one token in the null host: every block multiplies by these.
pub const FACTORS: [f32; 4] = [1.5, 2.0, 2.5, 3.0];

/// What a vector `strength · [1, 2, 3, 4]` after block `layer` (of 3) adds to the logits of every row.
pub fn added(layer: i32, strength: f32) -> [f32; 4] {
    std::array::from_fn(|i| strength * (i + 1) as f32 * FACTORS[i].powi(2 - layer))
}

/// The logits of the last of `n` tokens without a plug-in.
pub fn plain(n: usize) -> [f32; 4] {
    // Token t is row t of a matrix that counts from 1 to 5 and begins again.
    std::array::from_fn(|i| (1 + (4 * n + i) % 5) as f32 * FACTORS[i].powi(3))
}

/// Their sum.
pub fn steered(n: usize, layer: i32, strength: f32) -> [f32; 4] {
    let (plain, added) = (plain(n), added(layer, strength));
    std::array::from_fn(|i| plain[i] + added[i])
}

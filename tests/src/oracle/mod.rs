//! Position-invariant attention in float64, by its definition: every key is turned to its own position for every query
//! and head, and segments are sorted. Independent of the code under test, and slow.
//!
//! Other weights in the place of a layer's are those of CausalMM (Zhou et al., arXiv 2410.04780).
//!
//! Sources: PINE (Wang et al., arXiv 2407.01100) and Set-Based Prompting (McIlroy-Young et al., arXiv 2406.06581).

mod attention;
mod decoder;
mod gguf;
mod prompt;
mod rope;
mod segments;

pub use attention::{Heads, Instead, Order, Score, attend};
pub use decoder::{Decoder, Passed, distance};
pub use gguf::Weights;
pub use prompt::{Prompt, permutations};
pub use rope::{Rope, Style};
pub use segments::{Mode, Segments};

//! Attention that does not depend on the order of segments: the nodes of a graph, what is kept for later ones, and the
//! inputs that are written before each evaluation.

mod after;
mod build;
mod emit;
mod failure;
mod feed;
mod inputs;
mod kept;
mod layer;
mod masks;
mod order;
mod output;
mod own;
mod places;

pub use emit::rewrite;
pub use feed::AttentionGraph;
pub use kept::Kept;
pub use output::put_back;

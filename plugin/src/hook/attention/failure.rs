//! Why attention stays as the host built it.

/// Why a graph's attention could not be rewritten. The graph is then as the host built it.
#[derive(Debug, thiserror::Error)]
pub enum AttentionFailure {
    /// This ggml lacks an operation.
    #[error("this ggml lacks operations that it is built of")]
    Operations,
    /// Scores have a bias by position.
    #[error("layer {0}: its scores have a bias by position (ALiBi)")]
    Bias(u32),
    /// Positions of several kinds.
    #[error("layer {0}: its positions have several dimensions")]
    Positions(u32),
    /// No memory.
    #[error("no memory for {0}")]
    Memory(&'static str),
    /// A graph of an unknown number of rows, or of other rows.
    #[error("the graph has {found} rows, not the micro-batch's {rows}")]
    Rows {
        /// The graph's.
        found: i64,
        /// The micro-batch's.
        rows: usize,
    },
    /// The keys of a region are not there.
    #[error("what a region's keys were kept in is gone")]
    Gone,
    /// Too large.
    #[error("the graph has {nodes} nodes of {capacity}: no room for {new} more")]
    Capacity {
        /// Nodes and leafs it has.
        nodes: usize,
        /// `ggml_graph_size`
        capacity: usize,
        /// Nodes and leafs that are needed.
        new: usize,
    },
}

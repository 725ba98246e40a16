//! From a plan and one graph to a list of edits: no pointer, no side effect, every value printable.
//!
//! The rewrite is a *substitution*: to put `y = f(x)` after a node `x`, the node is cloned into `x'`, and the original
//! tensor object becomes the last operation of `f` reading `x'`. Every reader, view and saved pointer of llama.cpp's
//! then sees the new value, and no use count of an existing tensor changes.

mod anchor;
mod attention;
mod build;
mod calibrate;
mod contrast;
mod counterfactual;
mod graph;
mod heads;
mod held;
mod join;
mod patch;
mod product;
mod residuals;
mod term;

pub use attention::{AttentionError, AttentionSite, Form, attention};
pub use build::{Beyond, LowerError, Lowered, Missed, lower, lower_with};
pub use contrast::{Contrasted, MOST};
pub use graph::{GraphView, Name, Op, TensorId, TensorView};
pub use join::{Step, join};
pub use patch::{GateTable, Leaf, NewNode, Patch, PerRow, Ref, SlotTable, Slots, Substitution};
pub use residuals::{Residual, residuals};

//! Which of a graph's inputs holds what, and how large each is.

use evenkeel_core::invariance::Part;
use evenkeel_ffi::generated::types::*;

use super::{inputs::Shape, layer::Extents};

/// The inputs of one region, by number. What each holds: see [`evenkeel_core::invariance::Tables`].
pub struct Places {
    pub member: usize,
    pub filled: usize,
    pub sign: usize,
    pub weight: usize,
    pub before: usize,
    pub own: Option<OwnPlaces>,
    pub after: Option<AfterPlaces>,
}

/// What the region's own rows need.
pub struct OwnPlaces {
    /// I32 and I64: get_rows takes the one, set_rows of every version the other.
    pub rows: usize,
    pub targets: usize,
    /// Rows whose keys stand in the slots.
    pub keys: usize,
    /// Cells of the tokens before the region.
    pub cells_before: usize,
    pub counts: usize,
    pub mean: usize,
    pub nearest: usize,
    pub mask: usize,
    /// Shifts of the tokens before the region: none.
    pub still: usize,
}

/// What rows behind the region need.
pub struct AfterPlaces {
    pub rows: usize,
    pub targets: usize,
    /// F32 `[n_slots + n_kv, n_after]`.
    pub mask: usize,
}

impl Places {
    /// Of a region in a graph, whose inputs are added to `shapes`.
    pub fn new(part: &Part, x: &Extents, shapes: &mut Vec<Shape>) -> Places {
        let (k, stride, slots) = (part.n_segments as i64, part.stride as i64, part.n_slots() as i64);
        let longest = part.longest as i64;
        let mut add = |kind, ne| {
            shapes.push(Shape { kind, ne });
            shapes.len() - 1
        };
        let blocks = part.blocks_before() as i64;
        Places {
            member: add(GGML_TYPE_F32, [slots, k, 1, 1]),
            filled: add(GGML_TYPE_F32, [slots, 1, 1, 1]),
            sign: add(GGML_TYPE_F32, [k, 1, k, 1]),
            weight: add(GGML_TYPE_F32, [k, 1, k, 1]),
            before: add(GGML_TYPE_F32, [1, 1, k, 1]),
            own: part.fresh.then(|| OwnPlaces {
                rows: add(GGML_TYPE_I32, [longest * k, 1, 1, 1]),
                targets: add(GGML_TYPE_I64, [longest * k, 1, 1, 1]),
                keys: add(GGML_TYPE_I32, [slots, 1, 1, 1]),
                cells_before: add(GGML_TYPE_I32, [blocks * stride, 1, 1, 1]),
                counts: add(GGML_TYPE_F32, [slots, 1, 1, k]),
                mean: add(GGML_TYPE_F32, [longest, k, 1, 1]),
                nearest: add(GGML_TYPE_F32, [k, k, 1, 1]),
                mask: add(GGML_TYPE_F16, [part.n_seen() as i64, longest * k, 1, 1]),
                still: add(GGML_TYPE_F32, [x.heads * k, blocks, 1, 1]),
            }),
            after: (part.n_after > 0).then(|| {
                let n = part.n_after as i64;
                AfterPlaces {
                    rows: add(GGML_TYPE_I32, [n, 1, 1, 1]),
                    targets: add(GGML_TYPE_I64, [n, 1, 1, 1]),
                    mask: add(GGML_TYPE_F32, [x.n_kv + slots, n, 1, 1]),
                }
            }),
        }
    }
}

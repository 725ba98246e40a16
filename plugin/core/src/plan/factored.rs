//! Rules whose file has what is read apart from what is written: erasers and features.

use super::types::{Map, Update};
use crate::asset::Factors;
use crate::profile::Operator;

/// The update of `operator` at `fraction` of its strength; `None` if it is neither of the two.
///
/// affine: `x −= fraction · W(Rx − m)`. sae: `x += (target − relu(e·x + b)) · d`.
pub(super) fn factored(factors: &Factors, operator: Operator, fraction: f32) -> Option<Update> {
    let map = match operator {
        Operator::Affine => {
            let n = factors.offset.len();
            let matrix = (0..n * n).map(|i| if i / n == i % n { -fraction } else { 0.0 }).collect();
            Map::Linear { matrix, offset: factors.offset.iter().map(|m| fraction * m).collect() }
        }
        Operator::Sae { target } => Map::Feature { bias: *factors.offset.first()?, target },
        _ => return None,
    };
    Some(Update { reads: factors.reads.clone(), writes: factors.writes.clone(), map })
}

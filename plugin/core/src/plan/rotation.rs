//! Rotation in a plane that two directions span.

use std::sync::Arc;

use super::subspace::{DEPENDENT, dot, unit};
use super::types::{Map, Update};

/// `x + (R − I)` of what `x` has in the plane of `v`, which has length 1, and `w`: from `v` towards `w` by `degrees`.
///
/// With the basis `b₁ = v`, `b₂ = w` less what it has along `v`, at length 1 (Gram and Schmidt), and `u = (b₁·x, b₂·x)`,
/// the change is `(R − I)·u` in that basis; the row's norm stays. `None` if the two span no plane.
pub(super) fn rotation(v: Vec<f64>, w: &[f32], degrees: f32) -> Option<Update> {
    let mut w = unit(w)?;
    // Twice is enough in F64.
    for _ in 0..2 {
        let along = dot(&v, &w);
        w.iter_mut().zip(&v).for_each(|(w, v)| *w -= along * v);
    }
    let left = dot(&w, &w).sqrt();
    if left <= DEPENDENT {
        return None;
    }
    let narrow = |v: &mut dyn Iterator<Item = f64>| -> Arc<[f32]> { v.map(|x| x as f32).collect() };
    let basis = vec![narrow(&mut v.into_iter()), narrow(&mut w.into_iter().map(|w| w / left))];
    let half = f64::from(degrees).to_radians() / 2.0;
    // cos − 1 without the cancellation.
    let (less, sin) = (-2.0 * half.sin().powi(2), (2.0 * half).sin());
    let matrix = [less, -sin, sin, less].map(|m| m as f32).to_vec();
    Some(Update { reads: basis.clone(), writes: basis, map: Map::Linear { matrix, offset: vec![0.0; 2] } })
}

/// By how many degrees an update rotates, if that is what it does.
pub(super) fn degrees(update: &Update) -> Option<f64> {
    let Map::Linear { matrix, offset } = &update.map else { return None };
    let [less, minus_sin, sin, also_less] = matrix[..] else { return None };
    let (cos, sin_) = (1.0 + f64::from(less), f64::from(sin));
    let rotates = less == also_less && minus_sin == -sin && (cos * cos + sin_ * sin_ - 1.0).abs() < 1e-5;
    let plane = update.reads == update.writes && update.reads.len() == 2 && offset.iter().all(|c| *c == 0.0);
    (rotates && plane).then(|| sin_.atan2(cos).to_degrees())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_leads_from_the_one_to_the_other() {
        let update = rotation(vec![1.0, 0.0, 0.0], &[3.0, 0.0, 2.0], 90.0).unwrap();
        assert_eq!(update.reads[1][..], [0.0, 0.0, 1.0]);
        let Map::Linear { matrix, .. } = &update.map else { panic!() };
        let expected = [-1.0, -1.0, 1.0, -1.0];
        assert!(matrix.iter().zip(expected).all(|(m, e)| (m - e).abs() < 1e-6), "{matrix:?}");
        for angle in [-179.0, -90.0, 0.01, 45.0, 180.0] {
            let update = rotation(vec![1.0, 0.0, 0.0], &[3.0, 0.0, 2.0], angle).unwrap();
            assert!((degrees(&update).unwrap() - f64::from(angle)).abs() < 1e-4, "{angle}");
        }
    }

    #[test]
    fn parallel_directions_span_no_plane() {
        let v = || vec![0.6, 0.8];
        assert_eq!(rotation(v(), &[-3.0, -4.0], 10.0), None);
        assert_eq!(rotation(v(), &[0.0, 0.0], 10.0), None);
        assert!(rotation(v(), &[0.6, 0.801], 10.0).is_some());
    }
}

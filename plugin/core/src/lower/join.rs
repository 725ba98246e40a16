//! Two graphs of one model, in an order in which they are evaluated as one: where both multiply by the same weights, that is
//! done once for the rows of both.

use std::ops::Range;

/// A part of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nodes of the first graph, as they follow each other there.
    First(Range<usize>),
    /// Nodes of the second.
    Second(Range<usize>),
    /// A node of each: products with the same weights, of which one is made.
    Both(usize, usize),
}

/// The order. Each list has a graph's nodes: of a product that can be made for both, the weights that it is with, by a number
/// of their own. All nodes keep the order that they have in their graph; what of the second follows its last product comes
/// before what follows that in the first, which can read the second's result.
pub fn join(first: &[Option<usize>], second: &[Option<usize>]) -> Vec<Step> {
    let mut steps = vec![];
    let (mut i, mut j) = (0, 0);
    for (at, weights) in first.iter().enumerate() {
        let Some(weights) = weights else { continue };
        // Both have the same layers in the same order, so what is far ahead is another layer's.
        let Some(behind) = second[j..].iter().position(|w| w.as_ref() == Some(weights)) else { continue };
        steps.extend([Step::Second(j..j + behind), Step::First(i..at), Step::Both(at, j + behind)]);
        (i, j) = (at + 1, j + behind + 1);
    }
    steps.extend([Step::Second(j..second.len()), Step::First(i..first.len())]);
    steps.retain(|step| !matches!(step, Step::First(nodes) | Step::Second(nodes) if nodes.is_empty()));
    steps
}

#[cfg(test)]
mod tests {
    use super::{Step::*, *};

    #[test]
    fn the_same_products_are_made_once() {
        let (w, v) = (Some(10), Some(20));
        let steps = join(&[None, w, None, v, None, None], &[w, None, None, v]);
        assert_eq!(steps, [First(0..1), Both(1, 0), Second(1..3), First(2..3), Both(3, 3), First(4..6)]);
    }

    #[test]
    fn what_only_one_has_stays_its_own() {
        let (w, v, u) = (Some(10), Some(20), Some(30));
        assert_eq!(join(&[w, v], &[u, v]), [Second(0..1), First(0..1), Both(1, 1)]);
        assert_eq!(join(&[v, w], &[w, v]), [Second(0..1), Both(0, 1), First(1..2)]);
        assert_eq!(join(&[None, None], &[None]), [Second(0..1), First(0..2)]);
        assert_eq!(join(&[], &[]), []);
    }

    #[test]
    fn every_node_is_there_once_and_in_order() {
        let mut random = 1u64;
        let mut next = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        for _ in 0..200 {
            let mut list = |n| (0..n).map(|_| Some(next(6) as usize).filter(|w| *w < 4)).collect::<Vec<_>>();
            let (first, second) = (list(17), list(23));
            let (mut a, mut b) = (vec![], vec![]);
            for step in join(&first, &second) {
                match step {
                    First(nodes) => a.extend(nodes),
                    Second(nodes) => b.extend(nodes),
                    Both(i, j) => {
                        assert_eq!(first[i], second[j]);
                        a.push(i);
                        b.push(j);
                    }
                }
            }
            assert!(a.iter().copied().eq(0..17) && b.iter().copied().eq(0..23));
        }
    }
}

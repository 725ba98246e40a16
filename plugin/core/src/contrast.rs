//! Contrast: what a model says to a request, set off against what it says to the same request without a marked context.
//!
//! `(1 + α)·full − α·without` on logits is context-aware decoding (Shi et al., arXiv 2305.14739); tokens that the full
//! request makes less likely than β times the best stay out, which is the plausibility constraint of contrastive decoding
//! (Li et al., arXiv 2210.15097).

use crate::invariance::{MarkerTexts, Pairs};

/// What a profile says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// α, from 0 to 10.
    pub alpha: f32,
    /// β, from 0 to 1; 0 for no constraint.
    pub plausibility: f32,
    /// What stands around a context.
    pub markers: MarkerTexts,
}

impl Contrast {
    /// `−ln β`: how far below the best logit one may lie; `None` without a constraint. A little more, so that the best one
    /// itself is always within.
    pub fn reach(&self) -> Option<f32> {
        (self.plausibility > 0.0).then(|| 1e-6 - self.plausibility.ln())
    }
}

/// What a sequence's contexts are for the row at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before or in the first context, or in a later one: there is nothing to be set off against.
    Plain,
    /// After a context, or its last token.
    After,
    /// In a context that does not end.
    Open,
}

/// The place of a position.
pub fn place(pairs: &Pairs, pos: i32) -> Place {
    if pairs.open.is_some_and(|open| pos >= open) {
        return Place::Open;
    }
    let inside = pairs.closed.iter().any(|span| (span.first..span.end - 1).contains(&pos));
    let after = pairs.closed.first().is_some_and(|span| pos >= span.end - 1);
    if after && !inside { Place::After } else { Place::Plain }
}

/// How many tokens are left of those up to a position, itself included, if every context is left out.
pub fn left(pairs: &Pairs, pos: i32) -> usize {
    let out: i32 = pairs.closed.iter().map(|span| (span.end.min(pos + 1) - span.first).max(0)).sum();
    usize::try_from(pos + 1 - out).unwrap_or(0)
}

/// The tokens without every context.
pub fn without(pairs: &Pairs, tokens: &[i32]) -> Vec<i32> {
    let mut left = Vec::with_capacity(tokens.len());
    let mut at = 0;
    for span in &pairs.closed {
        left.extend_from_slice(&tokens[at..span.first as usize]);
        at = span.end as usize;
    }
    left.extend_from_slice(&tokens[at..pairs.open.map_or(tokens.len(), |open| open as usize)]);
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariance::Span;

    fn pairs(open: Option<i32>) -> Pairs {
        Pairs { closed: vec![Span { first: 2, end: 4 }, Span { first: 6, end: 9 }], open }
    }

    #[test]
    fn what_is_left() {
        let tokens: Vec<i32> = (0..12).collect();
        assert_eq!(without(&pairs(None), &tokens), [0, 1, 4, 5, 9, 10, 11]);
        assert_eq!(without(&pairs(Some(10)), &tokens), [0, 1, 4, 5, 9]);
        let lengths: Vec<usize> = (0..12).map(|pos| left(&pairs(None), pos)).collect();
        assert_eq!(lengths, [1, 2, 2, 2, 3, 4, 4, 4, 4, 5, 6, 7]);
    }

    #[test]
    fn places() {
        let found: Vec<Place> = (0..11).map(|pos| place(&pairs(Some(10)), pos)).collect();
        let (p, a, o) = (Place::Plain, Place::After, Place::Open);
        assert_eq!(found, [p, p, p, a, a, a, p, p, a, a, o]);
        assert_eq!(place(&Pairs::default(), 5), Place::Plain);
    }

    #[test]
    fn reach() {
        let markers = MarkerTexts { open: "a".into(), close: "b".into(), in_text: false };
        let of = |plausibility| Contrast { alpha: 1.0, plausibility, markers: markers.clone() }.reach();
        assert_eq!(of(0.0), None);
        assert!(of(1.0).unwrap() > 0.0 && (of(0.1).unwrap() - std::f32::consts::LN_10).abs() < 1e-5);
    }
}

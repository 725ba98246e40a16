//! Contrast: what a model says to a request, set off against what it says to the same request without a marked context,
//! without its images, or without its own attention.
//!
//! `(1 + α)·full − α·without` on logits is context-aware decoding (Shi et al., arXiv 2305.14739); tokens that the full
//! request makes less likely than β times the best stay out, which is the plausibility constraint of contrastive decoding
//! (Li et al., arXiv 2210.15097).

use crate::invariance::{MarkerTexts, Pairs};
use crate::sequence::{EMBEDDED_TOKEN, is_token};

/// What a profile says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// α, from 0 to 10.
    pub alpha: f32,
    /// β, from 0 to 1; 0 for no constraint.
    pub plausibility: f32,
    /// What is left out.
    pub without: Without,
    /// What the model attends to what is left with; `None`: as ever.
    pub attention: Option<Counterfactual>,
}

/// What of a request is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Without {
    /// Contexts.
    Contexts {
        /// What stands around each.
        markers: MarkerTexts,
        /// What stands in the place of each; `None` for nothing.
        instead: Option<String>,
    },
    /// Images and audio: all that came as embeddings.
    Image,
    /// Nothing: the request is whole, its attention is another.
    Nothing,
}

/// Attention that does not depend on what is attended to: the counterfactuals of CausalMM (Zhou et al., arXiv 2410.04780).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Counterfactual {
    /// What stands in the place of the weights.
    pub weights: Weights,
    /// At which layers, from 0, in ascending order.
    pub layers: Vec<u32>,
}

/// What stands in the place of a row's attention weights `w`, of each head, over the cells that it may attend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weights {
    /// The same for every cell.
    Uniform,
    /// Random shares, which depend on nothing but the positions of row and cell.
    Random,
    /// `max w − w`, made to sum up to 1: what counted most counts least.
    Reversed,
    /// The same weights at other cells, by a permutation that depends on nothing but the row's position.
    Shuffled,
}

impl Weights {
    /// The word for it in a profile.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Random => "random",
            Self::Reversed => "reversed",
            Self::Shuffled => "shuffled",
        }
    }

    /// Whether it takes numbers that depend on positions.
    pub fn is_drawn(self) -> bool {
        matches!(self, Self::Random | Self::Shuffled)
    }
}

impl Contrast {
    /// `−ln β`: how far below the best logit one may lie; `None` without a constraint. A little more, so that the best one
    /// itself is always within.
    pub fn reach(&self) -> Option<f32> {
        (self.plausibility > 0.0).then(|| 1e-6 - self.plausibility.ln())
    }
}

/// The tokens of a request without its images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// In order.
    pub tokens: Vec<i32>,
    /// Where each stands among all rows.
    positions: Vec<i32>,
    /// The position of the first row of an image.
    image: Option<i32>,
}

impl Text {
    /// From the positions and tokens of a request's rows, in order. Rows of an image can share a position, and the text after
    /// one can go on at a later position than the next, as with rotary positions of several dimensions. `None` if rows are
    /// missing elsewhere, or one is of unknown origin.
    pub fn of(rows: impl IntoIterator<Item = (i32, i32)>) -> Option<Text> {
        let (mut text, mut next, mut in_image) = (Text::default(), 0, false);
        for (pos, token) in rows {
            let follows = pos == next || in_image && pos >= next - 1;
            in_image = token == EMBEDDED_TOKEN;
            match (follows, in_image) {
                (true, true) => drop(text.image.get_or_insert(pos)),
                (true, false) if is_token(token) => {
                    text.tokens.push(token);
                    text.positions.push(pos);
                }
                _ => return None,
            }
            next = pos + 1;
        }
        Some(text)
    }

    /// How many of the tokens stand before a position.
    pub fn before(&self, pos: i32) -> usize {
        self.positions.partition_point(|own| *own < pos)
    }

    /// How many of the tokens stand before the logits of the row at a position; `None` before the first image.
    pub fn left(&self, pos: i32) -> Option<usize> {
        self.image.filter(|image| *image <= pos)?;
        Some(self.positions.partition_point(|own| *own <= pos))
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

/// How many tokens there are up to a position, itself included, if so many stand in the place of every context that ends there
/// or before.
pub fn left(pairs: &Pairs, pos: i32, instead: usize) -> usize {
    let out: i32 = pairs.closed.iter().map(|span| (span.end.min(pos + 1) - span.first).max(0)).sum();
    let ended = pairs.closed.iter().filter(|span| span.end <= pos + 1).count();
    usize::try_from(pos + 1 - out).unwrap_or(0) + ended * instead
}

/// How many tokens there are before a position, if so many stand in the place of every context that ends there or before.
pub fn before(pairs: &Pairs, pos: i32, instead: usize) -> usize {
    if pos > 0 { left(pairs, pos - 1, instead) } else { 0 }
}

/// The tokens with others in the place of every context, or with none.
pub fn without(pairs: &Pairs, tokens: &[i32], instead: &[i32]) -> Vec<i32> {
    let mut left = Vec::with_capacity(tokens.len());
    let mut at = 0;
    for span in &pairs.closed {
        left.extend_from_slice(&tokens[at..span.first as usize]);
        left.extend_from_slice(instead);
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
        assert_eq!(without(&pairs(None), &tokens, &[]), [0, 1, 4, 5, 9, 10, 11]);
        assert_eq!(without(&pairs(Some(10)), &tokens, &[]), [0, 1, 4, 5, 9]);
        assert_eq!(without(&pairs(None), &tokens, &[7, 7]), [0, 1, 7, 7, 4, 5, 7, 7, 9, 10, 11]);
        let lengths = |instead| (0..12).map(|pos| left(&pairs(None), pos, instead)).collect::<Vec<_>>();
        assert_eq!(lengths(0), [1, 2, 2, 2, 3, 4, 4, 4, 4, 5, 6, 7]);
        assert_eq!(lengths(2), [1, 2, 2, 4, 5, 6, 6, 6, 8, 9, 10, 11]);
    }

    #[test]
    fn places() {
        let found: Vec<Place> = (0..11).map(|pos| place(&pairs(Some(10)), pos)).collect();
        let (p, a, o) = (Place::Plain, Place::After, Place::Open);
        assert_eq!(found, [p, p, p, a, a, a, p, p, a, a, o]);
        assert_eq!(place(&Pairs::default(), 5), Place::Plain);
    }

    #[test]
    fn text_without_images() {
        let e = EMBEDDED_TOKEN;
        let text = Text::of([(0, 7), (1, 8), (2, e), (3, e), (4, 9)]).unwrap();
        assert_eq!(text.tokens, [7, 8, 9]);
        assert_eq!([0, 1, 2, 3, 4].map(|pos| text.left(pos)), [None, None, Some(2), Some(2), Some(3)]);
        // An image's rows at one position, and the text where its height or width ends.
        let jump = Text::of([(0, 7), (1, e), (1, e), (1, e), (4, 9), (5, 6)]).unwrap();
        assert_eq!(jump.tokens, [7, 9, 6]);
        assert_eq!([0, 1, 4, 5].map(|pos| jump.left(pos)), [None, Some(1), Some(2), Some(3)]);
        assert_eq!(Text::of([(0, 7), (1, 8)]).unwrap().left(1), None);
        for lost in [&[(1, 7)][..], &[(0, 7), (2, 8)], &[(0, 7), (1, -1)], &[(0, e), (1, 7), (1, 7)], &[(0, 7), (0, e)]]
        {
            assert_eq!(Text::of(lost.iter().copied()), None, "{lost:?}");
        }
    }

    #[test]
    fn reach() {
        let of = |plausibility| {
            let (without, attention) = (Without::Image, None);
            Contrast { alpha: 1.0, plausibility, without, attention }.reach()
        };
        assert_eq!(of(0.0), None);
        assert!(of(1.0).unwrap() > 0.0 && (of(0.1).unwrap() - std::f32::consts::LN_10).abs() < 1e-5);
    }
}

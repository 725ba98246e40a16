//! The value of `layers`: which layers were asked for, before a model says how many there are.

use std::fmt;
use std::ops::RangeInclusive;

use super::percent::{Percent, WHOLE};

/// Which layers, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layers {
    /// Every layer that the vector file has.
    All,
    /// The layers of all items; never empty.
    Some(Vec<LayerItem>),
}

/// A layer, a depth, or a range of either. Ranges include both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerItem {
    /// Layer number, from 0.
    Layer(u32),
    /// First and last layer.
    Range(u32, u32),
    /// The layer at this depth.
    Depth(Percent),
    /// The layers whose middle lies between these depths.
    Depths(Percent, Percent),
}

impl LayerItem {
    /// Reads `14`, `12..24`, `50%` or `40%..70%`.
    ///
    /// # Errors
    /// What is wrong, as a phrase.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let Some((from, to)) = text.split_once("..") else {
            return match text.strip_suffix('%') {
                Some(depth) => Ok(Self::Depth(Percent::parse(depth)?)),
                None => Ok(Self::Layer(layer(text)?)),
            };
        };
        if to.starts_with(['=', '.']) {
            return Err("a range is written with two dots and includes both ends");
        }
        match (from.trim_end().strip_suffix('%'), to.trim_end().strip_suffix('%')) {
            (Some(from), Some(to)) => {
                let (from, to) = (Percent::parse(from)?, Percent::parse(to)?);
                if from > to { Err(BACKWARDS) } else { Ok(Self::Depths(from, to)) }
            }
            (None, None) => {
                let (from, to) = (layer(from)?, layer(to)?);
                if from > to { Err(BACKWARDS) } else { Ok(Self::Range(from, to)) }
            }
            _ => Err("a range needs % at both ends or at none"),
        }
    }

    /// The layers of a model with `n_layer` layers, or `None` if none lies in this range of depths.
    ///
    /// Layer numbers come back as typed, also those that the model does not have.
    pub fn resolve(self, n_layer: u32) -> Option<RangeInclusive<u32>> {
        let n = u64::from(n_layer);
        // A depth is at most WHOLE, so no quotient exceeds n.
        let narrow = |layer: u64| u32::try_from(layer).unwrap_or(u32::MAX);
        match self {
            Self::Layer(layer) => Some(layer..=layer),
            Self::Range(from, to) => Some(from..=to),
            Self::Depth(Percent(p)) => {
                let at = narrow((u64::from(p) * n / WHOLE).min(n.checked_sub(1)?));
                Some(at..=at)
            }
            Self::Depths(Percent(from), Percent(to)) => {
                // The middle of layer i lies at (2i + 1) / 2n of the depth.
                let (from, to) = (u64::from(from) * 2 * n, u64::from(to) * 2 * n);
                let first = from.saturating_sub(WHOLE).div_ceil(2 * WHOLE);
                let last = to.checked_sub(WHOLE)? / (2 * WHOLE);
                (first <= last).then(|| narrow(first)..=narrow(last))
            }
        }
    }
}

const BACKWARDS: &str = "the range ends before it begins";

fn layer(text: &str) -> Result<u32, &'static str> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("not a layer, a depth or a range");
    }
    text.parse().map_err(|_| "the layer number is too large")
}

impl fmt::Display for LayerItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(layer) => write!(f, "{layer}"),
            Self::Range(from, to) => write!(f, "{from}..{to}"),
            Self::Depth(depth) => write!(f, "{depth}"),
            Self::Depths(from, to) => write!(f, "{from}..{to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str, n_layer: u32) -> Vec<u32> {
        LayerItem::parse(text).unwrap().resolve(n_layer).map_or(vec![], Iterator::collect)
    }

    #[test]
    fn ranges_include_both_ends() {
        assert_eq!(layers("2..4", 9), [2, 3, 4]);
        assert_eq!(layers(" 7 ", 9), [7]);
        assert_eq!(layers("3 .. 3", 9), [3]);
    }

    #[test]
    fn depths_follow_the_middle_of_a_layer() {
        assert_eq!(layers("0%..100%", 5), [0, 1, 2, 3, 4]);
        assert_eq!(layers("0%..50%", 4), [0, 1]);
        assert_eq!(layers("50%..100%", 4), [2, 3]);
        assert_eq!(layers("40%..70%", 36).first(), Some(&14));
        assert_eq!(layers("40%..70%", 36).last(), Some(&24));
        assert_eq!(layers("50%", 5), [2]);
        assert_eq!(layers("100%", 5), [4]);
        assert_eq!(layers("0%", 5), [0]);
        assert!(layers("21%..22%", 5).is_empty());
        assert!(layers("0%..9.99%", 5).is_empty());
        assert_eq!(layers("0%..10%", 5), [0]);
        assert!(layers("0%..100%", 0).is_empty());
        assert!(layers("7%", 0).is_empty());
        for n in 0..70 {
            for (from, to) in [(0, 33), (10, 90), (50, 50), (99, 100)] {
                let inside = |i: &u32| (2 * i + 1) * 100 >= from * 2 * n && (2 * i + 1) * 100 <= to * 2 * n;
                let expected: Vec<u32> = (0..n).filter(inside).collect();
                assert_eq!(layers(&format!("{from}%..{to}%"), n), expected, "{from} {to} {n}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in [
            "",
            "..",
            "1..",
            "..2",
            "-1",
            "1.5",
            "4..2",
            "70%..40%",
            "12..70%",
            "101%",
            "1..=2",
            "1...2",
            "%",
            "x",
            "1,2",
            "33.333%",
            "99999999999",
            "+1",
            "1 2",
            "all",
        ] {
            assert!(LayerItem::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn printed_as_typed() {
        for text in ["14", "12..24", "50%", "40%..70%", "33.33%..66.50%"] {
            assert_eq!(LayerItem::parse(text).unwrap().to_string(), text);
        }
    }
}

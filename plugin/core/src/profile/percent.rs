//! Depths in percent.

use std::fmt;

/// A depth in hundredths of a percent, at most 10000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub(super) u32);

/// A depth of 100%.
pub(super) const WHOLE: u64 = 10_000;

const TOO_DEEP: &str = "the depth is more than 100%";

impl Percent {
    /// Reads `40` or `33.33`, without the sign.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) {
            return Err("not a depth in percent");
        }
        if part.len() > 2 {
            return Err("a depth has at most two digits after the point");
        }
        let part: u32 = format!("{part:0<2}").parse().map_err(|_| TOO_DEEP)?;
        let whole: u32 = whole.parse().map_err(|_| TOO_DEEP)?;
        match whole.checked_mul(100).and_then(|w| w.checked_add(part)) {
            Some(p) if u64::from(p) <= WHOLE => Ok(Self(p)),
            _ => Err(TOO_DEEP),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

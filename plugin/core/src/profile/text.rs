//! From byte offsets to lines and columns.

use crate::report::Pos;

/// A text and where its lines begin.
pub(super) struct Text<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self { text, lines: std::iter::once(0).chain(breaks).collect() }
    }

    /// The position of a byte offset; one past the end is the end.
    pub(super) fn pos(&self, offset: usize) -> Pos {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines[line - 1];
        let col = self.text.as_bytes()[start..offset].iter().filter(|b| **b & 0xC0 != 0x80).count();
        let of = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Pos { line: of(line), col: of(col).saturating_add(1) }
    }
}

impl<'a> Text<'a> {
    /// The line of a byte offset, without the space around it.
    pub(super) fn line(&self, offset: usize) -> &'a str {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        self.text[self.lines[line - 1]..].lines().next().unwrap_or_default().trim()
    }
}

/// At most 60 characters of a text, for a message, which is one line that leaves a terminal alone.
pub(super) fn shorten(text: &str) -> String {
    const MAX: usize = 60;
    let mut short: String = text.chars().take(MAX).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let text = Text::new("aü\nbc\n");
        let at = |o| (text.pos(o).line, text.pos(o).col);
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (1, 3));
        assert_eq!(at(4), (2, 1));
        assert_eq!(at(5), (2, 2));
        assert_eq!(at(7), (3, 1));
        assert_eq!(at(99), (3, 1));
        assert_eq!(text.line(5), "bc");
        assert_eq!(text.line(7), "");
        assert_eq!(shorten("a\n\x1bb"), "a??b");
        assert_eq!(shorten(&"ü".repeat(61)), "ü".repeat(60) + "…");
        assert_eq!(Text::new("").pos(0), Pos { line: 1, col: 1 });
    }
}

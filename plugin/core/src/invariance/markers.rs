//! Segments, found in a prompt by what stands around them.

use super::{MAX_SEGMENTS, Region, RegionError, Span};

/// One marker, as a model's vocabulary has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// A special token: no text can forge it.
    Token(i32),
    /// Text, in whatever tokens it comes.
    Text(Vec<u8>),
}

/// What stands around each segment. Both belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    /// Where it begins.
    pub open: Marker,
    /// Where it ends.
    pub close: Marker,
}

/// What was found in the tokens of a sequence so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// No segment.
    Nothing,
    /// Segments, after which nothing came that is not one: more may come. Why it is not a whole prompt.
    Open(&'static str),
    /// Segments between a prefix and a suffix.
    Whole(Region),
}

/// A prompt whose markers make no region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkerError {
    /// An opening marker in a segment.
    #[error("position {0}: a segment begins before the one before has ended")]
    Nested(i32),
    /// A closing marker outside.
    #[error("position {0}: a segment ends that has not begun")]
    Unopened(i32),
    /// A second region.
    #[error(
        "position {0}: a segment begins after other text: all segments of a prompt stand together, with white space between them"
    )]
    Second(i32),
    /// A marker that is not whole tokens.
    #[error(
        "position {0}: a token reaches over the edge of a marker: use markers that are special tokens of this model"
    )]
    Merged(i32),
    /// Markers that came in different tokens.
    #[error(
        "position {0}: this segment's markers came in other tokens than those of the first: put the same white space around all \
         segments, or use markers that are special tokens of this model"
    )]
    Unlike(i32),
    /// Spans that make no region.
    #[error(transparent)]
    Region(#[from] RegionError),
}

/// Cuts the tokens of a sequence, from position 0 on. `piece` gives the bytes of a token, special ones as they are written.
///
/// # Errors
/// [`MarkerError`]
pub fn cut<P: AsRef<[u8]>>(
    markers: &Markers,
    tokens: &[i32],
    mut piece: impl FnMut(i32) -> P,
) -> Result<Cut, MarkerError> {
    let text = Text::new(markers, tokens, &mut piece);
    text.check(&markers.open)?;
    text.check(&markers.close)?;
    let (mut spans, mut opened, mut begun) = (Vec::<Span>::new(), None, vec![]);
    // The tokens of the first segment's markers.
    let mut edges: Option<[Vec<i32>; 2]> = None;
    let (mut suffix, mut at) = (false, 0);
    while at < tokens.len() {
        let pos = at as i32;
        if let Some(n) = text.at(&markers.open, at) {
            if opened.is_some() {
                return Err(MarkerError::Nested(pos));
            }
            if suffix {
                return Err(MarkerError::Second(pos));
            }
            (opened, begun) = (Some(pos), tokens[at..at + n].to_vec());
            at += n;
        } else if let Some(n) = text.at(&markers.close, at) {
            let first = opened.take().ok_or(MarkerError::Unopened(pos))?;
            let found = [std::mem::take(&mut begun), tokens[at..at + n].to_vec()];
            if *edges.get_or_insert_with(|| found.clone()) != found {
                return Err(MarkerError::Unlike(first));
            }
            if spans.len() > MAX_SEGMENTS {
                return Err(RegionError::Count(spans.len()).into());
            }
            at += n;
            spans.push(Span { first, end: at as i32 });
        } else {
            suffix |= opened.is_none() && !spans.is_empty() && !piece(tokens[at]).as_ref().trim_ascii().is_empty();
            at += 1;
        }
    }
    Ok(match (spans.is_empty(), opened) {
        (_, Some(_)) => Cut::Open("its last segment does not end"),
        (true, None) => Cut::Nothing,
        (false, None) if !suffix => {
            Cut::Open("nothing follows its last segment, and what stands in a segment depends on it")
        }
        (false, None) => Cut::Whole(Region::with_gaps(&spans)?),
    })
}

/// Markers that do not pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairsError {
    /// An opening marker after an opening one.
    #[error("position {0}: a context begins before the one before has ended")]
    Nested(i32),
    /// A closing marker without an opening one.
    #[error("position {0}: a context ends that has not begun")]
    Unopened(i32),
    /// Markers that cannot be told from what stands beside them.
    #[error(transparent)]
    Marker(#[from] MarkerError),
}

/// Pairs of markers in the tokens of a sequence, wherever they stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pairs {
    /// From each opening marker to the closing one, both included.
    pub closed: Vec<Span>,
    /// Where one begins that does not end.
    pub open: Option<i32>,
}

/// Finds the pairs in the tokens of a sequence, from position 0 on. `piece` as for [`cut`].
///
/// # Errors
/// [`PairsError`]
pub fn pairs<P: AsRef<[u8]>>(
    markers: &Markers,
    tokens: &[i32],
    mut piece: impl FnMut(i32) -> P,
) -> Result<Pairs, PairsError> {
    let text = Text::new(markers, tokens, &mut piece);
    text.check(&markers.open)?;
    text.check(&markers.close)?;
    let (mut found, mut at) = (Pairs::default(), 0);
    while at < tokens.len() {
        let pos = at as i32;
        if let Some(n) = text.at(&markers.open, at) {
            if found.open.replace(pos).is_some() {
                return Err(PairsError::Nested(pos));
            }
            at += n;
        } else if let Some(n) = text.at(&markers.close, at) {
            let first = found.open.take().ok_or(PairsError::Unopened(pos))?;
            at += n;
            found.closed.push(Span { first, end: at as i32 });
        } else {
            at += 1;
        }
    }
    Ok(found)
}

/// The text of tokens, if markers are looked for in text.
struct Text<'a> {
    tokens: &'a [i32],
    bytes: Vec<u8>,
    /// Where each token begins, and the end.
    bounds: Vec<usize>,
}

impl<'a> Text<'a> {
    fn new<P: AsRef<[u8]>>(markers: &Markers, tokens: &'a [i32], piece: &mut impl FnMut(i32) -> P) -> Self {
        let (mut bytes, mut bounds) = (vec![], vec![0]);
        if [&markers.open, &markers.close].iter().any(|m| matches!(m, Marker::Text(_))) {
            for token in tokens {
                bytes.extend_from_slice(piece(*token).as_ref());
                bounds.push(bytes.len());
            }
        }
        Text { tokens, bytes, bounds }
    }

    /// How many tokens the marker is that begins with token `at`. White space may stand in its first token before it, and in
    /// its last after it.
    fn at(&self, marker: &Marker, at: usize) -> Option<usize> {
        match marker {
            Marker::Token(token) => (self.tokens[at] == *token).then_some(1),
            Marker::Text(text) => {
                let begin = self.bounds[at];
                let own = &self.bytes[begin..self.bounds[at + 1]];
                let blank = own.len() - own.trim_ascii_start().len();
                let end = begin + blank + text.len();
                if blank == own.len() || !self.bytes[begin + blank..].starts_with(text) {
                    return None;
                }
                let last = self.bounds.partition_point(|bound| *bound < end);
                self.bytes[end..self.bounds[last]].trim_ascii().is_empty().then_some(last - at)
            }
        }
    }

    /// Every place where the text has the marker is one where tokens do.
    fn check(&self, marker: &Marker) -> Result<(), MarkerError> {
        let Marker::Text(text) = marker else { return Ok(()) };
        let mut from = 0;
        while let Some(found) = self.bytes[from..].windows(text.len()).position(|window| window == text) {
            let begin = from + found;
            let token = self.bounds.partition_point(|bound| *bound <= begin) - 1;
            let starts = self.bytes[self.bounds[token]..begin].trim_ascii().is_empty();
            if !starts || self.at(marker, token).is_none() {
                return Err(MarkerError::Merged(token as i32));
            }
            from = begin + text.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: Markers = Markers { open: Marker::Token(1), close: Marker::Token(2) };

    /// Token n is the letter n, but 9 is a line break.
    fn letters(token: i32) -> Vec<u8> {
        if token == 9 { b"\n".to_vec() } else { vec![b'a' + token as u8] }
    }

    fn spans(found: Cut) -> Vec<(i32, i32)> {
        let Cut::Whole(region) = found else { panic!("{found:?}") };
        region.spans().map(|s| (s.first, s.end)).collect()
    }

    #[test]
    fn special_tokens() {
        let found = |tokens: &[i32]| cut(&SPECIAL, tokens, letters);
        assert_eq!(spans(found(&[5, 1, 6, 2, 1, 7, 8, 2, 5]).unwrap()), [(1, 4), (4, 8)]);
        assert_eq!(spans(found(&[5, 1, 6, 2, 9, 9, 1, 7, 2, 9, 5]).unwrap()), [(1, 4), (6, 9)]);
        assert_eq!(found(&[5, 6]), Ok(Cut::Nothing));
        assert!(matches!(found(&[5, 1, 6]), Ok(Cut::Open(_))));
        assert!(matches!(found(&[5, 1, 6, 2, 9]), Ok(Cut::Open(_))), "another may follow");
        assert_eq!(found(&[5, 1, 1]), Err(MarkerError::Nested(2)));
        assert_eq!(found(&[5, 2]), Err(MarkerError::Unopened(1)));
        assert_eq!(found(&[5, 1, 6, 2, 5, 1]), Err(MarkerError::Second(5)));
        assert_eq!(found(&[1, 6, 2, 5]), Err(MarkerError::Region(RegionError::NoPrefix(0))));
    }

    #[test]
    fn pairs_stand_anywhere() {
        let found = |tokens: &[i32]| pairs(&SPECIAL, tokens, letters);
        let of = |closed: &[(i32, i32)], open| {
            let closed = closed.iter().map(|(first, end)| Span { first: *first, end: *end }).collect();
            Ok(Pairs { closed, open })
        };
        assert_eq!(found(&[1, 6, 2, 5, 1, 7, 7, 2]), of(&[(0, 3), (4, 8)], None));
        assert_eq!(found(&[5, 1, 2, 1, 6]), of(&[(1, 3)], Some(3)));
        assert_eq!(found(&[5, 6]), of(&[], None));
        assert_eq!(found(&[1, 6, 1]), Err(PairsError::Nested(2)));
        assert_eq!(found(&[1, 6, 2, 2]), Err(PairsError::Unopened(3)));
    }

    #[test]
    fn text() {
        let words = ["<s>", "<", "doc>", "</doc", ">", " <doc>", "x", ">\n", ">x", " "];
        let markers = Markers { open: Marker::Text(b"<doc>".to_vec()), close: Marker::Text(b"</doc>".to_vec()) };
        let found = |tokens: &[i32]| cut(&markers, tokens, |t| words[t as usize]);
        assert_eq!(spans(found(&[0, 1, 2, 6, 3, 4, 1, 2, 6, 6, 3, 4, 6]).unwrap()), [(1, 6), (6, 12)]);
        assert_eq!(spans(found(&[0, 5, 6, 3, 7, 9, 5, 3, 7, 6]).unwrap()), [(1, 5), (6, 9)]);
        assert_eq!(found(&[0, 5, 6, 3, 8, 6]), Err(MarkerError::Merged(3)));
        assert_eq!(found(&[0, 5, 6, 3, 4, 1, 2, 6, 3, 4, 6]), Err(MarkerError::Unlike(5)));
    }
}

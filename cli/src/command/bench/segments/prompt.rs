//! The prompt: documents between a beginning and a question.

use std::ops::Range;

use evenkeel_ffi::host::Token;

use super::super::rounds;

/// Tokens of a document.
pub const DOCUMENT: usize = 100;
/// Tokens before the documents.
pub const PREFIX: usize = 16;
/// Tokens after them.
pub const QUESTION: usize = 16;

/// A prompt with `documents` documents.
#[derive(Debug, Clone, Copy)]
pub struct Prompt {
    pub documents: usize,
    pub n_vocab: usize,
}

impl Prompt {
    /// Tokens of all documents.
    pub fn region(&self) -> usize {
        self.documents * DOCUMENT
    }

    /// Tokens of the whole.
    pub fn len(&self) -> usize {
        PREFIX + self.region() + QUESTION
    }

    /// Its tokens; `turned`: with the documents in the opposite order.
    pub fn tokens(&self, turned: bool) -> Vec<Token> {
        let mut tokens = rounds::tokens(0, self.len(), self.n_vocab);
        if turned {
            let region = &mut tokens[PREFIX..PREFIX + self.region()];
            let documents: Vec<Token> = region.chunks(DOCUMENT).rev().flatten().copied().collect();
            region.copy_from_slice(&documents);
        }
        tokens
    }

    /// Where the documents stand.
    pub fn segments(&self) -> Vec<Range<i32>> {
        let first = |i: usize| (PREFIX + i * DOCUMENT) as i32;
        (0..self.documents).map(|i| first(i)..first(i + 1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_change_places_and_nothing_else_does() {
        let prompt = Prompt { documents: 3, n_vocab: 32_000 };
        let (as_is, turned) = (prompt.tokens(false), prompt.tokens(true));
        assert_eq!(as_is.len(), prompt.len());
        let segments = prompt.segments();
        for (a, b) in segments.iter().zip(segments.iter().rev()) {
            let at = |s: &Range<i32>| s.start as usize..s.end as usize;
            assert_eq!(as_is[at(a)], turned[at(b)]);
        }
        assert!(as_is[..PREFIX] == turned[..PREFIX] && as_is[PREFIX + 300..] == turned[PREFIX + 300..]);
        assert_ne!(as_is, turned);
        assert_eq!((segments[0].start as usize, segments[2].end as usize), (PREFIX, PREFIX + 300));
    }
}

//! Text routes: from the first row after the matching tokens on, a sequence runs under another profile.

/// What is looked for, in the order of the profile: the texts of all routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes(Vec<Vec<u8>>);

impl Routes {
    /// Takes the texts in order.
    pub fn new(texts: impl IntoIterator<Item = String>) -> Routes {
        Routes(texts.into_iter().map(String::into_bytes).filter(|t| !t.is_empty()).collect())
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn longest(&self) -> usize {
        self.0.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The route that matches first in `text`, among matches that end after `from`: the earliest end, of equal ones the
    /// first in the list.
    fn first(&self, text: &[u8], from: usize) -> Option<usize> {
        let ends = |needle: &Vec<u8>| {
            let start = (from + 1).saturating_sub(needle.len());
            let found = text.get(start..)?.windows(needle.len()).position(|w| w == needle)?;
            Some(start + found + needle.len())
        };
        let found = self.0.iter().enumerate().filter_map(|(route, needle)| Some((ends(needle)?, route)));
        found.min().map(|(_, route)| route)
    }
}

/// The text of one sequence as far as it was fed, and where it took a route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Router {
    text: Vec<u8>,
    /// By position: where its token's text ends in `text`.
    ends: Vec<usize>,
    taken: Option<Taken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    /// Position of the token that completed the match.
    pos: i32,
    route: usize,
}

impl Router {
    /// The route that holds for the row at position `pos`, if one was taken before it.
    pub fn at(&self, pos: i32) -> Option<usize> {
        self.taken.filter(|taken| taken.pos < pos).map(|taken| taken.route)
    }

    /// The first position whose row has the route that was taken.
    pub fn from(&self) -> Option<i32> {
        self.taken.map(|taken| taken.pos + 1)
    }

    /// The text of the token at position `pos` comes. Gaps have no text; a position that was fed before begins anew there.
    pub fn feed(&mut self, routes: &Routes, pos: i32, piece: &[u8]) {
        let Ok(at) = usize::try_from(pos) else { return };
        if at > super::MAX_POSITION as usize {
            return;
        }
        self.cut(pos);
        self.ends.resize(at, self.text.len());
        let before = self.text.len();
        self.text.extend_from_slice(piece);
        self.ends.push(self.text.len());
        if self.taken.is_none() {
            let window = before.saturating_sub(routes.longest());
            let route = routes.first(&self.text[window..], before - window);
            self.taken = route.map(|route| Taken { pos, route });
        }
    }

    /// Everything from position `pos` on is gone.
    pub fn cut(&mut self, pos: i32) {
        let keep = usize::try_from(pos).unwrap_or(0).min(self.ends.len());
        self.ends.truncate(keep);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
        self.taken = self.taken.filter(|taken| taken.pos < pos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(routes: &Routes, pieces: &[&str]) -> Router {
        let mut router = Router::default();
        (0..).zip(pieces).for_each(|(pos, piece)| router.feed(routes, pos, piece.as_bytes()));
        router
    }

    #[test]
    fn a_route_holds_after_the_token_that_completes_it() {
        let routes = Routes::new(["a judge".to_owned(), "you".to_owned()]);
        let router = fed(&routes, &["see a", " ju", "dge, ", "you"]);
        assert_eq!((router.at(2), router.at(3), router.at(100)), (None, Some(0), Some(0)));
    }

    #[test]
    fn the_earliest_match_counts_then_the_first_in_the_list() {
        let routes = Routes::new(["xyz".to_owned(), "y".to_owned()]);
        assert_eq!(fed(&routes, &["x", "y", "z"]).at(9), Some(1));
        let routes = Routes::new(["yz".to_owned(), "z".to_owned()]);
        assert_eq!(fed(&routes, &["x", "yz"]).at(9), Some(0));
        let routes = Routes::new(["z".to_owned(), "yz".to_owned()]);
        assert_eq!(fed(&routes, &["x", "yz"]).at(9), Some(0));
    }

    #[test]
    fn what_is_rolled_back_was_never_there() {
        let routes = Routes::new(["stop".to_owned()]);
        let mut router = fed(&routes, &["a", "st", "op", "b"]);
        assert_eq!(router.at(3), Some(0));
        router.cut(2);
        assert_eq!(router.at(3), None);
        router.feed(&routes, 2, b"art");
        assert_eq!(router.at(9), None);
        router.feed(&routes, 2, b"op");
        assert_eq!(router.at(9), Some(0));
    }

    #[test]
    fn a_match_over_many_short_tokens_is_found() {
        let routes = Routes::new(["abcdefgh".to_owned()]);
        let router = fed(&routes, &["x", "a", "b", "c", "d", "e", "f", "g", "h", "i"]);
        assert_eq!((router.at(8), router.at(9)), (None, Some(0)));
    }
}

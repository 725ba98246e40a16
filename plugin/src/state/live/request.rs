//! Requests: where they begin, and what they ask for.

use std::sync::Arc;

use super::super::{Book, Online, Sequence, Wish, lock};
use super::{Live, Shown, Totals};
use crate::log;

impl Live {
    /// A request begins on a sequence; `wish` is what it asks for itself.
    pub fn begin(&self, seq: i32, wish: Option<Wish>, announced: bool) {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        let sequence = inner.sequences.entry(seq).or_default();
        ended(self.id, seq, sequence, &inner.book, &mut inner.totals);
        sequence.begin(wish);
        sequence.announced |= announced;
        sequence.deciding = announced;
    }

    /// The beginning of a sequence's requests is announced from now on; the host does not ask which cells it may keep.
    pub fn announce(&self, seq: i32) {
        if let Some(sequence) = lock(&self.inner).sequences.get_mut(&seq) {
            (sequence.announced, sequence.deciding) = (true, false);
        }
    }

    /// Code chooses for a sequence, from its next row on; `None`: the default.
    pub fn choose(&self, seq: i32, name: Option<&str>) -> Result<(), String> {
        let mut inner = lock(&self.inner);
        let wish = match name {
            None => Wish::Default,
            Some(name) if inner.book.find(name).is_some() => Wish::Named(name.to_owned()),
            Some(name) => {
                let names: Vec<&str> = inner.book.named.iter().map(|(n, _)| n.as_str()).collect();
                return Err(format!("no such profile is loaded, got \"{name}\", allowed: {}, off", names.join(", ")));
            }
        };
        let inner = &mut *inner;
        let sequence = inner.sequences.entry(seq).or_default();
        ended(self.id, seq, sequence, &inner.book, &mut inner.totals);
        sequence.chosen = wish;
        sequence.begin(None);
        Ok(())
    }

    /// What a request of a client's that names `name` gets.
    pub fn wish(&self, name: &str) -> Wish {
        let inner = lock(&self.inner);
        if !inner.book.choose.iter().any(|n| n == name) {
            let allowed = if inner.book.choose.is_empty() { "nothing".into() } else { inner.book.choose.join(", ") };
            return Wish::Refused(format!("a request chose \"{name}\", allowed: {allowed} ([requests] choose)"));
        }
        Wish::Named(name.to_owned())
    }

    /// What is known of a sequence that has no cells, taken out: it is lent for prompts of our own. `None` if it is not empty.
    pub fn lend(&self, seq: i32) -> Option<Option<Sequence>> {
        let mut inner = lock(&self.inner);
        match inner.sequences.get(&seq) {
            Some(sequence) if !sequence.cells.is_empty() => None,
            _ => Some(inner.sequences.remove(&seq)),
        }
    }

    /// What was taken out is back.
    pub fn give_back(&self, seq: i32, lent: Option<Sequence>) {
        let mut inner = lock(&self.inner);
        match lent {
            Some(sequence) => drop(inner.sequences.insert(seq, sequence)),
            None => drop(inner.sequences.remove(&seq)),
        }
    }

    /// A prompt of our own begins on a sequence that was lent, under the profile of that name.
    pub fn begin_own(&self, seq: i32, name: &str) {
        let mut inner = lock(&self.inner);
        let sequence = inner.sequences.entry(seq).or_default();
        *sequence = Sequence::default();
        sequence.begin(Some(Wish::Named(name.to_owned())));
        (sequence.announced, sequence.unverified) = (true, false);
    }

    /// Whether the current request of a sequence was not counted for this prior before: now it is.
    pub fn counts(&self, seq: i32, prior: &Arc<Online>) -> bool {
        let mut inner = lock(&self.inner);
        let Some(sequence) = inner.sequences.get_mut(&seq) else { return false };
        let new = !sequence.learned.iter().any(|known| Arc::ptr_eq(known, prior));
        if new {
            sequence.learned.push(prior.clone());
        }
        new
    }

    /// The sequences, for the counters, and the sums over them.
    pub fn shown(&self) -> (Vec<Shown>, Totals) {
        let inner = lock(&self.inner);
        let show = |(seq, s): (&i32, &Sequence)| Shown {
            seq: *seq,
            plan: s.pinned.as_ref().map(|p| inner.book.name_of(&p.plan(&s.router, s.cells.end())).to_owned()),
            cells: s.cells.end(),
            requests: s.requests,
        };
        let mut list: Vec<Shown> = inner.sequences.iter().map(show).collect();
        list.sort_by_key(|s| s.seq);
        (list, inner.totals)
    }
}

/// Says what a request came to, and adds it to the sums.
pub(super) fn ended(context: u32, seq: i32, sequence: &Sequence, book: &Book, totals: &mut Totals) {
    let t = sequence.tally;
    if t.rows() == 0 {
        return;
    }
    totals.requests += 1;
    let plan = sequence.pinned.as_ref().map(|p| p.plan(&sequence.router, sequence.cells.end()));
    log::debug!(
        "context {context}, sequence {seq}: request {} ran under `{}`: {} prompt rows, {} generated, {} cells evaluated again, \
         {} left as another profile made them{}",
        sequence.requests + 1,
        plan.as_ref().map_or("off", |p| book.name_of(p)),
        t.prompt,
        t.generated,
        t.again,
        t.stale,
        sequence.acted
    );
}

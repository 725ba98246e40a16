//! Rows that are set off against the same request without its contexts, or without its images.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Arc, Mutex, atomic::Ordering},
};

use evenkeel_core::{
    contrast::{Text, Without, before, without},
    invariance::{MarkerTexts, Pairs},
    lower::Contrasted as Nodes,
    sequence::{EMBEDDED_TOKEN, Phase, is_token},
};

use super::super::{
    Against, Book, Choice, Counterpart, Logits, PLAIN, Run, Second, Under, Wanted,
    contrast::{self, GENERATED, Origin},
    lock,
};
use super::{Inner, Live, RawRow, same};
use crate::hook::{Beside, Host};

/// What the second context said for a sequence: logits by output row, or why there are none.
pub type Said = (Wanted, Result<Logits, String>);

/// Of more rows, products take as long as they have rows: nothing is gained by reading weights once.
pub const MOST_ROWS: usize = 32;

/// What is left of a sequence, which of its output rows need how much of that, and how much is left before some positions.
type Remaining = (Vec<i32>, Vec<(usize, usize)>, Vec<usize>);

impl Live {
    /// Whether a plan sets logits off.
    pub fn contrasts(&self) -> bool {
        self.contrasting.load(Ordering::Relaxed)
    }

    /// Takes note of how it was made.
    pub fn made_as(&self, origin: Origin) {
        let _ = self.origin.set(origin);
    }

    /// How it was made, where that could be read.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.get()
    }

    /// The context at `address`, made like this one, to evaluate sequences without their contexts or images.
    pub fn second(self: &Arc<Self>, id: u32, address: usize, host: Arc<Host>) -> Live {
        let vocab = self.pieces.vocab();
        let mut second = Live::new((id, address), self.facts.clone(), host, self.book(), vocab, self.whole);
        second.second_of = Some(self.id);
        let mut inner = lock(&second.inner);
        inner.second = true;
        inner.structure = Arc::default();
        inner.restructure(&self.facts);
        drop(inner);
        second
    }

    /// What its plans need to set logits off.
    ///
    /// # Errors
    /// What this llama.cpp, or this context, lacks for it.
    pub(super) fn check_contrast(&self, book: &Book) -> Result<(), String> {
        for (name, instance) in &book.named {
            let Some(contrast) = &instance.plan.contrast else { continue };
            let failed = |key: &str, why: String| Err(format!("{}: profile {name}: {key}: {why}", book.path.display()));
            if self.host.lib.contrast.is_none() {
                return failed("contrast", "this llama.cpp lacks functions that it needs".into());
            }
            if self.origin.get().is_none() {
                let why = "how the context was made cannot be read, and so no second one be made like it".into();
                return failed("contrast", why);
            }
            if contrast.attention.is_some() && self.host.lib.attention.is_none() {
                return failed("contrast.without.attention", "this ggml lacks operations that it needs".into());
            }
            if let Without::Contexts { markers, instead } = &contrast.without {
                for text in instead.iter() {
                    let Some(tokens) = self.pieces.tokens_within(&self.host, text).filter(|t| !t.is_empty()) else {
                        let why = format!("this model's vocabulary makes no tokens of {text:?}");
                        return failed("contrast.without.instead", why);
                    };
                    lock(&self.known_texts).insert(text.clone(), tokens.into());
                }
                match self.pieces.markers(&self.host, markers) {
                    Ok(found) => drop(lock(&self.known_markers).insert(markers.clone(), Arc::new(found))),
                    Err(why) => return failed("contrast.without", why),
                }
            }
            self.contrasting.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The sequences of a micro-batch that is about to be evaluated whose rows are set off. Those that cannot be are refused.
    pub fn wants_contrast(&self, raw: &[RawRow]) -> Vec<Wanted> {
        lock(&self.contrast).rows = Arc::new([]);
        let book = self.book();
        let piece = |r: &RawRow| self.pieces.get(&self.host, r.token, true);
        let texts: Vec<Arc<[u8]>> = if book.routes.is_empty() { vec![] } else { raw.iter().map(piece).collect() };
        let mut seqs: Vec<i32> = raw.iter().map(|r| r.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let mut inner = lock(&self.inner);
        let mut wanted = vec![];
        for seq in seqs {
            match self.want(&mut inner, seq, (raw, &texts)) {
                Ok(found) => wanted.extend(found),
                Err(why) => inner.refuse_now(seq, self, &why),
            }
        }
        wanted
    }

    fn want(
        &self,
        inner: &mut Inner,
        seq: i32,
        (raw, texts): (&[RawRow], &[Arc<[u8]>]),
    ) -> Result<Option<Wanted>, String> {
        inner.settle(seq, self);
        let call = inner.call;
        let Some(sequence) = inner.sequences.get_mut(&seq) else { return Ok(None) };
        let outputs = (0..).zip(raw.iter().filter(|r| r.output)).filter(|(_, r)| r.seq == seq);
        let mut outputs: Vec<(usize, i32)> = outputs.map(|(row, r)| (row, r.pos)).collect();
        let own: Vec<&RawRow> = raw.iter().filter(|r| r.seq == seq).collect();
        let generating = sequence.phase(call, false) == Phase::Generated;
        sequence.said.split_off(&own[0].pos);
        sequence.said.extend(own.iter().filter(|r| generating && r.output).map(|r| r.pos));
        let Some(pinned) = sequence.pinned.clone().filter(|p| !p.refused) else { return Ok(None) };
        // Where a route is taken in this micro-batch, too.
        let mut router = Cow::Borrowed(&sequence.router);
        if let Some(book) =
            pinned.routes.as_ref().filter(|_| router.at(i32::MAX).is_none_or(|_| router.from() > Some(own[0].pos)))
        {
            let texts = raw.iter().zip(texts).filter(|(r, _)| r.seq == seq);
            texts.for_each(|(r, text)| router.to_mut().feed(&book.routes, r.pos, text));
        }
        let Some((_, last)) = outputs.last().copied() else { return Ok(None) };
        let plan = pinned.plan(&router, last);
        let sets_off = |plan: &Choice| plan.as_ref().is_some_and(|p| p.plan.contrast.is_some());
        let (others, rest) = outputs.into_iter().partition(|(_, pos)| !same(&pinned.plan(&router, *pos), &plan));
        outputs = rest;
        let others: Vec<(usize, i32)> = others;
        if others.iter().any(|(_, pos)| sets_off(&pinned.plan(&router, *pos))) {
            return Err("a route is taken between two rows of one micro-batch that give output".into());
        }
        let Some((instance, settings)) = plan.as_ref().and_then(|p| Some((p, p.plan.contrast.as_ref()?))) else {
            return Ok(None);
        };
        if instance.needs_only_last() {
            // The last row of a prompt is the last of its sequence that gives output before one is generated.
            let last = own.last().filter(|r| !generating && r.output);
            outputs.retain(|(_, pos)| last.is_some_and(|r| r.pos == *pos));
        }
        if outputs.is_empty() {
            return Ok(None);
        }
        // From which position on which plan and phase.
        let ends = own.last().filter(|r| r.output).map(|r| r.pos);
        let generated = generating.then(|| sequence.generated_from.unwrap_or(own[0].pos));
        let end = generated.map_or(ends, |from| Some(from - 1));
        let mut bounds: Vec<i32> = [Some(0), router.from(), end, generated].into_iter().flatten().collect();
        bounds.retain(|pos| *pos >= 0);
        bounds.sort_unstable();
        bounds.dedup();
        let phase = |pos: i32| match (generated, end) {
            (Some(from), _) if pos >= from => Phase::Generated,
            (_, Some(end)) if pos == end => Phase::Last,
            _ => Phase::Prompt,
        };
        let known = sequence.cells.fed().take_while(|(pos, _)| *pos < own[0].pos);
        let all: Vec<(i32, i32)> = known.chain(own.iter().map(|r| (r.pos, r.token))).collect();
        let (tokens, rows, places) = match &settings.without {
            Without::Contexts { markers, instead } => {
                let ends = !generating && own.last().is_some_and(|r| r.output);
                let of = (seq, &all[..], &sequence.said);
                self.without_contexts((markers, instead.as_deref()), of, (&outputs, ends), &bounds)?
            }
            Without::Image => without_images(all, &outputs, &bounds)?,
            Without::Nothing => whole(all, &outputs, &bounds)?,
        };
        if rows.is_empty() {
            return Ok(None);
        }
        let run = |(pos, from): (&i32, usize)| {
            let (plan, phase) = (pinned.plan(&router, *pos).filter(|p| !p.plan.is_empty()), phase(*pos));
            let identity = plan.as_ref().map_or(PLAIN, |p| p.identity(phase));
            Run { from, plan, phase, identity }
        };
        let runs = bounds.iter().zip(places).map(run).collect();
        let under = Under { attention: settings.attention.clone(), runs };
        let (alpha, reach) = (settings.alpha, settings.reach().filter(|_| settings.alpha != 0.0));
        let within = (own[0].pos, own[own.len() - 1].pos);
        let (instance, pinned) = (instance.clone(), pinned.clone());
        Ok(Some(Wanted { seq, tokens, pinned, instance, under, alpha, reach, rows, within }))
    }

    /// The tokens of a sequence without its contexts, or with a text in their place, and the rows that are set off, as
    /// [`contrast::rows`] has them. The sequence: its number, positions and tokens of its rows, and where the model said them.
    fn without_contexts(
        &self,
        (markers, instead): (&MarkerTexts, Option<&str>),
        (seq, all, said): (i32, &[(i32, i32)], &BTreeSet<i32>),
        (outputs, ends): (&[(usize, i32)], bool),
        bounds: &[i32],
    ) -> Result<Remaining, String> {
        let Some(markers) = lock(&self.known_markers).get(markers).cloned() else { return Ok(Default::default()) };
        let instead = match instead.map(|text| lock(&self.known_texts).get(text).cloned()) {
            Some(None) => return Ok(Default::default()),
            found => found.flatten().unwrap_or_default(),
        };
        // Beside an image positions may be left out; in text alone none is.
        if Text::of(all.iter().copied()).is_none() {
            return Err("not all of its tokens are known, so its contexts cannot be found".into());
        }
        let tokens: Vec<i32> = all.iter().map(|(_, token)| *token).collect();
        let searched: Vec<i32> =
            all.iter().map(|(pos, token)| if said.contains(pos) { GENERATED } else { *token }).collect();
        let mut contrasts = lock(&self.contrast);
        let found = contrasts.found.entry(seq).or_default();
        let pairs = found.find(&markers, &searched, |token| self.pieces.get(&self.host, token, true))?;
        if tokens.contains(&EMBEDDED_TOKEN) {
            return match *pairs == Pairs::default() {
                true => Ok(Default::default()),
                false => {
                    Err("beside its context it has an image or audio, which is not there to be evaluated once more"
                        .into())
                }
            };
        }
        let places = bounds.iter().map(|pos| before(pairs, *pos, instead.len())).collect();
        Ok((without(pairs, &tokens, &instead), contrast::rows(pairs, instead.len(), outputs, ends)?, places))
    }

    /// The second context has said what it can: of the micro-batch that is about to be evaluated. Sequences that it could not
    /// say it for are refused.
    pub fn said_without(&self, said: Vec<Said>, n_outputs: usize) {
        let mut rows: Vec<Option<Against>> = Vec::new();
        rows.resize_with(n_outputs, || None);
        for (wanted, result) in said {
            match result {
                Ok(list) => {
                    self.contrasted.rows.fetch_add(list.len() as u64, Ordering::Relaxed);
                    let (alpha, reach) = (wanted.alpha, wanted.reach);
                    for (row, other) in list {
                        let priors = match &other {
                            Counterpart::Minus(logits) => wanted.instance.request_priors(logits),
                            Counterpart::Beside(_) => Default::default(),
                        };
                        rows[row] = Some(Against { alpha, reach, other, priors });
                    }
                }
                Err(why) => lock(&self.inner).refuse_now(wanted.seq, self, &why),
            }
        }
        if rows.iter().any(Option::is_some) {
            lock(&self.contrast).rows = rows.into();
        }
    }

    /// What the output rows of the micro-batch that is evaluated are set off against; empty if none is.
    pub fn against(&self) -> Arc<[Option<Against>]> {
        lock(&self.contrast).rows.clone()
    }

    /// What the graph of the micro-batch that is evaluated needs for it.
    pub fn contrast_nodes(&self) -> Option<Nodes> {
        let rows = self.against();
        let some = rows.iter().flatten().any(|against| against.alpha != 0.0);
        some.then(|| Nodes {
            plausible: rows.iter().flatten().any(|against| against.reach.is_some()),
            beside: rows.iter().flatten().any(|against| matches!(against.other, Counterpart::Beside(_))),
        })
    }

    /// Whether the graph of the micro-batch can be evaluated with that of the second context, as one. Then the products of all
    /// rows are made in another shape, so nobody's may be among them who is not set off; and labels' priors of the request have
    /// to be known before.
    pub fn may_join(&self, raw: &[RawRow], wanted: &[Wanted]) -> bool {
        let set_off = |r: &RawRow| is_token(r.token) && wanted.iter().any(|w| w.seq == r.seq);
        let outputs = raw.iter().filter(|r| r.output).count();
        let rows: usize = wanted.iter().map(|w| w.rows.len()).sum();
        let plain = |w: &Wanted| {
            w.alpha != 0.0 && w.instance.of_request().is_empty() && w.under.attention == wanted[0].under.attention
        };
        // Whoever is shown the nodes of this context is not shown another's.
        let watched = self.origin.get().is_none_or(|origin| origin.params.watched)
            || super::super::get().captures.of(self.address).is_some();
        !lock(&self.contrast).apart
            && !watched
            && raw.len() <= MOST_ROWS
            && rows == outputs
            && raw.iter().all(set_off)
            && wanted.iter().all(plain)
    }

    /// The second context's graph that is evaluated with that of the micro-batch at hand, if one is.
    pub fn beside(&self) -> Option<Arc<Mutex<Beside>>> {
        if !self.contrast_nodes()?.beside {
            return None;
        }
        let second = self.second_context()?;
        lock(&second.live.contrast).beside.clone()
    }

    /// A sequence's cells come from elsewhere: where it goes on says nothing of what was to be evaluated last.
    pub fn unsure(&self, seq: i32) {
        if let Some(fed) = lock(&self.contrast).fed.get_mut(&seq) {
            fed.until = i32::MAX;
        }
    }

    /// The second context, once it was made.
    pub fn second_context(&self) -> Option<Second> {
        lock(&self.contrast).second.clone()
    }

    /// Sequences of this context, which is a second one, are about to be evaluated for those of the first.
    pub fn follow(&self, book: &Arc<Book>, wanted: &[Wanted]) {
        let mut inner = lock(&self.inner);
        if !Arc::ptr_eq(&inner.book, book) {
            inner.book = book.clone();
            inner.restructure(&self.facts);
        }
        inner.call += 1;
        lock(&self.contrast).attention = wanted.first().and_then(|w| w.under.attention.clone());
        inner.forced = wanted.iter().map(|w| (w.seq, w.under.clone())).collect();
        for w in wanted {
            inner.sequences.entry(w.seq).or_default().pinned = Some(w.pinned.clone());
        }
    }
}

impl Inner {
    /// Refuses a sequence from its next row on.
    fn refuse_now(&mut self, seq: i32, live: &Live, why: &str) {
        let pinned = self.refuse(seq, live, why);
        if let Some(sequence) = self.sequences.get_mut(&seq) {
            sequence.pinned = Some(pinned);
        }
    }
}

/// The same whole, for another attention.
fn whole(all: Vec<(i32, i32)>, outputs: &[(usize, i32)], bounds: &[i32]) -> Result<Remaining, String> {
    let text = Text::of(all.iter().copied())
        .ok_or("not all of its tokens are known, so they cannot be evaluated once more")?;
    if text.tokens.len() < all.len() {
        return Err("it has an image or audio, which is not there to be evaluated once more".into());
    }
    let rows = outputs.iter().map(|(row, pos)| (*row, text.before(pos + 1))).collect();
    let places = bounds.iter().map(|pos| text.before(*pos)).collect();
    Ok((text.tokens, rows, places))
}

/// The same without its images.
fn without_images(all: Vec<(i32, i32)>, outputs: &[(usize, i32)], bounds: &[i32]) -> Result<Remaining, String> {
    let text = Text::of(all)
        .ok_or("not all of its rows are known, so it cannot be said whether there are images among them, and where")?;
    let rows: Vec<(usize, usize)> = outputs.iter().filter_map(|(row, pos)| Some((*row, text.left(*pos)?))).collect();
    match rows.iter().any(|(_, n)| *n == 0) {
        true => Err("nothing is left of the prompt without its image".into()),
        false => {
            let places = bounds.iter().map(|pos| text.before(*pos)).collect();
            Ok((text.tokens, rows, places))
        }
    }
}

//! What the rows of one context are set off against, and what its second context, which evaluates their sequences without
//! their marked contexts or images, has in its cells.
//!
//! What a sequence is without its contexts or images follows from its tokens alone. So nothing that a host does to cells has
//! to be done there too: before it is used, a sequence of the second context is compared with what it should be, cut at the
//! first difference, and completed.

use std::sync::{Arc, Mutex, atomic::AtomicU64};

use evenkeel_core::{
    contrast::{self, Counterfactual, Place, Weights},
    invariance::{Markers, Pairs, pairs},
    plan::RuleIndex,
    sequence::{Identity, Phase},
};
use evenkeel_ffi::params::Copied;
use rustc_hash::FxHashMap;

use super::{Choice, Instance, Live, Pinned, RequestPriors};
use crate::hook::Beside;

/// Stands for a token that was generated: no marker contains it.
pub const GENERATED: i32 = i32::MIN;

/// How a context was made.
#[derive(Clone, Copy)]
pub struct Origin {
    /// Its `llama_model`.
    pub model: usize,
    /// Its parameters.
    pub params: Copied,
}

/// The second context.
#[derive(Clone)]
pub struct Second {
    /// Its address.
    pub address: usize,
    /// What it runs under.
    pub live: Arc<Live>,
    /// Whether its attention weights can be replaced.
    pub weights: bool,
}

/// What a context has for contrasts.
#[derive(Default)]
pub struct Contrasts {
    /// The second context, once a row needed one.
    pub second: Option<Second>,
    /// By sequence: where its contexts are.
    pub found: FxHashMap<i32, Found>,
    /// By sequence: what it has in the second context.
    pub fed: FxHashMap<i32, Fed>,
    /// By output row of the micro-batch that is evaluated: what it is set off against. Empty if none is.
    pub rows: Arc<[Option<Against>]>,
    /// Of a second context: its graph, if the last that it built was kept from being evaluated by itself.
    pub beside: Option<Arc<Mutex<Beside>>>,
    /// Of a second context: the attention that it has at the moment, if not the model's own.
    pub attention: Option<Counterfactual>,
    /// Of a second context: the positions of its cells, by the attention that they were computed with and by cache.
    positions: Vec<(Counterfactual, Vec<Vec<i32>>)>,
    /// That of the second context is ready, and was not evaluated yet.
    pub waits: bool,
    /// It was evaluated, with the host's own, and nobody has waited for that.
    pub runs: bool,
    /// Both could not be joined, and are not tried again.
    pub apart: bool,
    /// What the program gave the context besides its model.
    pub adapters: Adapters,
    /// What of that the second context has.
    pub followed: Adapters,
}

/// Low-rank adapters, and llama.cpp's own control vector.
#[derive(Default, Clone)]
pub struct Adapters {
    /// By address, each with its scale.
    pub lora: Vec<(usize, f32)>,
    /// The vector. One that is given again is the same.
    pub cvec: Option<Arc<ControlVector>>,
}

/// llama.cpp's own control vector: its values, and what else was said of it, width, first and last layer.
pub type ControlVector = (Vec<f32>, [i32; 3]);

impl Contrasts {
    /// Of a second context: by cache, the positions of the cells that it has with the attention of the moment.
    pub fn positions(&mut self) -> &mut Vec<Vec<i32>> {
        let attention = self.attention.clone().unwrap_or(Counterfactual { weights: Weights::Uniform, layers: vec![] });
        let at = self.positions.iter().position(|(of, _)| *of == attention).unwrap_or_else(|| {
            self.positions.push((attention, vec![]));
            self.positions.len() - 1
        });
        &mut self.positions[at].1
    }
}

/// Counters of a context's contrasts.
#[derive(Default)]
pub struct Contrasted {
    /// Rows whose logits were set off, or that had a prior of labels so.
    pub rows: AtomicU64,
    /// Tokens that the second context evaluated for them.
    pub tokens: AtomicU64,
    /// Calls to decode that this took.
    pub calls: AtomicU64,
    /// Those of them that were evaluated with the first context's graph, as one.
    pub joined: AtomicU64,
}

/// The contexts in a sequence's tokens.
#[derive(Default)]
pub struct Found {
    searched: Vec<i32>,
    markers: Option<Arc<Markers>>,
    pairs: Pairs,
}

/// What the cells of a sequence of a second context are computed under.
#[derive(Default, Clone)]
pub struct Under {
    /// The attention, if not the model's own.
    pub attention: Option<Counterfactual>,
    /// From which token on which plan and phase, in ascending order.
    pub runs: Vec<Run>,
}

/// Some tokens of the host's that follow each other, all under one plan and in one phase.
#[derive(Clone)]
pub struct Run {
    /// The first of what is left of them.
    pub from: usize,
    /// The plan.
    pub plan: Choice,
    /// The phase.
    pub phase: Phase,
    /// Both as they stand in cells, strengths included.
    pub identity: Identity,
}

impl Under {
    /// The run of a token.
    pub fn run(&self, at: usize) -> Option<&Run> {
        self.runs.iter().rev().find(|run| run.from <= at)
    }

    /// How many of `n` tokens are computed under the same here and there.
    pub fn common(&self, other: &Under, n: usize) -> usize {
        if self.attention != other.attention {
            return 0;
        }
        let identity = |of: &Under, at| of.run(at).map(|run| run.identity);
        let bounds = self.runs.iter().chain(&other.runs).map(|run| run.from).chain([0]).filter(|from| *from < n);
        bounds.filter(|at| identity(self, *at) != identity(other, *at)).min().unwrap_or(n)
    }
}

/// The cells of a sequence of the second context.
#[derive(Default, Clone)]
pub struct Fed {
    /// Its tokens, from position 0 on.
    pub tokens: Vec<i32>,
    /// What they were computed under.
    pub under: Under,
    /// How many of them are known to be computed. Those behind were to be, with the host's own rows, of which the last was at
    /// position `until`: they were if the host goes on behind it.
    pub sure: usize,
    /// See `sure`.
    pub until: i32,
}

impl Fed {
    /// The host goes on at position `begins`: from now on it has only tokens that are computed.
    pub fn settle(&mut self, begins: i32) {
        if begins <= self.until {
            self.tokens.truncate(self.sure);
        }
        self.sure = self.tokens.len();
    }
}

/// What output rows are set off against, by their places among the output rows.
pub type Logits = Vec<(usize, Counterpart)>;

/// What one row is set off against.
pub struct Against {
    /// How far it is moved.
    pub alpha: f32,
    /// How far below its best logit others may lie.
    pub reach: Option<f32>,
    /// The logits of the request without what is left out.
    pub other: Counterpart,
    /// What it says of labels.
    pub priors: RequestPriors,
}

/// The logits of a request without what is left out.
pub enum Counterpart {
    /// They, negated and finite.
    Minus(Vec<f32>),
    /// They are still to come, in this row of the graph that is evaluated with the one at hand.
    Beside(u32),
}

impl Against {
    /// What the gate table has of the prior of a rule, by label; `None` if there is none.
    pub fn prior(&self, rule: RuleIndex) -> Option<&[f32]> {
        self.priors.iter().find(|(of, _)| *of == rule).map(|(_, gates)| &**gates)
    }
}

/// A sequence of the micro-batch at hand that needs what the second context says.
pub struct Wanted {
    /// Its number.
    pub seq: i32,
    /// Its tokens without what is left out.
    pub tokens: Vec<i32>,
    /// What it runs under.
    pub pinned: Pinned,
    /// Its plan.
    pub instance: Arc<Instance>,
    /// What its cells are computed under.
    pub under: Under,
    /// α.
    pub alpha: f32,
    /// How far below a row's best logit others may lie.
    pub reach: Option<f32>,
    /// Output rows of the micro-batch, each with how many of the tokens come before its logits.
    pub rows: Vec<(usize, usize)>,
    /// The positions of its first row in the micro-batch, and of its last.
    pub within: (i32, i32),
}

impl Found {
    /// The contexts in `tokens`, of which generated ones are [`GENERATED`].
    ///
    /// # Errors
    /// Why the markers make none.
    pub fn find(
        &mut self,
        markers: &Arc<Markers>,
        tokens: &[i32],
        mut piece: impl FnMut(i32) -> Arc<[u8]>,
    ) -> Result<&Pairs, String> {
        let known = self.markers.as_ref().is_some_and(|m| Arc::ptr_eq(m, markers))
            && tokens
                .strip_prefix(&*self.searched)
                .is_some_and(|rest| rest.iter().all(|t| *t == GENERATED) && !self.searched.is_empty());
        if !known {
            // No text of a token has this byte alone, and no marker does.
            let piece = |token| if token == GENERATED { Arc::from(&b"\xff"[..]) } else { piece(token) };
            self.markers = None;
            self.pairs = pairs(markers, tokens, piece).map_err(|e| e.to_string())?;
            self.searched = tokens.to_vec();
            self.markers = Some(markers.clone());
        }
        Ok(&self.pairs)
    }
}

/// Which rows of a sequence are set off, each with how many tokens are before its logits. `instead`: how many stand in the place
/// of each context; `outputs`: place among the output rows, and position; `ends`: the last of them is the end of a prompt.
///
/// # Errors
/// Why there is nothing to set it off against.
pub fn rows(
    pairs: &Pairs,
    instead: usize,
    outputs: &[(usize, i32)],
    ends: bool,
) -> Result<Vec<(usize, usize)>, String> {
    let mut rows = vec![];
    for (i, (row, pos)) in outputs.iter().enumerate() {
        match contrast::place(pairs, *pos) {
            Place::Plain => {}
            Place::Open if ends && i + 1 == outputs.len() => {
                return Err("the prompt ends in a context that does not end".into());
            }
            Place::Open => {}
            Place::After => match contrast::left(pairs, *pos, instead) {
                0 => return Err("nothing is left of the prompt without its context".into()),
                n => rows.push((*row, n)),
            },
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use evenkeel_core::{
        invariance::{Marker, Span},
        sequence::PlanId,
    };

    use super::*;

    #[test]
    fn generated_markers_are_text() {
        let markers = Arc::new(Markers { open: Marker::Token(1), close: Marker::Token(2) });
        let mut found = Found::default();
        let piece = |_| Arc::from(&b"x"[..]);
        let pairs = found.find(&markers, &[5, 1, 7, 2, 5], piece).unwrap().clone();
        assert_eq!(pairs.closed, [Span { first: 1, end: 4 }]);
        assert_eq!(found.find(&markers, &[5, 1, 7, 2, 5, GENERATED], piece), Ok(&pairs));
        assert!(found.find(&markers, &[5, 1, 7, 2, 5, GENERATED, 1], piece).unwrap().open.is_some());
        assert!(found.find(&markers, &[5, 2], piece).is_err());
        assert_eq!(found.find(&markers, &[5], piece), Ok(&Pairs::default()));
    }

    #[test]
    fn what_was_to_be_computed_was_if_the_host_goes_on() {
        let fed = Fed { tokens: vec![1, 2, 3], under: Under::default(), sure: 1, until: 7 };
        for (begins, left) in [(8, 3), (7, 1), (0, 1)] {
            let mut fed = fed.clone();
            fed.settle(begins);
            assert_eq!((fed.tokens.len(), fed.sure), (left, left));
        }
    }

    #[test]
    fn what_is_computed_under_the_same() {
        let run = |from, plan, phase| {
            let identity = Identity { plan: PlanId(plan), phase };
            Run { from, plan: None, phase, identity }
        };
        let (prompt, generated) = (Phase::Prompt, Phase::Generated);
        let under = |runs: &[Run]| Under { attention: None, runs: runs.to_vec() };
        let (a, b) =
            (under(&[run(0, 1, prompt), run(5, 2, prompt)]), under(&[run(0, 1, prompt), run(5, 2, generated)]));
        assert_eq!((a.common(&a, 9), a.common(&b, 9), a.common(&b, 4)), (9, 5, 4));
        assert_eq!((a.common(&under(&[run(0, 1, prompt)]), 9), a.common(&under(&[run(0, 3, prompt)]), 9)), (5, 0));
        assert_eq!(
            (a.common(&Under::default(), 9), a.run(4).map(|r| r.from), a.run(7).map(|r| r.from)),
            (0, Some(0), Some(5))
        );
        let other = Counterfactual { weights: Weights::Uniform, layers: vec![0] };
        assert_eq!(a.common(&Under { attention: Some(other), ..a.clone() }, 9), 0);
    }

    #[test]
    fn rows_after_a_context_are_set_off() {
        let pairs = Pairs { closed: vec![Span { first: 1, end: 4 }], open: Some(6) };
        assert_eq!(rows(&pairs, 0, &[(0, 0), (1, 4), (2, 5)], true), Ok(vec![(1, 2), (2, 3)]));
        assert_eq!(rows(&pairs, 2, &[(0, 0), (1, 3), (2, 5)], true), Ok(vec![(1, 3), (2, 5)]));
        assert!(rows(&pairs, 0, &[(0, 6)], true).is_err());
        assert_eq!(rows(&pairs, 0, &[(0, 6)], false), Ok(vec![]));
        let all = Pairs { closed: vec![Span { first: 0, end: 4 }], open: None };
        assert!(rows(&all, 0, &[(0, 3)], true).is_err());
        assert_eq!(rows(&all, 1, &[(0, 3)], true), Ok(vec![(0, 1)]));
    }
}

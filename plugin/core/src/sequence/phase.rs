//! The phases of a request.

use crate::plan::{Plan, Site};
use crate::profile::Tokens;

/// Where in its request a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Fed before the first token of the request was sampled, and not the last of these.
    Prompt = 0,
    /// The last of them: its logits give the first generated token.
    Last = 1,
    /// Fed after that; also draft tokens that are verified.
    Generated = 2,
}

/// Which phases a plan tells apart: the keys and values that it computes in phases it does not tell apart are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Prompt and generated rows differ.
    pub generated: bool,
    /// The last prompt row differs from the others.
    pub last: bool,
}

impl Phases {
    /// What `plan` tells apart.
    pub fn of(plan: &Plan) -> Phases {
        // What acts on logits alone changes no key and no value.
        let acting = || plan.rules.iter().filter(|r| r.dropped.is_none() && r.site != Site::Logits);
        let acts = |tokens: &[Tokens]| acting().any(|r| tokens.contains(&r.tokens));
        // What is held leaves the rows before the last prompt row alone.
        let held = acting().any(|r| r.held);
        Phases { generated: acts(&[Tokens::Prompt, Tokens::Generated]) || held, last: acts(&[Tokens::Last]) || held }
    }

    /// The first phase that gives the same keys and values as `phase`.
    pub fn canonical(&self, phase: Phase) -> Phase {
        match phase {
            Phase::Last if self.last => Phase::Last,
            Phase::Generated if self.generated => Phase::Generated,
            _ => Phase::Prompt,
        }
    }
}

impl Phase {
    /// Whether a rule for `tokens` acts on a row of this phase at position `pos` of its sequence.
    pub fn within(self, tokens: Tokens, pos: i32) -> bool {
        match tokens {
            Tokens::All => true,
            Tokens::Prompt => self != Phase::Generated,
            Tokens::Generated => self == Phase::Generated,
            Tokens::Last => self == Phase::Last,
            // Not a question of phase: who knows the text asks for it.
            Tokens::After(_) => false,
            Tokens::Positions { first, last } => u32::try_from(pos).is_ok_and(|pos| (first..=last).contains(&pos)),
        }
    }

    /// From the number that [`super::Saved`] writes.
    pub(super) fn from_number(number: u8) -> Option<Phase> {
        [Phase::Prompt, Phase::Last, Phase::Generated].into_iter().find(|p| *p as u8 == number)
    }
}

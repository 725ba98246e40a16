//! One llama_context of the host, and what it was bound to when it was made.

use std::sync::{Arc, OnceLock, atomic::AtomicBool};

use super::{Instance, Live};

/// A context of the host's.
pub struct Context {
    /// Number for messages, from 1.
    pub id: u32,
    /// The model in a few words.
    pub model: String,
    /// Whether it is ours.
    pub standing: Standing,
    /// What was already said about it.
    pub said: AtomicBool,
    /// What its devices do not compute, once its first graph is there; sentences for people.
    pub fallbacks: OnceLock<Vec<String>>,
    /// The same of what regions are evaluated with, once there was one.
    pub fallbacks_of_attention: OnceLock<Vec<String>>,
}

/// Whether a context is ours.
pub enum Standing {
    /// It runs under profiles.
    Ours(Arc<Live>),
    /// It evaluates what another context of ours is set off against.
    Second(Arc<Live>),
    /// Nothing was asked for when it was made.
    Idle,
    /// It does not generate text, so no profile speaks of it; why.
    Left(&'static str),
    /// It generates, but with another model than the profile is for; why. Left alone where another context is ours.
    Other(String),
    /// It should run under a profile and cannot; why.
    Failed(String),
}

impl Context {
    /// What its devices are known not to compute. None as long as nobody asked them.
    pub fn fallbacks(&self) -> Option<Vec<&str>> {
        let both = [self.fallbacks.get(), self.fallbacks_of_attention.get()];
        let known = both.iter().any(Option::is_some);
        known.then(|| both.into_iter().flatten().flatten().map(String::as_str).collect())
    }

    /// What it runs under.
    pub fn live(&self) -> Option<&Arc<Live>> {
        match &self.standing {
            Standing::Ours(live) | Standing::Second(live) => Some(live),
            _ => None,
        }
    }

    /// Every plan that is in force in it.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        match &self.standing {
            Standing::Ours(live) => live.instances(),
            // Those of the first, which has them already.
            _ => vec![],
        }
    }
}

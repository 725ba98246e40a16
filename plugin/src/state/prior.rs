//! Priors that are known only while the model runs, learned from the stream or measured once: one per rule, profile and model,
//! whichever contexts and plans use it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use evenkeel_core::{
    asset::State as File,
    plan::{Correction, Plan, RuleIndex, model_name},
    prior::{Prior, replace},
    profile::Learning,
};

use super::lock;
use crate::log;

/// How often a file is written while the model runs.
const INTERVAL: Duration = Duration::from_secs(1);

/// The prior of one rule, shared by all that use it.
pub struct Online {
    key: Key,
    /// Where it is kept.
    path: Option<PathBuf>,
    prior: Mutex<Prior>,
    /// Requests that it has seen.
    seen: AtomicU64,
    /// By label: the negative logarithm of its share, as bits of an f32.
    offsets: Vec<AtomicU32>,
    measured: Mutex<Measured>,
    /// It was said that it waits.
    pub said_waits: AtomicBool,
    /// Whether the file has less.
    changed: AtomicBool,
    failed: AtomicBool,
}

/// What a prior is of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    model: String,
    profile: PathBuf,
    rule: String,
    labels: Vec<String>,
    /// What it is measured on; `None` if it is learned.
    prompts: Option<Arc<[String]>>,
}

/// How a rule uses its prior.
#[derive(Debug, Clone, PartialEq)]
pub enum Use {
    /// It follows the stream.
    Stream(Learning),
    /// It is measured once; with `log` it is divided by, else as Zhao et al. 2021 write it.
    ContentFree {
        /// `form = "log"`.
        log: bool,
    },
}

/// What a rule has of these: `None` where its prior is in a file, or it has none.
pub type RulePrior = Option<(Arc<Online>, Use)>;

/// Where a measurement stands.
#[derive(Debug, Clone, Default)]
enum Measured {
    /// It has not begun, or waits for room.
    #[default]
    Not,
    /// The sequence of a context that evaluates the prompts, and what it has shown so far.
    Under(u32, i32, Vec<Vec<f32>>),
    /// It is over, with or without a result.
    Over,
}

impl Online {
    fn new(key: Key, path: Option<PathBuf>, prior: Prior) -> Self {
        let offsets = prior.shares().iter().map(|_| AtomicU32::default()).collect();
        let (seen, measured, said_waits, changed, failed) = Default::default();
        let empty = Mutex::new(Prior::even(1));
        let online = Self { key, path, prior: empty, seen, offsets, measured, said_waits, changed, failed };
        online.publish(&prior);
        *lock(&online.prior) = prior;
        online
    }

    fn publish(&self, prior: &Prior) {
        for (offset, share) in self.offsets.iter().zip(prior.shares()) {
            offset.store((-share.ln() as f32).to_bits(), Ordering::Relaxed);
        }
        self.seen.store(prior.seen(), Ordering::Relaxed);
    }

    /// Whether it is known well enough.
    pub fn is_used(&self, how: &Use) -> bool {
        match how {
            Use::Stream(learning) => self.seen() >= u64::from(learning.min_count),
            // A measurement is told when it is over.
            Use::ContentFree { .. } => self.seen() > 0,
        }
    }

    /// The name of its rule.
    pub fn rule(&self) -> &str {
        &self.key.rule
    }

    /// The prompts of a prior that is still to be measured.
    pub fn unmeasured(&self) -> Option<&Arc<[String]>> {
        self.key.prompts.as_ref().filter(|_| matches!(*lock(&self.measured), Measured::Not))
    }

    /// A context begins to measure it on one of its sequences. False if another does, or did.
    pub fn begin(&self, context: u32, seq: i32) -> bool {
        let mut measured = lock(&self.measured);
        let free = matches!(*measured, Measured::Not);
        if free {
            *measured = Measured::Under(context, seq, vec![]);
        }
        free
    }

    /// A row that this context evaluates on this sequence has these shares. False if it is no measurement.
    pub fn measure(&self, (context, seq): (u32, i32), shares: &[f32]) -> bool {
        match &mut *lock(&self.measured) {
            Measured::Under(c, s, found) if (*c, *s) == (context, seq) => {
                found.push(shares.to_vec());
                true
            }
            _ => false,
        }
    }

    /// The prompts were evaluated: the prior is the mean of what they showed.
    ///
    /// # Errors
    /// Why there is none. It is not measured again.
    pub fn end(&self) -> Result<usize, String> {
        let mut measured = lock(&self.measured);
        let Measured::Under(_, _, found) = std::mem::replace(&mut *measured, Measured::Over) else {
            return Err("it was not being measured".to_owned());
        };
        let n = self.key.labels.len();
        let mean = |l: usize| found.iter().map(|q| f64::from(q[l])).sum::<f64>() / found.len() as f64;
        let mean: Vec<f64> = if found.is_empty() { vec![] } else { (0..n).map(mean).collect() };
        let prior = Prior::fixed_at(&mean, found.len()).ok_or_else(|| match found.is_empty() {
            true => "the labels have no more than min-label-mass after any of its prompts".to_owned(),
            false => format!("a label has nothing after all of its prompts: {mean:?}"),
        })?;
        self.publish(&prior);
        *lock(&self.prior) = prior;
        Ok(found.len())
    }

    /// It cannot be measured at all.
    pub fn give_up(&self) {
        *lock(&self.measured) = Measured::Over;
    }

    /// Requests that it has seen.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// What the gate table has of a label: what is added to the logarithm of its share, or what the share is multiplied by.
    pub fn gate(&self, label: usize, how: &Use) -> f32 {
        let offset = self.offsets.get(label).map_or(0.0, |bits| f32::from_bits(bits.load(Ordering::Relaxed)));
        if matches!(how, Use::ContentFree { log: false }) { offset.exp() } else { offset }
    }

    /// By label.
    pub fn shares(&self) -> Vec<f64> {
        lock(&self.prior).shares().to_vec()
    }

    /// A request has these shares.
    pub fn observe(&self, shares: &[f32], learning: &Learning) {
        let mut prior = lock(&self.prior);
        if learning.learn && prior.observe(shares, learning) {
            self.publish(&prior);
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// Writes the file, if it has less.
    fn save(&self) {
        let Some(path) = &self.path else { return };
        if !self.changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let labels: Vec<&str> = self.key.labels.iter().map(String::as_str).collect();
        let bytes = lock(&self.prior).bytes(&self.key.model, &labels);
        if let Err(error) = replace(path, &bytes)
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            log::error!("the prior of `{}` cannot be kept in {}: {error}", self.key.rule, path.display());
        }
    }
}

/// All of them.
#[derive(Default)]
pub struct Priors {
    all: Mutex<Vec<Arc<Online>>>,
    /// When files were written last.
    last: Mutex<Option<Instant>>,
}

impl Priors {
    /// Those of a plan, by rule: what is known of a rule already goes on; else what its file has, or nothing.
    ///
    /// # Errors
    /// Two that would be kept in one file.
    pub fn of(
        &self,
        plan: &Plan,
        profile: &Path,
        file: impl Fn(&str) -> Option<File>,
    ) -> Result<Vec<RulePrior>, String> {
        let rules = (0..).map(RuleIndex).zip(&plan.rules);
        let one = |(index, rule): (RuleIndex, &evenkeel_core::plan::Rule)| {
            let Some(calibration) = plan.calibration(index) else { return Ok(None) };
            let (how, prompts) = match &calibration.correction {
                Correction::Online(learning) => (Use::Stream(*learning), None),
                Correction::ContentFree { log, prompts } => (Use::ContentFree { log: *log }, Some(prompts.clone())),
                _ => return Ok(None),
            };
            let key = Key {
                model: model_name(&plan.model, calibration.n_vocab as usize),
                profile: profile.to_owned(),
                rule: rule.name.clone(),
                labels: calibration.labels.iter().map(|l| l.text.clone()).collect(),
                prompts,
            };
            Ok(Some((self.open(key, file(&rule.name), &how)?, how)))
        };
        rules.map(one).collect()
    }

    fn open(&self, key: Key, file: Option<File>, how: &Use) -> Result<Arc<Online>, String> {
        let path = file.as_ref().map(|file| file.path.clone());
        let mut all = lock(&self.all);
        if let Some(known) = all.iter().find(|known| known.key == key && known.path == path) {
            return Ok(known.clone());
        }
        if let Some(other) =
            all.iter().find(|other| path.is_some() && other.path == path && Arc::strong_count(other) > 1)
        {
            let path = path.unwrap_or_default();
            return Err(format!(
                "calibrate.state: one file for two priors, got {} for `{}` and `{}`, allowed: a file for each rule and model",
                path.display(),
                other.key.rule,
                key.rule
            ));
        }
        all.retain(|other| path.is_none() || other.path != path);
        let n = key.labels.len();
        let restored = match (how, file.and_then(|file| file.fitted)) {
            // The plan has looked at it.
            (Use::Stream(learning), Some(fitted)) => Prior::restore(&fitted, n, learning).ok(),
            _ => None,
        };
        let prior = restored.unwrap_or_else(|| Prior::even(n));
        let online = Arc::new(Online::new(key, path, prior));
        all.push(online.clone());
        Ok(online)
    }

    /// Called between two calls to decode: writes what has changed, once a second. A thread never waits for another here.
    pub fn at_boundary(&self) {
        let mut last = match self.last.try_lock() {
            Ok(last) => last,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            *last = Some(Instant::now());
            self.save();
        }
    }

    /// Writes what has changed, now.
    pub fn save(&self) {
        let all = lock(&self.all).clone();
        all.iter().for_each(|online| online.save());
    }
}

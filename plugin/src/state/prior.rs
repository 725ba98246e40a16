//! Priors that are learned from the stream: one per rule, profile and model, whichever contexts and plans use it.

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
    plan::{Calibration, Correction, Plan, RuleIndex, model_name},
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
}

impl Online {
    fn new(key: Key, path: Option<PathBuf>, prior: Prior) -> Self {
        let offsets = prior.shares().iter().map(|_| AtomicU32::default()).collect();
        let (seen, changed, failed) = Default::default();
        let online = Self { key, path, prior: Mutex::new(Prior::even(1)), seen, offsets, changed, failed };
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

    /// Whether it has seen enough.
    pub fn is_used(&self, learning: &Learning) -> bool {
        self.seen() >= u64::from(learning.min_count)
    }

    /// Requests that it has seen.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// What is added to the logarithm of a label's share.
    pub fn offset(&self, label: usize) -> f32 {
        self.offsets.get(label).map_or(0.0, |bits| f32::from_bits(bits.load(Ordering::Relaxed)))
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
    ) -> Result<Vec<Option<(Arc<Online>, Learning)>>, String> {
        let rules = (0..).map(RuleIndex).zip(&plan.rules);
        let one = |(index, rule): (RuleIndex, &evenkeel_core::plan::Rule)| {
            let Some((calibration, learning)) = plan.calibration(index).and_then(|c| Some((c, learning(c)?))) else {
                return Ok(None);
            };
            let key = Key {
                model: model_name(&plan.model, calibration.n_vocab as usize),
                profile: profile.to_owned(),
                rule: rule.name.clone(),
                labels: calibration.labels.iter().map(|l| l.text.clone()).collect(),
            };
            Ok(Some((self.open(key, file(&rule.name), &learning)?, learning)))
        };
        rules.map(one).collect()
    }

    fn open(&self, key: Key, file: Option<File>, learning: &Learning) -> Result<Arc<Online>, String> {
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
        let fitted = file.and_then(|file| file.fitted);
        // The plan has looked at it.
        let prior = fitted.and_then(|f| Prior::restore(&f, n, learning).ok()).unwrap_or_else(|| Prior::even(n));
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

/// How a calibration's prior follows the stream, if it has one that does.
fn learning(calibration: &Calibration) -> Option<Learning> {
    if let Correction::Online(learning) = calibration.correction { Some(learning) } else { None }
}

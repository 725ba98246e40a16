//! What is learned of each layer: directions, probes, erasers, and how well they tell held-out texts apart.

use std::{io, num::NonZero, sync::Mutex, thread};

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::Method;
use crate::{
    capture::Store,
    estimate::{
        Centre, Clusters, Eraser, Interval, Logistic, Moments, Rows, Scored, dot, eraser, logistic, moments, norm,
        principal, project, unit,
    },
};

/// Folds of the cross-validation.
const FOLDS: usize = 5;
/// The inverse strength of the probes' penalty, scikit-learn's default.
const C: f64 = 1.0;
/// Of the eraser, in parts of each component's variance.
const RIDGE: f64 = 1e-3;
/// Shares of the positive class for which accuracy and precision are told.
const SHARES: [f64; 3] = [0.5, 0.2, 0.05];

/// What was learned of one layer.
pub struct LayerFit {
    pub layer: usize,
    /// Towards the positive class, with the length of the difference in means.
    pub direction: Vec<f64>,
    /// A second direction, orthogonal to the first and of the same length, that spans a plane with it: along it the
    /// texts differ most apart from the class.
    pub plane: Vec<f64>,
    pub probe: Logistic,
    pub eraser: Option<Eraser>,
    /// A row is similar to `direction` from this cosine on: where the classes are told apart best.
    pub similar: f64,
    pub scores: LayerScores,
}

/// How well one layer tells texts apart that it was not fitted on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayerScores {
    pub layer: usize,
    /// Length of the difference in means.
    pub length: f64,
    /// AUROC of the direction, on held-out folds.
    pub direction_auroc: Interval,
    /// AUROC of the probe, on held-out folds; it does not depend on the balance of the classes.
    pub auroc: Interval,
    /// As the classes are in the data, then for other shares of the positive class.
    pub balance: Vec<BalanceScores>,
}

/// Figures of a probe that depend on how rare the positive class is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BalanceScores {
    /// Share of the positive class.
    pub share: f64,
    pub accuracy: Interval,
    pub auprc: Interval,
}

/// Which rows are fitted.
pub struct Data<'a> {
    pub positive: &'a [bool],
    /// 1 for the rows that are fitted, else 0.
    pub weights: &'a [f64],
    pub cluster: &'a [usize],
    pub paired: bool,
}

/// Fits all layers, each on a thread.
pub fn fit(store: &Store, data: &Data<'_>, method: Method, bar: &ProgressBar) -> io::Result<Vec<LayerFit>> {
    let layers = Mutex::new(store.layers());
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let work = || {
        let mut done = Vec::new();
        loop {
            let next = layers.lock().map_err(|_| io::Error::other("a thread ended early"))?.pop();
            let Some(layer) = next else { return Ok(done) };
            done.push(fit_layer(&store.layer(layer), layer, data, method)?);
            bar.inc(1);
        }
    };
    let all: io::Result<Vec<Vec<LayerFit>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|w| w.join().unwrap_or_else(|_| Err(io::Error::other("a thread ended early"))))
            .collect()
    });
    let mut all: Vec<LayerFit> = all?.into_iter().flatten().collect();
    all.sort_by_key(|l| l.layer);
    Ok(all)
}

fn fit_layer(rows: &impl Rows, layer: usize, data: &Data<'_>, method: Method) -> io::Result<LayerFit> {
    let scores = held_out(rows, layer, data, method)?;
    let moments = moments(rows, data.weights, data.positive)?;
    let probe = logistic(rows, data.weights, data.positive, &moments, C)?;
    let eraser = match method {
        Method::Leace => eraser(rows, data.weights, &moments, RIDGE)?,
        _ => None,
    };
    let direction = direction(rows, data, data.weights, &moments, &probe, method)?;
    let plane = plane(rows, data.weights, &moments, &direction)?;
    let similar = threshold(rows, data, &direction)?;
    Ok(LayerFit { layer, direction, plane, probe, eraser, similar, scores })
}

/// The direction of a method, of the length of the difference in means, towards the positive class.
fn direction(
    rows: &impl Rows,
    data: &Data<'_>,
    weights: &[f64],
    moments: &Moments,
    probe: &Logistic,
    method: Method,
) -> io::Result<Vec<f64>> {
    let difference = moments.difference();
    let middle: Vec<f64> = moments.positive.iter().zip(&moments.negative).map(|(p, n)| (p + n) / 2.0).collect();
    let found = match method {
        Method::Mean | Method::Leace | Method::Sae => return Ok(difference),
        Method::Probe => probe.weights.clone(),
        Method::Pca if data.paired => principal(rows, weights, &Centre::Pair)?,
        Method::Pca => principal(rows, weights, &Centre::Point(&middle))?,
    };
    let length = norm(&difference) * if dot(&found, &difference) < 0.0 { -1.0 } else { 1.0 };
    Ok(unit(&found).iter().map(|x| x * length).collect())
}

/// What the texts differ in most, apart from the direction.
fn plane(rows: &impl Rows, weights: &[f64], moments: &Moments, direction: &[f64]) -> io::Result<Vec<f64>> {
    let first = principal(rows, weights, &Centre::Point(&moments.mean))?;
    let v = unit(direction);
    let along = dot(&first, &v);
    let rest: Vec<f64> = first.iter().zip(&v).map(|(x, v)| x - along * v).collect();
    let length = norm(direction);
    if norm(&rest) > 1e-6 {
        return Ok(unit(&rest).iter().map(|x| x * length).collect());
    }
    // The direction is the first component: any vector orthogonal to it does.
    let k = (0..v.len()).min_by(|a, b| v[*a].abs().total_cmp(&v[*b].abs())).unwrap_or(0);
    let rest: Vec<f64> = v.iter().enumerate().map(|(i, x)| f64::from(u8::from(i == k)) - v[k] * x).collect();
    Ok(unit(&rest).iter().map(|x| x * length).collect())
}

/// The cosine at which true and false positives are farthest apart (Youden's index).
fn threshold(rows: &impl Rows, data: &Data<'_>, direction: &[f64]) -> io::Result<f64> {
    let v = unit(direction);
    let mut cosines = Vec::new();
    rows.each(data.weights, &mut |i, _, row| {
        let size = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        cosines.push((project(row, &v) / size.max(f64::MIN_POSITIVE), data.positive[i]));
    })?;
    cosines.sort_by(|a, b| b.0.total_cmp(&a.0));
    let count = |class: bool| cosines.iter().filter(|c| c.1 == class).count().max(1) as f64;
    let step = [1.0 / count(false), 1.0 / count(true)];
    let (mut best, mut index, mut at) = (f64::MIN, 0.0, 0.0);
    for pair in cosines.windows(2) {
        index += if pair[0].1 { step[1] } else { -step[0] };
        if index > best && pair[0].0 > pair[1].0 {
            (best, at) = (index, (pair[0].0 + pair[1].0) / 2.0);
        }
    }
    Ok(at)
}

/// A probe that is fitted on some rows and scores others.
pub fn transfer(rows: &impl Rows, positive: &[bool], train: &[f64], test: &[f64]) -> io::Result<Scored> {
    let moments = moments(rows, train, positive)?;
    let probe = logistic(rows, train, positive, &moments, C)?;
    let (mut scores, mut classes) = (Vec::new(), Vec::new());
    rows.each(test, &mut |i, _, row| {
        scores.push(probe.logit(row));
        classes.push(positive[i]);
    })?;
    Ok(Scored::new(scores, classes))
}

/// Cross-validation by clusters: each row is scored by what was fitted without its cluster.
fn held_out(rows: &impl Rows, layer: usize, data: &Data<'_>, method: Method) -> io::Result<LayerScores> {
    let n = rows.len();
    let mut clusters: Vec<usize> = (0..n).filter(|i| data.weights[*i] != 0.0).map(|i| data.cluster[i]).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let fold = |cluster: usize| clusters.binary_search(&cluster).map_or(0, |at| at % FOLDS);
    let mut logits = vec![f64::NAN; n];
    let mut along = vec![f64::NAN; n];
    let mut length = 0.0;
    for k in 0..FOLDS {
        let part = |inside: bool| -> Vec<f64> {
            (0..n).map(|i| if (fold(data.cluster[i]) == k) == inside { data.weights[i] } else { 0.0 }).collect()
        };
        let (train, test) = (part(false), part(true));
        let moments = moments(rows, &train, data.positive)?;
        if moments.weight.contains(&0.0) {
            continue;
        }
        let probe = logistic(rows, &train, data.positive, &moments, C)?;
        let direction = direction(rows, data, &train, &moments, &probe, method)?;
        length += norm(&moments.difference()) / FOLDS as f64;
        let middle = (dot(&moments.positive, &direction) + dot(&moments.negative, &direction)) / 2.0;
        rows.each(&test, &mut |i, _, row| {
            logits[i] = probe.logit(row);
            along[i] = (project(row, &direction) - middle) / dot(&direction, &direction);
        })?;
    }
    let seen: Vec<usize> = (0..n).filter(|i| logits[*i].is_finite()).collect();
    let scored = |scores: &[f64]| {
        Scored::new(seen.iter().map(|i| scores[*i]).collect(), seen.iter().map(|i| data.positive[*i]).collect())
    };
    let by = Clusters::new(seen.iter().map(|i| data.cluster[*i]));
    let (probe, direction) = (scored(&logits), scored(&along));
    let own = probe.share(&vec![1.0; seen.len()]);
    let balance = |share: f64| BalanceScores {
        share,
        accuracy: by.interval(|w| probe.accuracy(w, share)),
        auprc: by.interval(|w| probe.precision(w, share)),
    };
    Ok(LayerScores {
        layer,
        length,
        direction_auroc: by.interval(|w| direction.area(w)),
        auroc: by.interval(|w| probe.area(w)),
        balance: [own].into_iter().chain(SHARES).map(balance).collect(),
    })
}

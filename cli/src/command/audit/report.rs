//! What an audit found, and the statistics of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    arm::{Arm, Kind},
    detail::{Example, Place, Reliability, places, reliability},
    neutral::Cost,
    representation::RepresentationSaid,
};
use crate::{
    estimate::{Clusters, Interval},
    suite::{Figure, Format, Score, Suite, leaning_of, measures},
};

/// The whole result.
#[derive(Serialize, Deserialize)]
pub struct Report {
    pub model: String,
    pub model_sha256: String,
    pub evenkeel: String,
    pub llama: String,
    /// Biases smaller than this count as none.
    pub margin: f64,
    pub arms: Vec<ArmSaid>,
    pub suites: Vec<SuiteSaid>,
    #[serde(default)]
    pub representation: Vec<RepresentationSaid>,
    pub costs: Vec<Cost>,
    #[serde(default)]
    pub examples: Vec<Example>,
    pub notes: Vec<String>,
}

/// An arm.
#[derive(Serialize, Deserialize)]
pub struct ArmSaid {
    pub name: String,
    pub kind: Kind,
    pub sha256: String,
    /// The instruction, or the profile's text.
    pub text: Option<String>,
}

impl ArmSaid {
    /// Neither the plain model nor a control.
    pub fn is_profile(&self) -> bool {
        self.kind == Kind::Profile
    }

    /// Random directions in a profile's place.
    pub fn is_control(&self) -> bool {
        self.kind == Kind::Random
    }
}

/// A suite and its figures.
#[derive(Serialize, Deserialize)]
pub struct SuiteSaid {
    pub name: String,
    pub format: Format,
    pub sha256: String,
    pub items: usize,
    pub left_out: Vec<String>,
    pub figures: Vec<FigureSaid>,
    /// Accuracy by position, where positions are asked for.
    #[serde(default)]
    pub places: Vec<Place>,
    /// For each arm, where there are right answers among options.
    #[serde(default)]
    pub reliability: Vec<Option<Reliability>>,
}

/// One figure for all arms.
#[derive(Serialize, Deserialize)]
pub struct FigureSaid {
    pub name: String,
    pub kind: Figure,
    pub items: usize,
    pub clusters: usize,
    pub arms: Vec<ArmFigure>,
}

/// One figure of one arm.
#[derive(Serialize, Deserialize)]
pub struct ArmFigure {
    pub value: Interval,
    /// For biases: whether there is one.
    pub verdict: Option<Verdict>,
    /// Against the plain model, paired; none for the plain model itself. For a bias, of its size.
    pub change: Option<Change>,
    /// For biases: Pearson's correlation over groups of how the answers lean, with the plain model's ("Bias after
    /// prompting", Sivakumar et al. 2025).
    #[serde(default)]
    pub correlation: Option<Interval>,
}

/// What an interval says about a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Inside the margin: as good as none.
    Absent,
    /// Apart from zero, and not inside the margin.
    Present,
    /// Neither.
    Undecided,
}

/// A paired difference.
#[derive(Serialize, Deserialize)]
pub struct Change {
    /// Arm less plain.
    pub difference: Interval,
    /// Two-sided, from the bootstrap.
    pub p: f64,
    /// The same after Holm's correction over the arm's figures of bias.
    pub p_holm: Option<f64>,
}

/// Draws of which the bootstrap's p is made.
const LEAST_P: f64 = 2.0 / 1001.0;

/// With fewer groups an interval says too little.
const LEAST_GROUPS: usize = 10;

/// All figures. `scores[arm][suite]` belong to the suite's items.
pub fn suites(suites: &[Suite], arms: &[Arm], scores: &[Vec<Vec<Score>>], margin: f64) -> Vec<SuiteSaid> {
    let mut all: Vec<SuiteSaid> =
        suites.iter().enumerate().map(|(s, suite)| one(s, suite, arms, scores, margin)).collect();
    holm(&mut all, arms.len());
    all
}

fn one(s: usize, suite: &Suite, arms: &[Arm], scores: &[Vec<Vec<Score>>], margin: f64) -> SuiteSaid {
    let by = Clusters::new(suite.items.iter().map(|i| i.cluster.as_str()));
    let figure = |m: crate::suite::Measure<'_>| {
        let [items, clusters] = m.counts();
        let arm = |a: usize| {
            if scores[a][s].is_empty() {
                return ArmFigure { value: Interval::none(), verdict: None, change: None, correlation: None };
            }
            let value = by.interval(|w| m.value(&scores[a][s], w));
            let verdict = (m.kind == Figure::Bias).then(|| match clusters < LEAST_GROUPS {
                true => Verdict::Undecided,
                false => Verdict::of(&value, margin),
            });
            let change = (a > 0).then(|| {
                // Of a bias the size counts: one that became its opposite is no gain.
                let size = |x: f64| if m.kind == Figure::Bias { x.abs() } else { x };
                let (difference, p) = by.test(|w| size(m.value(&scores[a][s], w)) - size(m.value(&scores[0][s], w)));
                Change { difference, p: p.max(LEAST_P), p_holm: None }
            });
            let correlation =
                (a > 0 && m.kind == Figure::Bias).then(|| correlation(suite, &scores[0][s], &scores[a][s])).flatten();
            ArmFigure { value, verdict, change, correlation }
        };
        FigureSaid { name: m.name.clone(), kind: m.kind, items, clusters, arms: (0..arms.len()).map(arm).collect() }
    };
    SuiteSaid {
        name: suite.name.clone(),
        format: suite.format,
        sha256: suite.sha256.clone(),
        items: suite.items.len(),
        left_out: suite.problems.lines(),
        figures: measures(suite).into_iter().filter(|m| m.counts()[0] > 0).map(figure).collect(),
        places: places(suite, &(0..arms.len()).map(|a| &scores[a][s][..]).collect::<Vec<_>>()),
        reliability: (0..arms.len()).map(|a| reliability(suite, &scores[a][s])).collect(),
    }
}

/// Over groups, of the means of what their items lean to; None where that says nothing.
fn correlation(suite: &Suite, plain: &[Score], arm: &[Score]) -> Option<Interval> {
    let mut groups: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
    for (item, (a, b)) in suite.items.iter().zip(plain.iter().zip(arm)) {
        if let (Some(a), Some(b)) = (leaning_of(item, a), leaning_of(item, b)) {
            let sums = groups.entry(&item.cluster).or_default();
            sums.iter_mut().zip([a, b, 1.0]).for_each(|(s, x)| *s += x);
        }
    }
    let means: Vec<[f64; 2]> = groups.values().map(|[a, b, n]| [a / n, b / n]).collect();
    (means.len() >= LEAST_GROUPS).then(|| Clusters::new(0..means.len()).interval(|w| pearson(&means, w)))
}

fn pearson(pairs: &[[f64; 2]], weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    let mean = |k: usize| pairs.iter().zip(weights).map(|(p, w)| w * p[k]).sum::<f64>() / total;
    let means = [mean(0), mean(1)];
    let moment = |i: usize, k: usize| -> f64 {
        pairs.iter().zip(weights).map(|(p, w)| w * (p[i] - means[i]) * (p[k] - means[k])).sum()
    };
    moment(0, 1) / (moment(0, 0) * moment(1, 1)).sqrt()
}

impl Verdict {
    pub fn of(value: &Interval, margin: f64) -> Verdict {
        if value.within(margin) {
            Verdict::Absent
        } else if value.apart() {
            Verdict::Present
        } else {
            Verdict::Undecided
        }
    }
}

/// Holm's step-down correction (1979), for each arm over its figures of bias.
fn holm(suites: &mut [SuiteSaid], arms: usize) {
    for a in 1..arms {
        let figures = suites.iter_mut().flat_map(|s| &mut s.figures).filter(|f| f.kind == Figure::Bias);
        let mut changes: Vec<&mut Change> = figures.filter_map(|f| f.arms[a].change.as_mut()).collect();
        changes.sort_by(|x, y| x.p.total_cmp(&y.p));
        let n = changes.len();
        let mut last = 0f64;
        for (i, change) in changes.into_iter().enumerate() {
            last = last.max((change.p * (n - i) as f64).min(1.0));
            change.p_holm = Some(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_is_the_step_down_procedure() {
        let interval = Interval { value: 0.0, low: 0.0, high: 0.0 };
        let figure = |p: f64| FigureSaid {
            name: String::new(),
            kind: Figure::Bias,
            items: 1,
            clusters: 1,
            arms: vec![
                ArmFigure { value: interval, verdict: None, change: None, correlation: None },
                ArmFigure {
                    value: interval,
                    verdict: None,
                    change: Some(Change { difference: interval, p, p_holm: None }),
                    correlation: None,
                },
            ],
        };
        let mut all = vec![SuiteSaid {
            name: String::new(),
            format: Format::Jsonl,
            sha256: String::new(),
            items: 1,
            left_out: Vec::new(),
            figures: [0.04, 0.01, 0.03].map(figure).into(),
            places: Vec::new(),
            reliability: Vec::new(),
        }];
        holm(&mut all, 2);
        let found: Vec<f64> = all[0].figures.iter().filter_map(|f| f.arms[1].change.as_ref()?.p_holm).collect();
        assert_eq!(found, [0.06, 0.03, 0.06]);
    }

    #[test]
    fn correlations_are_pearsons() {
        let pairs = [[1.0, 2.0], [2.0, 4.0], [3.0, 5.0], [4.0, 9.0]];
        // Sums of squares 5 and 26, of products 11.
        assert!((pearson(&pairs, &[1.0; 4]) - 11.0 / 130f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn verdicts() {
        let of = |low: f64, high: f64| Verdict::of(&Interval { value: 0.0, low, high }, 0.05);
        assert_eq!(of(-0.01, 0.04), Verdict::Absent);
        assert_eq!(of(0.01, 0.09), Verdict::Present);
        assert_eq!(of(-0.02, 0.09), Verdict::Undecided);
        assert_eq!(of(f64::NAN, f64::NAN), Verdict::Undecided);
    }
}

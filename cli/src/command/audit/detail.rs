//! What stands behind a suite's figures: accuracy by position, how far probabilities can be relied on, example texts.

use serde::{Deserialize, Serialize};

use crate::{
    estimate::{Clusters, Interval},
    suite::{Item, Role, Score, Suite},
};

/// Accuracy at one place: of what is looked for, or of the right letter.
#[derive(Serialize, Deserialize)]
pub struct Place {
    pub place: String,
    pub items: usize,
    /// For each arm.
    pub arms: Vec<Interval>,
}

/// Whether an arm is as often right as it is sure.
#[derive(Serialize, Deserialize)]
pub struct Reliability {
    /// Expected calibration error (Naeini et al. 2015): the mean distance of accuracy from confidence over ten bins.
    pub error: Interval,
    /// Mean confidence, accuracy and number of each bin that is not empty.
    pub bins: Vec<[f64; 3]>,
}

/// One prompt, and how each arm goes on.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Example {
    pub prompt: String,
    /// Arm and text.
    pub texts: Vec<(String, String)>,
}

const BINS: usize = 10;

fn place(item: &Item) -> Option<String> {
    match &item.role {
        Role::Place { place } if *place == 0.0 => Some("first".into()),
        Role::Place { place } if *place == 1.0 => Some("last".into()),
        Role::Place { place } => Some(format!("{:.0}% of the way", place * 100.0)),
        Role::Letters { .. } => Some(char::from(b'A' + u8::try_from(item.answer?).ok()?).to_string()),
        _ => None,
    }
}

fn right(item: &Item, score: &Score) -> bool {
    if matches!(item.role, Role::Place { .. }) { score.greedy } else { item.answer == Some(score.pick()) }
}

/// Accuracy by place, places in the order in which items come. `scores[arm]` belong to the suite's items.
pub fn places(suite: &Suite, scores: &[&[Score]]) -> Vec<Place> {
    let mut names: Vec<String> = Vec::new();
    let at: Vec<Option<usize>> = suite
        .items
        .iter()
        .map(|item| {
            let name = place(item)?;
            Some(names.iter().position(|n| *n == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            }))
        })
        .collect();
    let mut places: Vec<Place> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let here: Vec<usize> = (0..at.len()).filter(|i| at[*i] == Some(number)).collect();
            let by = Clusters::new(here.iter().map(|i| suite.items[*i].cluster.as_str()));
            let arm = |scores: &&[Score]| {
                if scores.is_empty() {
                    return Interval::none();
                }
                by.mean(
                    &here.iter().map(|i| f64::from(u8::from(right(&suite.items[*i], &scores[*i])))).collect::<Vec<_>>(),
                )
            };
            Place { place: name.clone(), items: here.len(), arms: scores.iter().map(arm).collect() }
        })
        .collect();
    if suite.items.iter().any(|i| matches!(i.role, Role::Letters { .. })) {
        places.sort_by(|a, b| a.place.cmp(&b.place));
    }
    places
}

/// Reliability of the options' shares, for items with a right answer; None where there are none.
pub fn reliability(suite: &Suite, scores: &[Score]) -> Option<Reliability> {
    let mut seen: Vec<(f64, f64, &str)> = Vec::new();
    for (item, score) in suite.items.iter().zip(scores).filter(|(i, s)| i.answer.is_some() && s.logp.len() > 1) {
        let sure = score.shares()[score.pick()];
        seen.push((sure, f64::from(u8::from(right(item, score))), &item.cluster));
    }
    if seen.is_empty() {
        return None;
    }
    let bin = |sure: f64| ((sure * BINS as f64) as usize).min(BINS - 1);
    let sums = |weights: &[f64]| {
        let mut sums = [[0f64; 3]; BINS];
        for ((sure, hit, _), w) in seen.iter().zip(weights) {
            sums[bin(*sure)].iter_mut().zip([w * sure, w * hit, *w]).for_each(|(s, x)| *s += x);
        }
        sums
    };
    let error = Clusters::new(seen.iter().map(|s| s.2)).interval(|weights| {
        let sums = sums(weights);
        sums.iter().map(|[sure, hit, _]| (sure - hit).abs()).sum::<f64>() / sums.iter().map(|s| s[2]).sum::<f64>()
    });
    let bins = sums(&vec![1.0; seen.len()]);
    let bins = bins.into_iter().filter(|b| b[2] > 0.0).map(|[sure, hit, n]| [sure / n, hit / n, n]).collect();
    Some(Reliability { error, bins })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{examples::Problems, suite::Format};

    #[test]
    fn places_and_reliability_are_counted() {
        let item = |answer: usize| Item {
            id: String::new(),
            cluster: answer.to_string(),
            prompt: String::new(),
            options: vec![" A".into(), " B".into()],
            answer: Some(answer),
            role: Role::Letters { contents: vec![0, 1] },
            part: None,
        };
        let suite = Suite {
            name: String::new(),
            format: Format::Choice,
            sha256: String::new(),
            items: vec![item(1), item(0), item(1), item(0)],
            problems: Problems::default(),
            neutral: 0.0,
            words: Vec::new(),
        };
        let score =
            |p: f64| Score { logp: vec![p.ln(), (1.0 - p).ln()], tokens: vec![1; 2], greedy: false, text: None };
        let scores: Vec<Score> = [0.8, 0.8, 0.3, 0.8].map(score).into();
        let found = places(&suite, &[&scores]);
        let values: Vec<(&str, f64)> = found.iter().map(|p| (&p.place[..], p.arms[0].value)).collect();
        assert_eq!(values, [("A", 1.0), ("B", 0.5)]);
        let found = reliability(&suite, &scores).unwrap();
        // Sure by 0.7 and right; sure by 0.8 three times and right twice.
        assert_eq!(found.bins.len(), 2);
        assert!((found.error.value - (0.3 + 0.4) / 4.0).abs() < 1e-12, "{}", found.error);
    }
}

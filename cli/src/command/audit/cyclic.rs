//! The cyclic permutation baseline (Zheng et al. 2024, arXiv 2309.03882): the answers to every rotation of a question's
//! options are averaged by content, so that no letter is favoured. It needs as many evaluations as there are options.

use super::neutral::Cost;
use crate::suite::{Item, Role, Score, Suite};

/// The plain scores averaged; empty for suites that are not asked in every order. None if no suite is.
pub fn scores(suites: &[Suite], plain: &[Vec<Score>]) -> Option<Vec<Vec<Score>>> {
    let all: Vec<Vec<Score>> = suites.iter().zip(plain).map(|(suite, scores)| averaged(suite, scores)).collect();
    all.iter().any(|s| !s.is_empty()).then_some(all)
}

/// What it costs: nothing but time.
pub fn cost(plain: &Cost, suites: &[Suite]) -> Cost {
    let orders: Vec<usize> = suites.iter().flat_map(|s| &s.items).filter_map(|i| Some(contents(i)?.len())).collect();
    let mean = orders.iter().sum::<usize>() as f64 / orders.len().max(1) as f64;
    Cost {
        arm: "cyclic permutation".into(),
        tokens_per_second: plain.tokens_per_second / mean.max(1.0),
        // It writes nothing.
        refused: None,
        ..plain.clone()
    }
}

fn contents(item: &Item) -> Option<&[usize]> {
    if let Role::Letters { contents } = &item.role { Some(contents) } else { None }
}

fn averaged(suite: &Suite, scores: &[Score]) -> Vec<Score> {
    if scores.len() != suite.items.len() || !suite.items.iter().all(|i| contents(i).is_some()) {
        return Vec::new();
    }
    let all: Vec<(&Item, &Score)> = suite.items.iter().zip(scores).collect();
    let mut out = Vec::new();
    for question in all.chunk_by(|(a, _), (b, _)| a.cluster == b.cluster) {
        let mut share = vec![0f64; question[0].1.logp.len()];
        for (item, score) in question {
            let contents = contents(item).unwrap_or_default();
            contents.iter().zip(&score.logp).for_each(|(c, l)| share[*c] += l.exp() / question.len() as f64);
        }
        out.extend(question.iter().map(|(item, score)| {
            let contents = contents(item).unwrap_or_default();
            Score { logp: contents.iter().map(|c| share[*c].ln()).collect(), ..(*score).clone() }
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{examples::Problems, suite::Format};

    #[test]
    fn a_preference_for_a_letter_is_averaged_out() {
        let item = |turn: usize| Item {
            id: String::new(),
            cluster: "q".into(),
            prompt: String::new(),
            options: vec![" A".into(), " B".into()],
            answer: Some(turn),
            role: Role::Letters { contents: vec![turn, 1 - turn] },
            part: None,
        };
        let suite = Suite {
            name: String::new(),
            format: Format::Choice,
            sha256: String::new(),
            items: vec![item(0), item(1)],
            problems: Problems::default(),
            neutral: 0.0,
            words: Vec::new(),
        };
        // Content 0 is right; the first letter gets more than the right content does.
        let score = |p: [f64; 2]| Score { logp: p.map(f64::ln).into(), tokens: vec![1; 2], greedy: false, text: None };
        let plain = vec![vec![score([0.9, 0.1]), score([0.6, 0.4])]];
        let found = scores(std::slice::from_ref(&suite), &plain).unwrap();
        let p: Vec<f64> = found[0].iter().flat_map(|s| s.logp.iter().map(|l| l.exp())).collect();
        let wanted = [0.65, 0.35, 0.35, 0.65];
        assert!(p.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{p:?}");
    }
}

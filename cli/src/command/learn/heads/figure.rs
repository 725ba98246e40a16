//! What is measured: how far a model leans to one of two answers, and how often it is right.

use crate::command::calibrate::{Asked, Figure, top};
use crate::estimate::Clusters;

/// The mean log-odds of an answer against the other, both right answers counting alike: 0 for a model that leans nowhere.
pub fn push(asked: &[Asked], pushed: usize, weights: &[f64]) -> f64 {
    balanced(asked, weights, |a| (a.shares[pushed] / a.shares[1 - pushed]).ln())
}

/// How often the right answer is the likelier one, both right answers counting alike.
pub fn accuracy(asked: &[Asked], weights: &[f64]) -> f64 {
    balanced(asked, weights, |a| f64::from(u8::from(Some(top(&a.shares)) == a.answer)))
}

/// The mean of the means over questions with either right answer.
fn balanced(asked: &[Asked], weights: &[f64], of: impl Fn(&Asked) -> f64) -> f64 {
    let mean = |answer: usize| {
        let of_answer = asked.iter().zip(weights).filter(|(a, _)| a.answer == Some(answer));
        let (sum, n) = of_answer.fold((0.0, 0.0), |(sum, n), (a, w)| (sum + w * of(a), n + w));
        sum / n
    };
    0.5 * (mean(0) + mean(1))
}

/// All figures, before and after.
pub fn figures(before: &[Asked], after: &[Asked], pushed: usize) -> Vec<Figure> {
    type Measure = Box<dyn Fn(&[Asked], &[f64]) -> f64>;
    let says = move |asked: &[Asked], w: &[f64]| balanced(asked, w, |a| f64::from(u8::from(top(&a.shares) == pushed)));
    let list: [(&str, Measure); 3] = [
        ("push, in log-odds", Box::new(move |asked, w| push(asked, pushed, w))),
        ("accuracy", Box::new(accuracy)),
        ("says it", Box::new(says)),
    ];
    let clusters = Clusters::new(before.iter().map(|a| &a.cluster));
    let figure = |(name, measure): (&str, Measure)| Figure {
        name: name.into(),
        before: clusters.interval(|w| measure(before, w)),
        after: clusters.interval(|w| measure(after, w)),
        change: clusters.interval(|w| measure(after, w) - measure(before, w)),
    };
    list.into_iter().map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answer: usize, no: f64) -> Asked {
        Asked { answer: Some(answer), cluster: format!("{answer} {no}"), shares: vec![1.0 - no, no], mass: 1.0 }
    }

    #[test]
    fn a_model_that_leans_nowhere_has_no_push() {
        let fair = [asked(0, 0.2), asked(1, 0.8), asked(1, 0.8)];
        assert!(push(&fair, 1, &[1.0; 3]).abs() < 1e-12);
        assert_eq!(accuracy(&fair, &[1.0; 3]), 1.0);
        let leans = [asked(0, 0.6), asked(1, 0.9), asked(1, 0.9)];
        let wanted = 0.5 * (1.5f64.ln() + 9f64.ln());
        assert!((push(&leans, 1, &[1.0; 3]) - wanted).abs() < 1e-12);
        assert_eq!(accuracy(&leans, &[1.0; 3]), 0.5);
    }
}

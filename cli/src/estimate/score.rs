//! How well scores tell two classes apart.

/// Scores and classes, in order of the scores.
pub struct Scored {
    scores: Vec<f64>,
    positive: Vec<bool>,
    /// Indices from the highest score to the lowest.
    order: Vec<usize>,
}

impl Scored {
    pub fn new(scores: Vec<f64>, positive: Vec<bool>) -> Scored {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        Scored { scores, positive, order }
    }

    /// Area under the receiver's curve: the probability that a positive one scores higher than a negative one, ties
    /// counted half. It does not depend on how many there are of each class.
    pub fn area(&self, weights: &[f64]) -> f64 {
        let (mut above, mut area, mut total) = (0.0, 0.0, 0.0);
        self.ties(weights, |positive, negative| {
            area += negative * (above + positive / 2.0);
            above += positive;
            total += negative;
        });
        if above * total > 0.0 { area / (above * total) } else { f64::NAN }
    }

    /// Average precision (area under precision over recall, as steps), if `share` of all were positive.
    pub fn precision(&self, weights: &[f64], share: f64) -> f64 {
        let [p, n] = self.totals(weights);
        let (mut hits, mut others, mut sum) = (0.0, 0.0, 0.0);
        self.ties(weights, |positive, negative| {
            hits += share * positive / p;
            others += (1.0 - share) * negative / n;
            if hits + others > 0.0 {
                sum += positive / p * hits / (hits + others);
            }
        });
        sum
    }

    /// Share of right answers when scores above 0 are taken for positive, if `share` of all were positive.
    pub fn accuracy(&self, weights: &[f64], share: f64) -> f64 {
        let [p, n] = self.totals(weights);
        let right = |class: bool| {
            let of = |i: &usize| self.positive[*i] == class && (self.scores[*i] > 0.0) == class;
            (0..self.scores.len()).filter(of).map(|i| weights[i]).sum::<f64>()
        };
        share * right(true) / p + (1.0 - share) * right(false) / n
    }

    /// The share of the positive class as it is.
    pub fn share(&self, weights: &[f64]) -> f64 {
        let [p, n] = self.totals(weights);
        p / (p + n)
    }

    fn totals(&self, weights: &[f64]) -> [f64; 2] {
        let mut sums = [0.0; 2];
        self.positive.iter().zip(weights).for_each(|(p, w)| sums[usize::from(!p)] += w);
        sums
    }

    /// Weights of both classes at each score, from the highest.
    fn ties(&self, weights: &[f64], mut see: impl FnMut(f64, f64)) {
        for tie in self.order.chunk_by(|a, b| self.scores[*a] == self.scores[*b]) {
            let sum = |class: bool| tie.iter().filter(|i| self.positive[**i] == class).map(|i| weights[*i]).sum();
            see(sum(true), sum(false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_count_pairs_and_ties_are_half() {
        let s = Scored::new(vec![0.9, 0.4, 0.4, -0.1], vec![true, true, false, false]);
        let w = [1.0; 4];
        assert_eq!(s.area(&w), 3.5 / 4.0);
        assert_eq!(s.accuracy(&w, 0.5), 0.75);
        assert!((s.accuracy(&w, 0.2) - (0.2 + 0.8 * 0.5)).abs() < 1e-12);
        // Steps at 0.9 (precision 1) and at 0.4 (precision 2/3).
        assert!((s.precision(&w, 0.5) - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
        // As many negatives for each positive as four to one.
        assert!((s.precision(&w, 0.2) - (0.5 + 0.5 * 0.2 / 0.6)).abs() < 1e-12);
        // A weight of two is the same as the row twice.
        let twice = Scored::new(vec![0.9, 0.4, 0.4, -0.1, 0.4], vec![true, true, false, false, false]);
        assert_eq!(s.area(&[1.0, 1.0, 2.0, 1.0]), twice.area(&[1.0; 5]));
    }
}

//! Means, slopes and their 95% intervals: percentile bootstrap over clusters, fixed seed.

use std::collections::BTreeMap;
use std::fmt;

const ROUNDS: usize = 1000;

/// A figure and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its value on all observations.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Wholly on the side of `planted`.
    pub fn is_present(&self, planted: f64) -> bool {
        if planted > 0.0 { self.low > 0.0 } else { self.high < 0.0 }
    }

    /// Equivalent to zero: wholly inside a quarter of `planted`, which was said before.
    pub fn is_absent(&self, planted: f64) -> bool {
        let margin = planted.abs() / 4.0;
        -margin < self.low && self.high < margin
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:+.3} [{:+.3}, {:+.3}]", self.value, self.low, self.high)
    }
}

/// What is computed from observations (x, y).
#[derive(Clone, Copy, Debug)]
pub enum Figure {
    /// The mean of y.
    Mean,
    /// The slope of y on x.
    Slope,
}

/// Observations of one cluster, added up: n, x, y, x², xy.
type Sums = [f64; 5];

/// Observations in clusters.
#[derive(Clone, Debug, Default)]
pub struct Sample(BTreeMap<String, Sums>);

impl Sample {
    /// Adds an observation.
    pub fn add(&mut self, cluster: &str, x: f64, y: f64) {
        let sums = self.0.entry(cluster.to_owned()).or_default();
        sums.iter_mut().zip([1.0, x, y, x * x, x * y]).for_each(|(sum, value)| *sum += value);
    }

    /// Clusters.
    pub fn clusters(&self) -> usize {
        self.0.len()
    }

    /// Observations.
    pub fn n(&self) -> usize {
        self.0.values().map(|sums| sums[0] as usize).sum()
    }

    /// A figure minus `zero`.
    pub fn interval(&self, figure: Figure, zero: f64) -> Interval {
        let clusters: Vec<&Sums> = self.0.values().collect();
        bootstrap(clusters.len(), |draw| figure.of(draw.iter().map(|at| clusters[*at])) - zero)
    }

    /// A figure minus the same of another sample of the same clusters, which are drawn together.
    pub fn difference(&self, other: &Sample, figure: Figure) -> Interval {
        assert!(self.0.keys().eq(other.0.keys()), "pairs are of the same clusters");
        let pairs: Vec<(&Sums, &Sums)> = self.0.values().zip(other.0.values()).collect();
        bootstrap(pairs.len(), |draw| {
            figure.of(draw.iter().map(|at| pairs[*at].0)) - figure.of(draw.iter().map(|at| pairs[*at].1))
        })
    }
}

impl Figure {
    fn of<'a>(self, clusters: impl Iterator<Item = &'a Sums>) -> f64 {
        let mut all = Sums::default();
        clusters.for_each(|sums| all.iter_mut().zip(sums).for_each(|(sum, value)| *sum += value));
        let [n, x, y, xx, xy] = all;
        match self {
            Self::Mean => y / n,
            Self::Slope => (n * xy - x * y) / (n * xx - x * x).max(1e-12),
        }
    }
}

fn bootstrap(clusters: usize, figure: impl Fn(&[usize]) -> f64) -> Interval {
    let mut state = 0_u64;
    // SplitMix64; the bias of the remainder is 1e-16.
    let mut below = |limit: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    };
    let mut draw: Vec<usize> = (0..clusters).collect();
    let value = figure(&draw);
    let mut values: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            draw.fill_with(|| below(clusters));
            figure(&draw)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[(share * (ROUNDS - 1) as f64).round() as usize];
    Interval { value, low: at(0.025), high: at(0.975) }
}

/// The share of right answers; Wilson's interval, which stays honest near 1.
pub fn share(right: usize, n: usize) -> Interval {
    let (z, p, n) = (1.959_964_f64, right as f64 / n as f64, n as f64);
    let (scale, middle) = (1.0 + z * z / n, p + z * z / (2.0 * n));
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    Interval { value: p, low: (middle - half) / scale, high: (middle + half) / scale }
}

#[test]
fn intervals_decide() {
    let sample = |noise: f64| {
        let mut sample = Sample::default();
        for n in 0..400_u32 {
            let (x, odd) = (f64::from(n / 2 % 10), f64::from(n % 2) - 0.5);
            sample.add(&(n / 2).to_string(), x, 0.3 * x + 5.0 + noise * odd * f64::from(n % 7));
        }
        sample
    };
    let steep = sample(1.0).interval(Figure::Slope, 0.0);
    assert!((steep.value - 0.3).abs() < 0.05 && steep.low < steep.value && steep.value < steep.high, "{steep}");
    assert!(steep.is_present(1.0) && !steep.is_present(-1.0) && !steep.is_absent(1.0), "{steep}");
    let none = sample(1.0).interval(Figure::Slope, 0.3);
    assert!(none.is_absent(1.0) && !none.is_present(1.0) && !none.is_present(-1.0), "{none}");
    let unclear = sample(20.0).interval(Figure::Slope, 0.3);
    assert!(!unclear.is_absent(1.0) && !unclear.is_present(1.0) && !unclear.is_present(-1.0), "{unclear}");
    // Paired: what both have in common has no part in it.
    assert_eq!(sample(3.0).difference(&sample(3.0), Figure::Slope), Interval { value: 0.0, low: 0.0, high: 0.0 });
    let all = share(200, 200);
    assert!(all.low > 0.98 && all.low < 0.982 && (all.high - 1.0).abs() < 1e-9, "{all}");
}

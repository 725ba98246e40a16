//! Splits examples into three parts that share no group and no text.

use std::collections::HashMap;

use evenkeel_model::Random;

use super::Examples;
use crate::failure::Failure;

/// What a part of the examples is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Directions, probes and erasers are fitted on it.
    Fit,
    /// Layers and strength are chosen on it; never reported.
    Choose,
    /// What is reported is measured on it.
    Report,
}

/// Shares of the parts.
const SHARES: [(Part, f64); 3] = [(Part::Fit, 0.6), (Part::Choose, 0.2), (Part::Report, 0.2)];

/// Components that are needed: fewer make parts of one or two sentences.
const LEAST: usize = 10;

/// The part of each example, and the cluster it belongs to.
#[derive(Debug, Clone)]
pub struct Split {
    pub part: Vec<Part>,
    /// A number for each set of examples that share a group or a text, directly or through others.
    pub cluster: Vec<usize>,
}

impl Split {
    /// The examples of a part, in order.
    pub fn of(&self, part: Part) -> Vec<usize> {
        (0..self.part.len()).filter(|i| self.part[*i] == part).collect()
    }
}

/// Splits by clusters, the same way for the same seed.
///
/// # Errors
/// Too few clusters, or a class that a part would be without.
pub fn split(examples: &Examples, seed: u64) -> Result<Split, Failure> {
    let cluster = clusters(examples);
    let n = cluster.iter().max().map_or(0, |m| m + 1);
    if n < LEAST {
        return Err(Failure::usage(format!(
            "{} texts in {n} groups that share nothing, but at least {LEAST} groups are needed to learn, choose and report apart",
            examples.all.len()
        ))
        .todo("give more examples, or a finer `group`; texts that repeat tie their groups together"));
    }
    let mut sizes = vec![0usize; n];
    cluster.iter().for_each(|c| sizes[*c] += 1);
    let mut order: Vec<usize> = (0..n).collect();
    let mut random = Random::named(seed, "split");
    for i in (1..n).rev() {
        order.swap(i, (random.bits() % (i as u64 + 1)) as usize);
    }
    // Each cluster goes to the part that lacks most of its share.
    let total = examples.all.len() as f64;
    let mut have = [0.0; 3];
    let mut of = vec![Part::Fit; n];
    for c in order {
        let lack = |p: usize| SHARES[p].1 - have[p] / total;
        let p = (0..3).max_by(|a, b| lack(*a).total_cmp(&lack(*b))).unwrap_or(0);
        have[p] += sizes[c] as f64;
        of[c] = SHARES[p].0;
    }
    let split = Split { part: cluster.iter().map(|c| of[*c]).collect(), cluster };
    for (part, _) in SHARES {
        let of = split.of(part);
        let positive = of.iter().filter(|i| examples.all[**i].positive).count();
        if positive == 0 || positive == of.len() {
            let what = "one class is missing in one of the parts to learn, choose and report on";
            return Err(Failure::usage(what).todo("give more examples of the rarer class, or another --seed"));
        }
    }
    Ok(split)
}

/// Numbers the sets of examples that are connected by a group, a text or a pair.
fn clusters(examples: &Examples) -> Vec<usize> {
    let n = examples.all.len();
    let mut parent: Vec<usize> = (0..n).collect();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    let mut first: HashMap<(u8, &str, &str), usize> = HashMap::new();
    let unit = examples.unit();
    for (i, e) in examples.all.iter().enumerate() {
        let ties = [(0, "", e.group.as_str()), (1, e.prompt.as_str(), e.text.as_str())];
        let others = ties.map(|key| *first.entry(key).or_insert(i));
        for other in others.into_iter().chain([i / unit * unit]) {
            let (a, b) = (root(&mut parent, i), root(&mut parent, other));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut numbers = HashMap::new();
    (0..n)
        .map(|i| {
            let next = numbers.len();
            *numbers.entry(root(&mut parent, i)).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::examples::{Example, Origin, Problems};

    fn examples(n: usize, group: impl Fn(usize) -> String, text: impl Fn(usize) -> String) -> Examples {
        let all = (0..n).map(|i| Example {
            prompt: String::new(),
            text: text(i),
            positive: i % 2 == 0,
            group: group(i),
            origin: Origin { file: PathBuf::new(), line: i + 1 },
        });
        let names = ["a", "b"].map(String::from);
        Examples { all: all.collect(), paired: false, names, problems: Problems::default(), sha256: String::new() }
    }

    #[test]
    fn parts_share_no_group_and_no_text() {
        let data = examples(400, |i| format!("g{}", i / 3), |i| format!("t{}", i / 2 * 7 % 180));
        let split = split(&data, 1).expect("enough");
        for (i, a) in data.all.iter().enumerate() {
            for (j, b) in data.all.iter().enumerate() {
                if a.group == b.group || a.text == b.text {
                    assert_eq!((split.part[i], split.cluster[i]), (split.part[j], split.cluster[j]));
                }
            }
        }
        let data = examples(200, |i| format!("g{}", i / 4), |i| format!("t{i}"));
        let parts = super::split(&data, 1).expect("enough");
        let sizes = [Part::Fit, Part::Choose, Part::Report].map(|p| parts.of(p).len());
        assert_eq!(sizes, [120, 40, 40]);
        assert_ne!(parts.part, super::split(&data, 2).expect("enough").part);
        assert_eq!(parts.part, super::split(&data, 1).expect("enough").part);
    }

    #[test]
    fn too_few_groups_are_told() {
        let few = examples(100, |i| format!("g{}", i % 5), |i| format!("t{i}"));
        assert!(split(&few, 1).unwrap_err().to_string().contains("5 groups"));
    }
}

//! Word and sentence association: whether two sets of targets are unequally near to two sets of attributes.
//!
//! With s(w) the mean cosine to the first attributes less that to the second, the effect size is the difference of the
//! targets' means of s over the standard deviation of all (Caliskan et al. 2017, equation of the effect size; May et al.
//! 2019 with sentences). Where words have several contexts, one of each is drawn a thousand times, and the effects are
//! combined by a random-effects model (Guo and Caliskan 2021).

use evenkeel_model::Random;
use serde_json::Value;

use super::{Found, Line, Read, RowSaid, layer_name, rows_of};
use crate::{
    capture::Store,
    estimate::{Clusters, Interval, dot, unit},
    examples::{Kind, Problems},
    failure::Failure,
    suite::File,
};

/// The two targets and the two attributes: for each word the lines that are its contexts.
pub struct Sets {
    sets: [Vec<Vec<usize>>; 4],
    names: [String; 4],
}

const DRAWS: usize = 1000;

/// An object with `targ1`, `targ2`, `attr1`, `attr2`, each with `category` and `examples`: a list of texts, or an object
/// that has for each word a list of contexts.
pub fn read(file: &File, problems: &mut Problems) -> Result<(Sets, Vec<Line>), Failure> {
    let whole: Value = serde_json::from_str(&file.text).map_err(|e| file.bad(format!("is no JSON: {e}")))?;
    let (mut lines, mut names) = (Vec::new(), Vec::new());
    let mut line = |text: &str, at: Read| {
        lines.push(Line { prompt: String::new(), text: text.to_owned(), at, origin: file.origin(lines.len() + 1) });
        lines.len() - 1
    };
    let mut set = |key: &str| -> Result<Vec<Vec<usize>>, Failure> {
        let own = &whole[key];
        names.push(own["category"].as_str().unwrap_or(key).to_owned());
        let words: Vec<Vec<usize>> = match &own["examples"] {
            Value::Array(list) => list.iter().filter_map(|t| Some(vec![line(t.as_str()?, Read::Last)])).collect(),
            Value::Object(words) => {
                let contexts = |(word, list): (&String, &Value)| -> Vec<usize> {
                    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
                    let found = texts.filter_map(|text| match text.to_lowercase().find(&word.to_lowercase()) {
                        Some(at) if text.is_char_boundary(at + word.len()) => {
                            Some(line(text, Read::Before(at + word.len())))
                        }
                        _ => {
                            problems.add(Kind::Field, &file.origin(1), format!("\"{word}\" is not in \"{text}\""));
                            None
                        }
                    });
                    found.collect()
                };
                words.iter().map(contexts).filter(|c| !c.is_empty()).collect()
            }
            _ => Vec::new(),
        };
        match words.len() {
            0 | 1 => Err(file
                .bad(format!("`{key}.examples` has {} usable texts, needed: 2", words.len()))
                .todo("wanted: targ1, targ2, attr1 and attr2, each with category and examples")),
            _ => Ok(words),
        }
    };
    let sets = [set("targ1")?, set("targ2")?, set("attr1")?, set("attr2")?];
    let names = <[String; 4]>::try_from(names).unwrap_or_default();
    Ok((Sets { sets, names }, lines))
}

/// Effect sizes by layer.
pub fn figures(sets: &Sets, row: &[Option<usize>], stores: &[Store]) -> std::io::Result<(String, Vec<RowSaid>)> {
    let here = |words: &Vec<Vec<usize>>| -> Vec<Vec<usize>> {
        let own = words.iter().map(|c| c.iter().filter_map(|l| row[*l]).collect::<Vec<usize>>());
        own.filter(|c| !c.is_empty()).collect()
    };
    let sets_here = sets.sets.each_ref().map(here);
    let several = sets_here.iter().flatten().any(|c| c.len() > 1);
    let layers = stores.first().map(Store::layers).unwrap_or_default();
    let one = |layer: &usize| -> std::io::Result<RowSaid> {
        let arm = |store: &Store| -> std::io::Result<Found> {
            let rows: Vec<Vec<f64>> = rows_of(store, *layer)?.iter().map(|r| unit(r)).collect();
            Ok(if several { contextual(&rows, &sets_here) } else { plain(&rows, &sets_here) })
        };
        let arms = stores.iter().map(arm).collect::<std::io::Result<_>>()?;
        Ok(RowSaid { name: layer_name(*layer, layers.len()), arms })
    };
    let rows = layers.iter().map(one).collect::<std::io::Result<_>>()?;
    let [x, y, a, b] = &sets.names;
    let method = if several { "CEAT" } else { "WEAT/SEAT" };
    Ok((format!("{method} effect size: {x} rather than {y} near {a} rather than {b}"), rows))
}

/// How much nearer a row is to the first attributes.
fn leaning(row: &[f64], a: &[&Vec<f64>], b: &[&Vec<f64>]) -> f64 {
    let mean = |set: &[&Vec<f64>]| set.iter().map(|r| dot(row, r)).sum::<f64>() / set.len() as f64;
    mean(a) - mean(b)
}

/// Difference of the means over the standard deviation of all. The first `n` values are the first target's.
fn size(values: &[f64], weights: &[f64], n: usize) -> f64 {
    let mean = |part: std::ops::Range<usize>| {
        let total: f64 = weights[part.clone()].iter().sum();
        part.map(|i| weights[i] * values[i]).sum::<f64>() / total
    };
    let (all, total) = (mean(0..values.len()), weights.iter().sum::<f64>());
    let squares: f64 = values.iter().zip(weights).map(|(v, w)| w * (v - all).powi(2)).sum();
    (mean(0..n) - mean(n..values.len())) / (squares / (total - 1.0)).sqrt()
}

fn plain(rows: &[Vec<f64>], sets: &[Vec<Vec<usize>>; 4]) -> Found {
    let of = |set: &Vec<Vec<usize>>| -> Vec<&Vec<f64>> { set.iter().map(|c| &rows[c[0]]).collect() };
    let [x, y, a, b] = sets.each_ref().map(of);
    let values: Vec<f64> = x.iter().chain(&y).map(|r| leaning(r, &a, &b)).collect();
    let value = Clusters::new(0..values.len()).interval(|w| size(&values, w, x.len()));
    // How often targets that are dealt anew are as far apart.
    let far = |values: &[f64]| size(values, &vec![1.0; values.len()], x.len()).abs();
    let (own, mut dealt) = (far(&values), values.clone());
    let mut random = Random::named(1, "permutation");
    let mut as_far = 0;
    for _ in 0..DRAWS {
        for i in (1..dealt.len()).rev() {
            dealt.swap(i, (random.bits() % (i as u64 + 1)) as usize);
        }
        as_far += usize::from(far(&dealt) >= own - 1e-12);
    }
    Found { value, p: Some((as_far + 1) as f64 / (DRAWS + 1) as f64) }
}

fn contextual(rows: &[Vec<f64>], sets: &[Vec<Vec<usize>>; 4]) -> Found {
    let mut random = Random::named(1, "contexts");
    let [nx, ny] = [sets[0].len(), sets[1].len()];
    let mut found: Vec<[f64; 2]> = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let mut draw = |set: &Vec<Vec<usize>>| -> Vec<&Vec<f64>> {
            set.iter().map(|c| &rows[c[(random.bits() % c.len() as u64) as usize]]).collect()
        };
        let [x, y, a, b] = [draw(&sets[0]), draw(&sets[1]), draw(&sets[2]), draw(&sets[3])];
        let values: Vec<f64> = x.iter().chain(&y).map(|r| leaning(r, &a, &b)).collect();
        let d = size(&values, &vec![1.0; values.len()], nx);
        if d.is_finite() {
            // The variance of a standardised mean difference.
            let n = (nx + ny) as f64;
            found.push([d, n / (nx * ny) as f64 + d * d / (2.0 * n)]);
        }
    }
    combined(&found)
}

/// The random-effects model of DerSimonian and Laird (1986) over effects and their variances.
fn combined(found: &[[f64; 2]]) -> Found {
    let sum = |of: &dyn Fn(&[f64; 2]) -> f64| found.iter().map(of).sum::<f64>();
    let (w, ww) = (sum(&|e| 1.0 / e[1]), sum(&|e| 1.0 / (e[1] * e[1])));
    let fixed = sum(&|e| e[0] / e[1]) / w;
    let q = sum(&|e| (e[0] - fixed).powi(2) / e[1]);
    let between = ((q - (found.len() as f64 - 1.0)) / (w - ww / w)).max(0.0);
    let total = sum(&|e| 1.0 / (e[1] + between));
    let value = sum(&|e| e[0] / (e[1] + between)) / total;
    let error = (1.0 / total).sqrt();
    let value = Interval { value, low: value - 1.959_964 * error, high: value + 1.959_964 * error };
    Found { value, p: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effect_sizes_are_the_papers() {
        // Means 2 and −1, all values' mean 0.5, squares 2.25 · 2 + ... = 0.25+6.25+0.25+... by hand below.
        let values = [1.0, 3.0, -2.0, 0.0];
        let deviation = ((0.25 + 6.25 + 6.25 + 0.25) / 3.0f64).sqrt();
        assert!((size(&values, &[1.0; 4], 2) - 3.0 / deviation).abs() < 1e-12);
    }

    #[test]
    fn associations_are_found_and_chance_is_not() {
        let row = |angle: f64| vec![angle.cos(), angle.sin()];
        // Two attributes at 0 and 90 degrees; first targets near the one, second near the other.
        let rows: Vec<Vec<f64>> = [0.1, 0.2, 0.15, 0.3, 1.4, 1.5, 1.3, 1.45, 0.0, 0.05, 1.57, 1.5].map(row).into();
        let set = |from: usize, n: usize| (from..from + n).map(|i| vec![i]).collect::<Vec<_>>();
        let found = plain(&rows, &[set(0, 4), set(4, 4), set(8, 2), set(10, 2)]);
        assert!(found.value.low > 1.0 && found.p.unwrap() < 0.05, "{} {:?}", found.value, found.p);
        let mixed = |k: usize| vec![vec![k], vec![k + 4], vec![k + 1], vec![k + 5]];
        let none = plain(&rows, &[mixed(0), mixed(2), set(8, 2), set(10, 2)]);
        assert!(none.p.unwrap() > 0.3 && !none.value.apart(), "{} {:?}", none.value, none.p);
        let several = |a: usize, b: usize| vec![vec![a, a + 1], vec![b, b + 1]];
        let found = contextual(&rows, &[several(0, 2), several(4, 6), set(8, 2), set(10, 2)]);
        assert!(found.value.low > 0.5, "{}", found.value);
    }

    #[test]
    fn effects_without_spread_are_their_mean() {
        let found = combined(&[[0.5, 0.1], [0.5, 0.2]]);
        assert!((found.value.value - 0.5).abs() < 1e-12);
        assert!((found.value.high - 0.5 - 1.959_964 * (1.0f64 / 15.0).sqrt()).abs() < 1e-9);
    }
}

//! BiasLens (Gao et al. 2025, arXiv 2505.15524): a concept's direction is the normal of a logistic regression that tells
//! texts with it from others by their last token; the bias is how much nearer, as a cosine, the target's direction is to
//! one reference's than to the other's. The paper passes directions through a sparse autoencoder besides; here they are
//! compared as they are.

use serde_json::Value;

use super::{Found, Line, Read, RowSaid, layer_name};
use crate::{
    capture::Store,
    estimate::{Interval, Rows as _, dot, logistic, moments, unit},
    failure::Failure,
    suite::File,
};

/// Lines of one concept.
struct Concept {
    name: String,
    positive: Vec<usize>,
    negative: Vec<usize>,
}

/// The target, and the two that it is compared with.
pub struct Concepts([Concept; 3]);

/// Parts that are left out one at a time.
const GROUPS: usize = 10;
/// As the probes of learn have it.
const C: f64 = 1.0;

/// An object with `target` and a list of two `references`, each with `name`, `positive` and `negative` texts.
pub fn read(file: &File) -> Result<(Concepts, Vec<Line>), Failure> {
    let whole: Value = serde_json::from_str(&file.text).map_err(|e| file.bad(format!("is no JSON: {e}")))?;
    let mut lines = Vec::new();
    let mut concept = |value: &Value, key: &str| -> Result<Concept, Failure> {
        let mut texts = |side: &str| -> Result<Vec<usize>, Failure> {
            let list = value[side].as_array().map(|l| l.iter().filter_map(Value::as_str).collect::<Vec<_>>());
            let list = list.unwrap_or_default();
            if list.len() < GROUPS {
                return Err(file
                    .bad(format!("`{key}.{side}` has {} texts, needed: {GROUPS}", list.len()))
                    .todo("wanted: `target` and a list of two `references`, each with name, positive and negative"));
            }
            let first = lines.len();
            lines.extend(list.iter().enumerate().map(|(i, text)| Line {
                prompt: String::new(),
                text: (*text).to_owned(),
                at: Read::Last,
                origin: file.origin(first + i + 1),
            }));
            Ok((first..lines.len()).collect())
        };
        let (positive, negative) = (texts("positive")?, texts("negative")?);
        Ok(Concept { name: value["name"].as_str().unwrap_or(key).to_owned(), positive, negative })
    };
    let target = concept(&whole["target"], "target")?;
    let references =
        [concept(&whole["references"][0], "references[0]")?, concept(&whole["references"][1], "references[1]")?];
    let [a, b] = references;
    Ok((Concepts([target, a, b]), lines))
}

/// Differences of cosines by layer.
pub fn figures(
    concepts: &Concepts,
    row: &[Option<usize>],
    stores: &[Store],
) -> std::io::Result<(String, Vec<RowSaid>)> {
    let layers = stores.first().map(Store::layers).unwrap_or_default();
    let one = |layer: &usize| -> std::io::Result<RowSaid> {
        let arm = |store: &Store| Ok(Found { value: lens(concepts, row, store, *layer)?, p: None });
        Ok(RowSaid {
            name: layer_name(*layer, layers.len()),
            arms: stores.iter().map(arm).collect::<std::io::Result<_>>()?,
        })
    };
    let rows = layers.iter().map(one).collect::<std::io::Result<_>>()?;
    let [t, a, b] = concepts.0.each_ref().map(|c| c.name.as_str());
    Ok((format!("BiasLens: cosine of {t} with {a}, less that with {b}"), rows))
}

/// With an interval from a jackknife over groups of texts.
fn lens(concepts: &Concepts, row: &[Option<usize>], store: &Store, layer: usize) -> std::io::Result<Interval> {
    let rows = store.layer(layer);
    let without = |group: Option<usize>| -> std::io::Result<f64> {
        let direction = |concept: &Concept| -> std::io::Result<Vec<f64>> {
            let (mut weights, mut positive) = (vec![0.0; rows.len()], vec![false; rows.len()]);
            for (side, lines) in [(true, &concept.positive), (false, &concept.negative)] {
                for (i, line) in lines.iter().enumerate().filter(|(i, _)| Some(i % GROUPS) != group) {
                    let _ = i;
                    if let Some(at) = row[*line] {
                        (weights[at], positive[at]) = (1.0, side);
                    }
                }
            }
            let moments = moments(&rows, &weights, &positive)?;
            Ok(unit(&logistic(&rows, &weights, &positive, &moments, C)?.weights))
        };
        let [t, a, b] = &concepts.0;
        let t = direction(t)?;
        Ok(dot(&t, &direction(a)?) - dot(&t, &direction(b)?))
    };
    let value = without(None)?;
    let left = (0..GROUPS).map(|g| without(Some(g))).collect::<std::io::Result<Vec<f64>>>()?;
    let mean = left.iter().sum::<f64>() / GROUPS as f64;
    let squares: f64 = left.iter().map(|v| (v - mean).powi(2)).sum();
    // Student's t for nine degrees of freedom.
    let half = 2.262 * (squares * (GROUPS - 1) as f64 / GROUPS as f64).sqrt();
    Ok(Interval { value, low: value - half, high: value + half })
}

//! CHES, the centred hidden embedding similarity of a preference pair (Razin et al. 2025, arXiv 2410.08847, definition 2 and
//! its length-normalised form): how much of the chosen answer's hidden embeddings the rejected one's share. Pairs with high
//! scores are those on which preference tuning displaces the chosen answer's likelihood.

use super::{Found, Line, Read, RowSaid, rows_of};
use crate::{
    capture::Store,
    estimate::{Clusters, dot},
    examples::{Kind, Problems},
    failure::Failure,
    suite::{File, text},
};

/// Lines of the chosen and the rejected answer.
pub struct Pairs(Vec<[usize; 2]>);

pub fn read(file: &File, problems: &mut Problems) -> Result<(Pairs, Vec<Line>), Failure> {
    let (mut pairs, mut lines) = (Vec::new(), Vec::new());
    for (number, row) in file.rows(problems) {
        let all = (text(&row, "prompt"), text(&row, "chosen"), text(&row, "rejected"));
        let (Ok(prompt), Ok(chosen), Ok(rejected)) = all else {
            problems.add(Kind::Field, &file.origin(number), "wanted: prompt, chosen and rejected, as texts");
            continue;
        };
        let line =
            |text: String| Line { prompt: prompt.clone(), text, at: Read::Foretelling, origin: file.origin(number) };
        lines.extend([line(chosen), line(rejected)]);
        pairs.push([lines.len() - 2, lines.len() - 1]);
    }
    if pairs.is_empty() {
        return Err(file.bad("holds no pair").todo("wanted: JSON lines with prompt, chosen and rejected"));
    }
    Ok((Pairs(pairs), lines))
}

/// Over the hidden embeddings from which tokens are foretold: after the final norm.
pub fn figures(pairs: &Pairs, row: &[Option<usize>], stores: &[Store]) -> std::io::Result<(String, Vec<RowSaid>)> {
    let Some(last) = stores.first().and_then(|s| s.layers().last().copied()) else {
        return Ok((String::new(), Vec::new()));
    };
    let arm = |store: &Store| -> std::io::Result<Found> {
        let rows = rows_of(store, last)?;
        let both = pairs.0.iter().filter_map(|[a, b]| Some((&rows[row[*a]?], &rows[row[*b]?])));
        let values: Vec<f64> = both.map(|(chosen, rejected)| score(chosen, rejected)).collect();
        Ok(Found { value: Clusters::new(0..values.len()).mean(&values), p: None })
    };
    let arms = stores.iter().map(arm).collect::<std::io::Result<_>>()?;
    Ok(("CHES, length-normalised: mean over pairs".into(), vec![RowSaid { name: "final norm".into(), arms }]))
}

/// From the mean embeddings of both answers: with sums over tokens divided by the lengths, ⟨chosen, rejected⟩ − |chosen|².
fn score(chosen: &[f64], rejected: &[f64]) -> f64 {
    dot(chosen, rejected) - dot(chosen, chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_answers_score_nothing_and_larger_ones_along_them_more() {
        let chosen = [1.0, 2.0];
        assert_eq!(score(&chosen, &chosen), 0.0);
        assert_eq!(score(&chosen, &[2.0, 4.0]), 5.0);
        assert_eq!(score(&chosen, &[-2.0, 1.0]), -5.0);
    }
}

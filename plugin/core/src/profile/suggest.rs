//! "Did you mean": the nearest of a list of words.

/// The candidate most similar to `got`, if one is similar enough to be a slip.
pub(crate) fn nearest<'a>(got: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A long text is no slip, and the comparison's cost grows with its length.
    if got.chars().count() > 64 {
        return None;
    }
    let got = got.to_lowercase().replace('_', "-");
    candidates
        .map(|c| (strsim::damerau_levenshtein(&got, c), c))
        .filter(|(distance, c)| *distance <= (c.len().min(got.len()) / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let keys = ["strength", "layers", "site", "name", "asset-dirs"];
        let of = |got: &str| nearest(got, keys.into_iter());
        assert_eq!(of("strenght"), Some("strength"));
        assert_eq!(of("layer"), Some("layers"));
        assert_eq!(of("asset_dirs"), Some("asset-dirs"));
        assert_eq!(of("Name"), Some("name"));
        assert_eq!(of("colour"), None);
        assert_eq!(of(&"x".repeat(1000)), None);
    }
}

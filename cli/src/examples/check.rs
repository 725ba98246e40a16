//! Leaves out what would mislead: empty texts, duplicates, texts that both classes have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Examples, Kind};

/// What two examples are compared by.
type Key = (String, String);

pub(super) fn check(examples: &mut Examples) {
    let unit = examples.unit();
    examples.leave_out(Kind::Empty, |_, e| {
        e.text.trim().is_empty().then(|| if e.positive { "the positive text" } else { "the negative text" }.into())
    });
    let key = |examples: &Examples, i: usize| -> Key {
        let e = &examples.all[i];
        (e.prompt.clone(), e.text.clone())
    };
    let first = |keys: &[Vec<(Key, bool)>]| {
        let mut seen: HashMap<Vec<(Key, bool)>, usize> = HashMap::new();
        let mut again = BTreeMap::new();
        for (u, k) in keys.iter().enumerate() {
            match seen.get(k) {
                Some(first) => {
                    again.insert(u, *first);
                }
                None => {
                    seen.insert(k.clone(), u);
                }
            }
        }
        again
    };
    let units: Vec<Vec<(Key, bool)>> = (0..examples.all.len() / unit)
        .map(|u| (u * unit..(u + 1) * unit).map(|i| (key(examples, i), examples.all[i].positive)).collect())
        .collect();
    let again = first(&units);
    let lines: Vec<usize> = examples.all.iter().map(|e| e.origin.line).collect();
    examples.leave_out(Kind::Duplicate, |i, _| {
        let first = again.get(&(i / unit))?;
        Some(format!("as line {}", lines[first * unit]))
    });
    let texts = |positive: bool| -> BTreeSet<Key> {
        (0..examples.all.len()).filter(|i| examples.all[*i].positive == positive).map(|i| key(examples, i)).collect()
    };
    let both: BTreeSet<Key> = texts(true).intersection(&texts(false)).cloned().collect();
    examples.leave_out(Kind::BothClasses, |_, e| {
        let key = (e.prompt.clone(), e.text.clone());
        both.contains(&key).then(|| format!("\"{}\"", e.text.chars().take(40).collect::<String>().escape_debug()))
    });
}

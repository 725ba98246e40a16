//! `configs/reference.toml` is complete, and every profile in `configs/` can be read.

use std::collections::BTreeSet;
use std::path::Path;

use evenkeel_core::profile::{KEYS, Kind, Profile};

fn configs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(configs().join(name)).unwrap()
}

/// The paths of all keys of a table and of those in it; a condition in a condition has the keys of one.
fn keys(path: &str, table: &toml::Table, found: &mut BTreeSet<String>) {
    for (name, value) in table {
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let inner = if path == "steer.when" { path } else { &full };
        let one = std::slice::from_ref(value);
        let tables = value.as_array().map_or(one, Vec::as_slice).iter().filter_map(|v| v.as_table());
        tables.for_each(|table| keys(inner, table, found));
        found.insert(full);
    }
}

#[test]
fn the_reference_has_every_key_with_its_meaning() {
    let text = read("reference.toml");
    let table: toml::Table = toml::from_str(&text).unwrap();
    let mut found = BTreeSet::new();
    keys("", &table, &mut found);
    let expected: BTreeSet<String> = KEYS.iter().map(|k| k.path.to_owned()).collect();
    assert_eq!(found, expected);
    // Comments are wrapped; compared without line breaks and comment signs.
    let bare = text.lines().map(|line| line.trim_start().trim_start_matches('#')).collect::<Vec<_>>().join(" ");
    let prose = bare.split_whitespace().collect::<Vec<_>>().join(" ");
    for key in KEYS {
        let doc = key.doc.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(prose.contains(&doc), "the comment on {} must say: {doc}", key.path);
        if !matches!(key.kind, Kind::Table | Kind::Tables) {
            let default = format!("Default: {}.", key.default);
            assert!(prose.contains(&default), "{}: {default}", key.path);
        }
    }
}

#[test]
fn every_profile_here_can_be_read() {
    let mut found = 0;
    for folder in ["", "server", "order"] {
        for entry in std::fs::read_dir(configs().join(folder)).unwrap() {
            let name = Path::new(folder).join(entry.unwrap().file_name()).to_string_lossy().into_owned();
            if name.ends_with(".toml") {
                Profile::parse(&read(&name), &name).unwrap_or_else(|e| panic!("{e}"));
                found += 1;
            }
        }
    }
    assert!(found > 10, "{found} profiles");
}

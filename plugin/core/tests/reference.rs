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

#[test]
fn the_reference_has_every_key_with_its_meaning() {
    let text = read("reference.toml");
    let table: toml::Table = toml::from_str(&text).unwrap();
    let mut found = BTreeSet::new();
    for (name, value) in &table {
        found.insert(name.clone());
        let one = std::slice::from_ref(value);
        let tables = value.as_array().map_or(one, Vec::as_slice).iter().filter_map(|v| v.as_table());
        found.extend(tables.flatten().map(|(key, _)| format!("{name}.{key}")));
    }
    let expected: BTreeSet<String> = KEYS.iter().map(|k| k.path.to_owned()).collect();
    assert_eq!(found, expected);
    // Comments are wrapped; compared without line breaks and comment signs.
    let prose = text.replace("\n#", "").split_whitespace().collect::<Vec<_>>().join(" ");
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
    for entry in std::fs::read_dir(configs()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if name.ends_with(".toml") {
            Profile::parse(&read(&name), &name).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

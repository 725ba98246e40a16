//! The exported symbols are exactly those of `tests/exports.txt`.

use std::{fs, path::Path};

use object::{Object as _, ObjectSymbol as _};

use super::support::*;

/// The names of the dynamic symbols that a shared library defines, sorted.
pub fn exported(library: &Path) -> Vec<String> {
    let bytes = fs::read(library).expect("the library can be read");
    let file = object::File::parse(&*bytes).expect("the library is an object file");
    let defined = file.dynamic_symbols().filter(|s| s.is_definition() && s.is_global());
    let mut names: Vec<String> = defined.map(|s| s.name().expect("a name is UTF-8").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_exports_are_the_documented_ones() {
    let list = repository().join("plugin/tests/exports.txt");
    let text = fs::read_to_string(list).expect("the list can be read");
    let expected: Vec<&str> = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    assert_eq!(exported(&library()), expected, "plugin/tests/exports.txt");
}

#[test]
fn the_library_needs_no_symbol_of_a_host() {
    let bytes = fs::read(library()).expect("the library can be read");
    let file = object::File::parse(&*bytes).expect("the library is an object file");
    let undefined = file.dynamic_symbols().filter(|s| s.is_undefined());
    let foreign: Vec<String> = undefined
        .map(|s| s.name().expect("a name is UTF-8").to_owned())
        .filter(|n| n.starts_with("ggml_") || n.contains("llama"))
        .collect();
    assert_eq!(foreign, [] as [String; 0], "it must load into any program");
}

//! Expected text in files.

use std::{env, fs};

use super::repository;

/// Compares `text` with `tests/golden/<name>.txt`. `BLESS=1` writes the file.
pub fn golden(name: &str, text: &str) {
    let file = repository().join("plugin/tests/golden").join(format!("{name}.txt"));
    if env::var_os("BLESS").is_some_and(|v| v == "1") {
        fs::create_dir_all(file.parent().expect("the file has a folder")).expect("the source tree can be written");
        fs::write(&file, text).expect("the source tree can be written");
    }
    let expected = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e} (BLESS=1 writes it)", file.display()));
    assert!(text == expected, "{}: BLESS=1 rewrites it\n-- expected\n{expected}\n-- found\n{text}", file.display());
}

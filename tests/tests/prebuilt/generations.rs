//! Every supported generation of llama.cpp is recognised on its host, by what it exports; the compiled ones are in
//! `tests/compiled/`.

use evenkeel_ffi::supported::SUPPORTED;
use evenkeel_tests::generation::{Origin, log, rows};

#[test]
fn each_is_recognised_by_its_name() {
    for generation in rows(Origin::Prebuilt) {
        let log = log(generation);
        assert!(log.contains(&format!("llama.cpp {} (", generation.name)), "{}:\n{log}", generation.name);
    }
}

/// A row without a host fails here.
#[test]
fn each_row_has_a_host() {
    let with_a_host = rows(Origin::Prebuilt).count() + rows(Origin::Compiled).count();
    assert_eq!(with_a_host, SUPPORTED.len());
}

//! The supported generations of llama.cpp that no package brings compiled are recognised, too.

use evenkeel_tests::generation::{Origin, log, rows};

#[test]
fn each_is_recognised_by_its_name() {
    for generation in rows(Origin::Compiled) {
        let log = log(generation);
        assert!(log.contains(&format!("llama.cpp {} (", generation.name)), "{}:\n{log}", generation.name);
    }
}

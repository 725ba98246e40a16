//! The text of a profile; one that is read is also planned, against a model that has every layer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| evenkeel_fuzz::profile(text));

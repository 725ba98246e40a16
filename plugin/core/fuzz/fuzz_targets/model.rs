//! The metadata of a model's GGUF file.
#![no_main]

use evenkeel_core::model::ModelFacts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match ModelFacts::parse(bytes) {
    Ok(facts) => assert!(!facts.arch.is_empty() && facts.n_embd > 0 && facts.n_layer <= 1 << 16),
    Err(error) => evenkeel_fuzz::complete(&error.to_string()),
});

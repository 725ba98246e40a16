//! The C host on the shared libraries of each compiled llama.cpp.

use evenkeel_model::{Arch, FileType};
use evenkeel_tests::Scratch;
use evenkeel_tests::claim::{changes_nothing, is_native};
use evenkeel_tests::host::{CHost, Decode};

fn every_architecture(host: &CHost) {
    for arch in Arch::ALL {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        for flash in [false, true] {
            let decode = Decode { flash, ..Decode::new(&model) };
            let what = format!("{arch:?}, flash attention {flash}");
            changes_nothing(host, &scratch, &decode, &what);
            is_native(host, &scratch, &decode, None, 2.0, &what);
        }
    }
}

#[test]
fn of_llama_server() {
    every_architecture(&CHost::llama_server());
}

#[test]
fn of_llama_cpp_2() {
    every_architecture(&CHost::llama_cpp_2());
}

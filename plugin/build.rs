//! Linker settings of the shared library.

fn main() {
    // ggml closes a library that it loaded through GGML_BACKEND_PATH and found to be no backend. Ours must stay.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // Our entries have the names of the host's functions: a reference to one means ours, whoever was loaded first.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libevenkeel.so");
    println!("cargo:rerun-if-changed=build.rs");
}

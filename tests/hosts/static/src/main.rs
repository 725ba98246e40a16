//! The program of `../llama-cpp-2` with llama.cpp inside it, and with evenkeel if `HOST_LIBRARY` says where that is.

#[path = "../../../../examples/rust/evenkeel.rs"]
mod evenkeel;

mod host {
    include!(concat!(env!("OUT_DIR"), "/host.rs"));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(library) = std::env::var_os("HOST_LIBRARY") {
        evenkeel::load(library.as_ref(), None)?;
    }
    host::main()
}

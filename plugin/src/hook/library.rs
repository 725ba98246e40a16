//! The llama.cpp behind a calling address: resolved and self-tested once per object.

use std::sync::{Arc, Mutex, OnceLock};

use evenkeel_ffi::{library::Library, object, params, selftest, supported};
use rustc_hash::FxHashMap;

use crate::{
    log,
    state::{self, lock},
};

/// A llama.cpp whose structs are what the bindings say.
pub struct Host {
    /// Its functions.
    pub lib: Library,
    /// What the self-test found.
    pub facts: selftest::Facts,
    /// Where context parameters say that embeddings are wanted, if they can be read.
    pub embeddings_offset: Option<usize>,
}

/// By the first address of the calling object.
type Known = Mutex<FxHashMap<usize, Result<Arc<Host>, String>>>;

/// The llama.cpp that the code at `caller` uses.
///
/// # Errors
/// Why it cannot be used: missing functions or a failed self-test. Logged when it was found.
pub fn of_caller(caller: usize) -> Result<Arc<Host>, String> {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    let known = KNOWN.get_or_init(Known::default);
    let object = object::containing(caller).ok_or("the calling code is in no loaded object")?;
    if let Some(host) = lock(known).get(&object.start) {
        return host.clone();
    }
    // Outside the lock: the self-test computes with the host's functions.
    let host = prove(caller).map(Arc::new);
    match &host {
        Ok(host) => introduce(host),
        Err(why) => log::error!("this llama.cpp cannot be used: {why}"),
    }
    lock(known).entry(object.start).or_insert(host).clone()
}

/// Names the llama.cpp that was found.
fn introduce(host: &Host) {
    let (name, ggml, llama) = (host.lib.object.name(), host.lib.ggml_version(), host.lib.llama_version());
    match supported::generation(&host.lib) {
        Some(generation) => {
            log::debug!("{name}: llama.cpp {} (ggml {ggml}): self-test passed, {:?}", generation.name, host.facts);
        }
        None => log::warning!(
            "{name}: llama.cpp {llama} with ggml {ggml} is none that evenkeel is tested with; its self-test passed"
        ),
    }
}

fn prove(caller: usize) -> Result<Host, String> {
    let lib = Library::of_caller(caller).map_err(|e| e.to_string())?;
    let facts = selftest::run(&lib).map_err(|e| e.to_string())?;
    let embeddings_offset = params::embeddings_offset(&lib);
    Ok(Host { lib, facts, embeddings_offset })
}

/// True if the user wants every context that cannot be steered to be refused.
pub fn required() -> bool {
    state::get().config.require
}

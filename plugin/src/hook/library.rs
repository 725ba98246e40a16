//! The llama.cpp behind a calling address: resolved and self-tested once per object.

use std::sync::{Arc, Mutex, OnceLock};

use evenkeel_ffi::{api::ApiTable, library::Library, object, params, selftest, supported};

use super::{known::Known, rows::Layout, split::Split};
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
    /// Where its micro-batches have what.
    pub layout: Layout,
    /// What is asked of its batches while they are split, once that was looked for.
    pub split: OnceLock<Option<Split>>,
}

/// The llama.cpp that the code at `caller` uses.
///
/// # Errors
/// Why it cannot be used: missing functions or a failed self-test. Logged when it was found.
pub fn of_caller(caller: usize) -> Result<Arc<Host>, String> {
    /// By the calling address, so that the loaded objects are walked once per call site.
    static SITES: Known<usize, Result<Arc<Host>, String>> = Known::new();
    /// By the first address of the calling object.
    static OBJECTS: Known<usize, Result<Arc<Host>, String>> = Known::new();
    if let Some(host) = SITES.get(&caller) {
        return host;
    }
    let object = object::containing(caller).ok_or("the calling code is in no loaded object")?;
    if let Some(host) = OBJECTS.get(&object.start) {
        return SITES.keep(caller, host);
    }
    let host = prove(caller).map(Arc::new);
    match &host {
        Ok(host) => introduce(host),
        Err(why) => log::error!("this llama.cpp cannot be used: {why}"),
    }
    SITES.keep(caller, OBJECTS.keep(object.start, host))
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
    Library::of_caller(caller).map_err(|e| e.to_string()).and_then(tested)
}

fn tested(lib: Library) -> Result<Host, String> {
    let facts = selftest::run(&lib).map_err(|e| e.to_string())?;
    let embeddings_offset = params::embeddings_offset(&lib);
    Ok(Host { lib, facts, embeddings_offset, layout: Layout::default(), split: OnceLock::new() })
}

/// The llama.cpp that the program handed over.
static GIVEN: Mutex<Option<Arc<Host>>> = Mutex::new(None);

/// Takes the llama.cpp that the program hands over: by `table`, or by the symbols that the program exports.
///
/// # Errors
/// Why it cannot be used.
pub fn take(table: Option<ApiTable>) -> Result<(), String> {
    let exported = table.is_none();
    let lib = table.map_or_else(Library::of_program, Library::given).map_err(|e| match e {
        _ if exported && !Library::program_exports("llama_init_from_model") => {
            "the program does not export llama.cpp's functions: link it with -rdynamic, or hand them over with EK_API_FILL"
                .to_owned()
        }
        e => e.to_string(),
    })?;
    let host = Arc::new(tested(lib)?);
    introduce(&host);
    *lock(&GIVEN) = Some(host);
    Ok(())
}

/// The llama.cpp that the program handed over.
pub fn given() -> Option<Arc<Host>> {
    lock(&GIVEN).clone()
}

/// True if the user wants every context that cannot be steered to be refused.
pub fn required() -> bool {
    state::get().config.require
}

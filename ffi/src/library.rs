//! One llama.cpp in this process: its functions, found through the object that called us.

use std::{ffi::c_void, ptr::NonNull};

use crate::{
    api::ApiTable,
    generated::symbols::{Attention, Backend, Contrast, Ggml, Graph, Join, Llama, Sampler, Sched},
    object::{self, Handle, Object},
    table::Missing,
};

/// The functions of one llama.cpp. A process may hold several; each call is answered with the caller's own.
pub struct Library {
    /// The object whose scope the functions were resolved in.
    pub object: Object,
    symbols: Symbols,
    /// Tensors and operations.
    pub ggml: Ggml,
    /// What position-invariant attention is built of; absent where one of the operations is.
    pub attention: Option<Attention>,
    /// What a contrast needs; absent where one of the functions is.
    pub contrast: Option<Contrast>,
    /// What two graphs are joined with; absent where one of the functions is.
    pub join: Option<Join>,
    /// Graphs.
    pub graph: Graph,
    /// Buffers and devices.
    pub backend: Backend,
    /// The scheduler.
    pub sched: Sched,
    /// Models and contexts; absent where ggml is used without llama.cpp.
    pub llama: Option<Llama>,
    /// Samplers that take part in the graph; absent in versions that have none.
    pub sampler: Option<Sampler>,
}

/// Where functions are looked up.
enum Symbols {
    /// In a loaded object and what it is linked with.
    Loaded(Handle),
    /// In the list that the program handed over.
    Given(ApiTable),
}

impl Symbols {
    fn find(&self, name: &str) -> Option<*const c_void> {
        match self {
            Symbols::Loaded(handle) => handle.symbol(name),
            // In a program that is linked with the host's libraries, one of ours may stand before a function of the host's.
            Symbols::Given(table) => match table.symbol(name) {
                Some(address) if object::own().contains(address as usize) => object::defining(name)?.1.symbol(name),
                found => found,
            },
        }
    }
}

/// Why a library cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// The caller's object was unloaded, or it is no loaded object.
    #[error("the calling code at {address:#x} is in no loaded object")]
    NoObject {
        /// Where the call came from.
        address: usize,
    },
    /// Functions are missing.
    #[error("{object} lacks functions that evenkeel needs: {}", missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Missing {
        /// The object that was searched, with all it is linked to.
        object: String,
        /// Everything that is missing, by group.
        missing: Vec<Missing>,
    },
}

impl Library {
    /// The library that the code at `address` uses.
    ///
    /// # Errors
    /// [`LibraryError::NoObject`]; [`LibraryError::Missing`] with all missing functions at once.
    pub fn of_caller(address: usize) -> Result<Library, LibraryError> {
        let found = object::containing(address).and_then(|o| o.open().map(|h| (o, h)));
        let (object, handle) = found.ok_or(LibraryError::NoObject { address })?;
        Library::resolve(object, handle)
    }

    /// The llama.cpp inside the program, by the list that the program handed over.
    ///
    /// # Errors
    /// [`LibraryError::Missing`] with all missing functions at once; [`LibraryError::NoObject`] if one lies nowhere.
    pub fn given(table: ApiTable) -> Result<Library, LibraryError> {
        let symbols = Symbols::Given(table);
        let address = symbols.find("llama_get_model").map_or(0, |f| f as usize);
        let program = || object::all().into_iter().find(|o| o.path.is_empty());
        let object = object::containing(address).or_else(program).ok_or(LibraryError::NoObject { address })?;
        Library::of(object, symbols)
    }

    /// The llama.cpp inside the program, where its symbols are exported (`-rdynamic`).
    ///
    /// # Errors
    /// As [`Library::resolve`].
    pub fn of_program() -> Result<Library, LibraryError> {
        let program = object::all().into_iter().find(|o| o.path.is_empty());
        let found = program.and_then(|o| o.open().map(|h| (o, h)));
        let (object, handle) = found.ok_or(LibraryError::NoObject { address: 0 })?;
        Library::resolve(object, handle)
    }

    /// True if the program itself, or what it is linked with, exports `name`.
    pub fn program_exports(name: &str) -> bool {
        let program = object::all().into_iter().find(|o| o.path.is_empty());
        program.and_then(|o| o.open()).is_some_and(|h| h.symbol(name).is_some())
    }

    /// All functions in the scope of `object`.
    ///
    /// # Errors
    /// [`LibraryError::Missing`] with all missing functions at once.
    pub fn resolve(object: Object, handle: Handle) -> Result<Library, LibraryError> {
        Library::of(object, Symbols::Loaded(handle))
    }

    fn of(object: Object, symbols: Symbols) -> Result<Library, LibraryError> {
        let lookup = |name: &str| symbols.find(name);
        let mut missing = Vec::new();
        macro_rules! group {
            ($group:ident) => {
                // SAFETY: the names are llama.cpp's and ggml's own, resolved in an object that is linked with them and
                // that stays loaded, or handed over under these names; that types agree is what `selftest` establishes.
                unsafe { $group::load(&lookup) }.map_err(|m| missing.push(m)).ok()
            };
        }
        let (ggml, graph, backend, sched) = (group!(Ggml), group!(Graph), group!(Backend), group!(Sched));
        // SAFETY: as above.
        let attention = unsafe { Attention::load(&lookup) }.ok();
        // SAFETY: as above.
        let contrast = unsafe { Contrast::load(&lookup) }.ok();
        // SAFETY: as above.
        let join = unsafe { Join::load(&lookup) }.ok();
        let has_llama = lookup("llama_init_from_model").is_some();
        let llama = if has_llama { group!(Llama) } else { None };
        // SAFETY: as above.
        let sampler = unsafe { Sampler::load(&lookup) }.ok();
        match (ggml, graph, backend, sched) {
            (Some(ggml), Some(graph), Some(backend), Some(sched)) if llama.is_some() == has_llama => {
                Ok(Library { object, symbols, ggml, attention, contrast, join, graph, backend, sched, llama, sampler })
            }
            _ => Err(LibraryError::Missing { object: object.name().to_owned(), missing }),
        }
    }

    /// True if the program handed its functions over: those that are not in its list cannot be probed for.
    pub fn is_given(&self) -> bool {
        matches!(self.symbols, Symbols::Given(_))
    }

    /// A function by name, for probing.
    pub fn symbol(&self, name: &str) -> Option<*const c_void> {
        self.symbols.find(name)
    }

    /// `ggml_version()`, for messages only.
    pub fn ggml_version(&self) -> String {
        // SAFETY: ggml_version takes nothing and returns a static C string.
        text(unsafe { (self.ggml.ggml_version)() })
    }

    /// `llama_version()`, for messages only.
    pub fn llama_version(&self) -> String {
        let version = self.llama.as_ref().and_then(|l| l.llama_version);
        // SAFETY: llama_version takes nothing and returns a static C string.
        version.map_or_else(|| "without llama_version".into(), |f| text(unsafe { f() }))
    }
}

/// The real function of that name for the code at `address`: the next in the chain after our hook.
///
/// First in the scope of the calling object, then in any object that defines it (a caller that found the function
/// through a pointer need not be linked with it).
pub fn real(address: usize, name: &str) -> Option<NonNull<c_void>> {
    let scoped = object::containing(address).and_then(|o| o.open()).and_then(|h| h.symbol(name));
    let found = scoped.or_else(|| object::defining(name)?.1.symbol(name));
    found.and_then(|p| NonNull::new(p.cast_mut()))
}

/// A static C string of the host's as text.
fn text(string: *const std::ffi::c_char) -> String {
    if string.is_null() {
        return "unknown".into();
    }
    // SAFETY: the host's version functions return C strings with static lifetime.
    unsafe { std::ffi::CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

//! One llama.cpp in this process: its functions, found through the object that called us.

use std::{ffi::c_void, ptr::NonNull};

use crate::{
    generated::symbols::{Attention, Backend, Ggml, Graph, Llama, Sched},
    object::{self, Handle, Object},
    table::Missing,
};

/// The functions of one llama.cpp. A process may hold several; each call is answered with the caller's own.
pub struct Library {
    /// The object whose scope the functions were resolved in.
    pub object: Object,
    handle: Handle,
    /// Tensors and operations.
    pub ggml: Ggml,
    /// What position-invariant attention is built of; absent where one of the operations is.
    pub attention: Option<Attention>,
    /// Graphs.
    pub graph: Graph,
    /// Buffers and devices.
    pub backend: Backend,
    /// The scheduler.
    pub sched: Sched,
    /// Models and contexts; absent where ggml is used without llama.cpp.
    pub llama: Option<Llama>,
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

    /// All functions in the scope of `object`.
    ///
    /// # Errors
    /// [`LibraryError::Missing`] with all missing functions at once.
    pub fn resolve(object: Object, handle: Handle) -> Result<Library, LibraryError> {
        let lookup = |name: &str| handle.symbol(name);
        let mut missing = Vec::new();
        macro_rules! group {
            ($group:ident) => {
                // SAFETY: the names are llama.cpp's and ggml's own, resolved in an object that is linked with them and
                // that `handle` keeps loaded; that types agree is what `selftest` establishes.
                unsafe { $group::load(&lookup) }.map_err(|m| missing.push(m)).ok()
            };
        }
        let (ggml, graph, backend, sched) = (group!(Ggml), group!(Graph), group!(Backend), group!(Sched));
        // SAFETY: as above.
        let attention = unsafe { Attention::load(&lookup) }.ok();
        let has_llama = lookup("llama_init_from_model").is_some();
        let llama = if has_llama { group!(Llama) } else { None };
        match (ggml, graph, backend, sched) {
            (Some(ggml), Some(graph), Some(backend), Some(sched)) if llama.is_some() == has_llama => {
                Ok(Library { object, handle, ggml, attention, graph, backend, sched, llama })
            }
            _ => Err(LibraryError::Missing { object: object.name().to_owned(), missing }),
        }
    }

    /// A function by name, for probing.
    pub fn symbol(&self, name: &str) -> Option<*const c_void> {
        self.handle.symbol(name)
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

//! Opens a llama.cpp that nobody has loaded yet.

use std::{
    ffi::{CStr, CString, OsStr, c_void},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{HostError, LogLevel, log, params};
use crate::{
    generated::symbols::{Host, Llama as LlamaTable},
    library::Library,
};

/// One llama.cpp, opened by path and never unloaded. Cheap to clone.
#[derive(Clone)]
pub struct Llama(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub path: PathBuf,
    pub library: Library,
    pub llama: LlamaTable,
    pub host: Host,
}

/// A file loaded with `dlopen`; never unloaded. The running program, which may contain llama.cpp, is there already.
pub(super) fn load(path: &Path) -> Result<*mut c_void, HostError> {
    let name =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| HostError::Nul { text: path.display().to_string() })?;
    let name = if is_program(path) { std::ptr::null() } else { name.as_ptr() };
    // SAFETY: `name` is null or a C string that lives across the call. Loading runs the file's constructors: it is the file
    // the user named.
    let handle = unsafe { libc::dlopen(name, libc::RTLD_LAZY | libc::RTLD_LOCAL) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: dlerror returns null or a C string that is valid until this thread's next call.
    let why = unsafe {
        let text = libc::dlerror();
        if text.is_null() { "unknown".into() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    Err(HostError::Load { path: path.to_owned(), why })
}

/// True if `path` leads to the running program.
fn is_program(path: &Path) -> bool {
    let program = std::env::current_exe().and_then(|p| p.canonicalize());
    program.is_ok_and(|program| path.canonicalize().is_ok_and(|path| path == program))
}

/// A function of a loaded file, or of what it is linked with.
pub(super) fn symbol(handle: *mut c_void, name: &CStr) -> Option<*const c_void> {
    // SAFETY: the handle came from `load` and is never closed.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    (!address.is_null()).then_some(address.cast_const())
}

impl Llama {
    /// Opens `libllama` at `path`, silences its log and loads its compute backends.
    ///
    /// # Errors
    /// [`HostError`] if the file is no llama.cpp that this crate can drive.
    pub fn open(path: &Path) -> Result<Llama, HostError> {
        let library = Llama::library(path)?;
        let llama = library.llama.ok_or_else(|| HostError::NotLlama { path: path.to_owned() })?;
        // SAFETY: the names are llama.cpp's and ggml's own, resolved in the scope of a library that has
        // `llama_decode` and is never unloaded.
        let host = unsafe { Host::load(&|name| library.symbol(name)) }
            .map_err(|missing| HostError::Missing { object: library.object.name().into(), missing })?;
        params::model_defaults(&host)?;
        params::context_defaults(&host)?;
        let inner = Inner { path: path.to_owned(), library, llama, host };
        inner.start()?;
        Ok(Llama(Arc::new(inner)))
    }

    /// Loads the file and resolves what the plug-in needs of it, without starting anything.
    ///
    /// # Errors
    /// [`HostError`] if the file cannot be loaded, is no llama.cpp, or lacks functions.
    pub fn library(path: &Path) -> Result<Library, HostError> {
        let handle = load(path)?;
        let not_llama = || HostError::NotLlama { path: path.to_owned() };
        let decode = symbol(handle, c"llama_decode").ok_or_else(not_llama)?;
        Ok(Library::of_caller(decode as usize)?)
    }

    /// Shows the host's log from `level` on, for all hosts of this process.
    pub fn show_log(&self, level: LogLevel) {
        log::show(level);
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The functions that the plug-in uses.
    pub fn tables(&self) -> &Library {
        &self.0.library
    }

    /// The names of the compute devices, in the host's order.
    pub fn devices(&self) -> Vec<String> {
        let backend = &self.0.library.backend;
        // SAFETY: the count is the host's own, and each name is a C string with the device's lifetime (forever).
        let name = |i| unsafe {
            CStr::from_ptr((backend.ggml_backend_dev_name)((backend.ggml_backend_dev_get)(i)))
                .to_string_lossy()
                .into_owned()
        };
        // SAFETY: ggml_backend_dev_count has no preconditions.
        (0..unsafe { (backend.ggml_backend_dev_count)() }).map(name).collect()
    }
}

impl Inner {
    fn start(&self) -> Result<(), HostError> {
        // SAFETY: the callback has the required signature, does not unwind and needs no user data.
        unsafe { (self.host.llama_log_set)(Some(log::callback), std::ptr::null_mut()) };
        // SAFETY: ggml_backend_dev_count has no preconditions.
        let devices = || unsafe { (self.library.backend.ggml_backend_dev_count)() };
        if devices() == 0 {
            // A build with dynamic backends: they lie beside it. Loaded by folder, because without one llama.cpp looks
            // beside the running program, which is ours.
            let folder = self.path.parent().unwrap_or(Path::new(".")).as_os_str();
            let folder = if folder.is_empty() { OsStr::new(".") } else { folder };
            let folder = CString::new(folder.as_bytes()).map_err(|_| HostError::Nul { text: "folder".into() })?;
            // SAFETY: a C string that lives across the call.
            unsafe { (self.host.ggml_backend_load_all_from_path)(folder.as_ptr()) };
        }
        if devices() == 0 {
            return Err(HostError::NoDevice { path: self.path.clone() });
        }
        // SAFETY: may be called any number of times.
        unsafe { (self.host.llama_backend_init)() };
        Ok(())
    }
}

//! evenkeel itself, behind its C functions, loaded as any host with a foreign function interface loads it.

use std::{
    ffi::{CStr, CString, c_char, c_void},
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{Context, HostError, open};

/// Why the plug-in cannot be used, or what it refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// The loader refused the file.
    #[error(transparent)]
    Load(HostError),
    /// The file is no evenkeel, or one of another generation.
    #[error("{path}: is no evenkeel of this version: it lacks {}", names.join(", "), path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The functions it lacks.
        names: Vec<&'static str>,
    },
    /// A path with a NUL byte.
    #[error("`{text}` contains a NUL byte")]
    Nul {
        /// The path.
        text: String,
    },
    /// A call failed.
    #[error("{call}: {message} (status {status})")]
    Refused {
        /// The function.
        call: &'static str,
        /// What it returned.
        status: i32,
        /// The plug-in's own message.
        message: String,
    },
}

/// The loaded plug-in. It is never unloaded.
pub struct Plugin {
    path: PathBuf,
    version: unsafe extern "C" fn() -> *const c_char,
    abi_version: unsafe extern "C" fn() -> u32,
    install: unsafe extern "C" fn() -> i32,
    load_profile: unsafe extern "C" fn(*const c_char) -> i32,
    last_error: unsafe extern "C" fn() -> *const c_char,
    set_strength: unsafe extern "C" fn(*const c_char, f32) -> i32,
    stats_json: unsafe extern "C" fn(*mut c_char, usize, *mut usize) -> i32,
    reload: unsafe extern "C" fn() -> i32,
    set_profile: unsafe extern "C" fn(*const c_void, i32, *const c_char) -> i32,
    set_segments: unsafe extern "C" fn(*const c_void, i32, *const Span, usize) -> i32,
    capture: unsafe extern "C" fn(*const c_void, i32) -> i32,
    captured_rows: unsafe extern "C" fn(*const c_void, *mut CapturedRow, usize, *mut usize) -> i32,
    captured: unsafe extern "C" fn(*const c_void, i32, *mut f32, usize, *mut usize) -> i32,
}

/// `ek_span`
#[repr(C)]
struct Span {
    begin: i32,
    end: i32,
}

/// `ek_row`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapturedRow {
    seq: i32,
    pos: i32,
    token: i32,
}

/// `EK_FINAL_NORM`
const FINAL_NORM: i32 = -1;

impl Plugin {
    /// Loads `libevenkeel.so`. Nothing is hooked before [`Plugin::install`].
    ///
    /// # Errors
    /// [`PluginError::Load`], [`PluginError::Missing`] with all missing functions at once.
    pub fn load(path: &Path) -> Result<Plugin, PluginError> {
        let handle = open::load(path).map_err(PluginError::Load)?;
        let mut missing = Vec::new();
        macro_rules! function {
            ($name:literal) => {{
                let symbol = CString::new($name).ok().and_then(|n| open::symbol(handle, &n));
                if symbol.is_none() {
                    missing.push($name);
                }
                // SAFETY: the types of the fields below are those of include/evenkeel.h. A null address makes a value
                // of an Option, which is only unwrapped after `missing` was found empty.
                unsafe { std::mem::transmute_copy::<*const c_void, Option<_>>(&symbol.unwrap_or(std::ptr::null())) }
            }};
        }
        let version = function!("ek_version");
        let abi_version = function!("ek_abi_version");
        let install = function!("ek_install");
        let load_profile = function!("ek_load_profile");
        let last_error = function!("ek_last_error");
        let set_strength = function!("ek_set_strength");
        let stats_json = function!("ek_stats_json");
        let reload = function!("ek_reload");
        let set_profile = function!("ek_set_profile");
        let set_segments = function!("ek_set_segments");
        let capture = function!("ek_capture");
        let captured_rows = function!("ek_captured_rows");
        let captured = function!("ek_captured");
        let all = || {
            let path = path.to_owned();
            Some(Plugin {
                path,
                version: version?,
                abi_version: abi_version?,
                install: install?,
                load_profile: load_profile?,
                last_error: last_error?,
                set_strength: set_strength?,
                stats_json: stats_json?,
                reload: reload?,
                set_profile: set_profile?,
                set_segments: set_segments?,
                capture: capture?,
                captured_rows: captured_rows?,
                captured: captured?,
            })
        };
        all().ok_or_else(|| PluginError::Missing { path: path.to_owned(), names: missing })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, for example `0.1.0`.
    pub fn version(&self) -> String {
        // SAFETY: ek_version returns a C string with static lifetime.
        unsafe { CStr::from_ptr((self.version)()) }.to_string_lossy().into_owned()
    }

    /// The version of its C interface.
    pub fn abi_version(&self) -> u32 {
        // SAFETY: no preconditions.
        unsafe { (self.abi_version)() }
    }

    /// Hooks every llama.cpp that is loaded by now. Contexts made afterwards are steered by the profile set then.
    ///
    /// # Errors
    /// [`PluginError::Refused`] with the reason, for instance a failed self-test.
    pub fn install(&self) -> Result<(), PluginError> {
        // SAFETY: no preconditions; the host's libraries are never unloaded by this crate.
        self.check("ek_install", unsafe { (self.install)() })
    }

    /// The profile of contexts made from now on; None for none.
    ///
    /// # Errors
    /// [`PluginError::Refused`] with all errors of the profile.
    pub fn load_profile(&self, path: Option<&Path>) -> Result<(), PluginError> {
        let nul = |text: &Path| PluginError::Nul { text: text.display().to_string() };
        let path = path.map(|p| CString::new(p.as_os_str().as_bytes()).map_err(|_| nul(p))).transpose()?;
        let pointer = path.as_ref().map_or(std::ptr::null(), |p| p.as_ptr());
        // SAFETY: null or a C string that lives across the call.
        self.check("ek_load_profile", unsafe { (self.load_profile)(pointer) })
    }

    /// Reads the profiles in force again; contexts take them up between two calls to decode. From any thread.
    ///
    /// # Errors
    /// [`PluginError::Refused`] with all errors of the files; what was in force stays so.
    pub fn reload(&self) -> Result<(), PluginError> {
        // SAFETY: no preconditions.
        self.check("ek_reload", unsafe { (self.reload)() })
    }

    /// Chooses the profile of one sequence by its name, from now on: a request begins with it.
    ///
    /// # Errors
    /// [`PluginError::Refused`] if the context runs under no profile, or none of that name is loaded.
    pub fn set_profile(&self, context: &Context, seq: i32, name: &str) -> Result<(), PluginError> {
        let name = CString::new(name).map_err(|_| PluginError::Nul { text: name.into() })?;
        // SAFETY: the address is looked up and not followed; a C string that lives across the call.
        let status = unsafe { (self.set_profile)(context.address() as *const c_void, seq, name.as_ptr()) };
        self.check("ek_set_profile", status)
    }

    /// Says which positions of a sequence are segments whose order shall not count, before their tokens are fed.
    ///
    /// # Errors
    /// [`PluginError::Refused`] if the sequence's profile has no `[invariance]`, or the segments are not what one allows.
    pub fn set_segments(&self, context: &Context, seq: i32, segments: &[Range<i32>]) -> Result<(), PluginError> {
        let spans: Vec<Span> = segments.iter().map(|s| Span { begin: s.start, end: s.end }).collect();
        let address = context.address() as *const c_void;
        // SAFETY: the address is looked up and not followed; as many spans as are said, which live across the call.
        let status = unsafe { (self.set_segments)(address, seq, spans.as_ptr(), spans.len()) };
        self.check("ek_set_segments", status)
    }

    /// Begins or ends capturing the residual streams of a context that was made after [`Plugin::install`].
    ///
    /// # Errors
    /// [`PluginError::Refused`] for another context.
    pub fn capture(&self, context: &Context, on: bool) -> Result<(), PluginError> {
        // SAFETY: the address is looked up and not followed.
        self.check("ek_capture", unsafe { (self.capture)(context.address() as *const c_void, i32::from(on)) })
    }

    /// The rows that were captured in the last batch, as sequence and position, in the order of evaluation. Waits.
    ///
    /// # Errors
    /// [`PluginError::Refused`] if the context is not captured, or its rows or graphs could not be read.
    pub fn captured_rows(&self, context: &Context) -> Result<Vec<(i32, i32)>, PluginError> {
        let address = context.address() as *const c_void;
        let mut n = 0usize;
        // SAFETY: only the number is asked for.
        let status = unsafe { (self.captured_rows)(address, std::ptr::null_mut(), 0, &raw mut n) };
        self.check("ek_captured_rows", status)?;
        let mut rows = vec![CapturedRow::default(); n];
        // SAFETY: there is room for as many as are said.
        let status = unsafe { (self.captured_rows)(address, rows.as_mut_ptr(), rows.len(), &raw mut n) };
        self.check("ek_captured_rows", status)?;
        Ok(rows.iter().map(|row| (row.seq, row.pos)).collect())
    }

    /// Puts into `values` what these rows had after a layer, or for None what the output matrix reads, as `[rows, n_embd]`;
    /// nothing if the graph names no such node.
    ///
    /// # Errors
    /// As [`Plugin::captured_rows`].
    pub fn captured(&self, context: &Context, layer: Option<usize>, values: &mut Vec<f32>) -> Result<(), PluginError> {
        let address = context.address() as *const c_void;
        let layer = layer.map_or(FINAL_NORM, |layer| i32::try_from(layer).unwrap_or(i32::MAX));
        let mut n = 0usize;
        // SAFETY: only the number is asked for.
        let status = unsafe { (self.captured)(address, layer, std::ptr::null_mut(), 0, &raw mut n) };
        self.check("ek_captured", status)?;
        values.resize(n, 0.0);
        // SAFETY: there is room for as many as are said.
        let status = unsafe { (self.captured)(address, layer, values.as_mut_ptr(), values.len(), &raw mut n) };
        self.check("ek_captured", status)
    }

    /// Changes the strength of a rule that its profile declares adjustable.
    ///
    /// # Errors
    /// [`PluginError::Refused`] if there is no such rule.
    pub fn set_strength(&self, rule: &str, strength: f32) -> Result<(), PluginError> {
        let rule = CString::new(rule).map_err(|_| PluginError::Nul { text: rule.into() })?;
        // SAFETY: a C string that lives across the call.
        self.check("ek_set_strength", unsafe { (self.set_strength)(rule.as_ptr(), strength) })
    }

    /// What it did so far, as JSON: contexts, rules that fired, trouble, time spent in hooks.
    ///
    /// # Errors
    /// [`PluginError::Refused`].
    pub fn stats_json(&self) -> Result<String, PluginError> {
        let mut buffer = vec![0u8; 16 * 1024];
        for _ in 0..3 {
            let mut needed = 0usize;
            // SAFETY: the buffer has the size that is passed; `needed` lives across the call.
            let status = unsafe { (self.stats_json)(buffer.as_mut_ptr().cast(), buffer.len(), &raw mut needed) };
            if needed > buffer.len() {
                // Counters grow between two calls: a little more than was asked for.
                buffer.resize(needed + 1024, 0);
                continue;
            }
            self.check("ek_stats_json", status)?;
            let text = CStr::from_bytes_until_nul(&buffer).map_or("".into(), CStr::to_string_lossy);
            return Ok(text.into_owned());
        }
        Err(PluginError::Refused { call: "ek_stats_json", status: 0, message: "the text keeps growing".into() })
    }

    pub(super) fn check(&self, call: &'static str, status: i32) -> Result<(), PluginError> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: ek_last_error returns null or a C string that is valid until this thread's next call.
        let message = unsafe {
            let text = (self.last_error)();
            if text.is_null() { "no reason given".into() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        };
        Err(PluginError::Refused { call, status, message })
    }
}

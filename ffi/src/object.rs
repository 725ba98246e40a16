//! The objects (program and shared libraries) that are loaded into this process. Linux.

use std::ffi::{CStr, CString, c_int, c_void};

/// A loaded object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its path as the loader knows it; empty for the program itself.
    pub path: String,
    /// Load bias: what to add to the addresses in the file.
    pub bias: usize,
    /// First mapped address.
    pub start: usize,
    /// End of the last mapped segment.
    pub end: usize,
    /// Address of the dynamic section, 0 for a static program.
    pub dynamic: usize,
    /// Address range that the loader makes read-only after relocation (`PT_GNU_RELRO`), as start and length.
    pub relro: Option<(usize, usize)>,
}

impl Object {
    /// True if `address` lies in this object.
    pub fn contains(&self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// The last part of the path, or "the program".
    pub fn name(&self) -> &str {
        match self.path.rsplit('/').next() {
            None | Some("") => "the program",
            Some(name) => name,
        }
    }

    /// Opens the object without loading anything, which also keeps it loaded. None if it has gone meanwhile.
    pub fn open(&self) -> Option<Handle> {
        let path = CString::new(self.path.as_str()).ok()?;
        let name = if self.path.is_empty() { std::ptr::null() } else { path.as_ptr() };
        // SAFETY: `name` is null or a C string that lives across the call; RTLD_NOLOAD runs no constructor.
        let handle = unsafe { libc::dlopen(name, libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        (!handle.is_null()).then_some(Handle { raw: handle as usize })
    }
}

/// A handle to a loaded object. Never closed: what was resolved through it stays valid for the process's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle {
    raw: usize,
}

impl Handle {
    /// The address of `name` in this object or in what it was linked with, in the loader's order, unless it is ours.
    pub fn symbol(&self, name: &str) -> Option<*const c_void> {
        let name = CString::new(name).ok()?;
        // SAFETY: the handle came from dlopen and is never closed; `name` is a C string.
        let address = unsafe { libc::dlsym(self.raw as *mut c_void, name.as_ptr()) }.cast_const();
        // As part of a program, this code stands in front of nothing: what is found there is the program's.
        let ours = || !own().path.is_empty() && own().contains(address as usize);
        (!address.is_null() && !ours()).then_some(address)
    }
}

/// All loaded objects, the program first.
pub fn all() -> Vec<Object> {
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _size: usize, out: *mut c_void) -> c_int {
        // SAFETY: the loader passes a valid record, and `out` is the vector given to dl_iterate_phdr below.
        let (info, out) = unsafe { (&*info, &mut *out.cast::<Vec<Object>>()) };
        out.push(read(info));
        0
    }
    let mut objects: Vec<Object> = Vec::new();
    // SAFETY: `visit` has the required signature, does not unwind, and `objects` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut objects).cast()) };
    objects
}

fn read(info: &libc::dl_phdr_info) -> Object {
    let path = if info.dlpi_name.is_null() {
        String::new()
    } else {
        // SAFETY: the loader's record holds a C string that lives as long as the object.
        unsafe { CStr::from_ptr(info.dlpi_name) }.to_string_lossy().into_owned()
    };
    let bias = info.dlpi_addr as usize;
    let mut object = Object { path, bias, start: usize::MAX, end: 0, dynamic: 0, relro: None };
    for i in 0..usize::from(info.dlpi_phnum) {
        // SAFETY: the record says that dlpi_phnum headers stand at dlpi_phdr.
        let header = unsafe { &*info.dlpi_phdr.add(i) };
        let start = bias.wrapping_add(header.p_vaddr as usize);
        match header.p_type {
            libc::PT_LOAD => {
                object.start = object.start.min(start);
                object.end = object.end.max(start + header.p_memsz as usize);
            }
            libc::PT_DYNAMIC => object.dynamic = start,
            libc::PT_GNU_RELRO => object.relro = Some((start, header.p_memsz as usize)),
            _ => {}
        }
    }
    object
}

/// The object that `address` lies in.
pub fn containing(address: usize) -> Option<Object> {
    all().into_iter().find(|o| o.contains(address))
}

/// The object that this code is part of.
pub fn own() -> &'static Object {
    static OWN: std::sync::OnceLock<Object> = std::sync::OnceLock::new();
    OWN.get_or_init(|| containing(own as fn() -> &'static Object as usize).expect("this code is loaded"))
}

/// The first loaded object, ours excepted, that itself defines `name`.
pub fn defining(name: &str) -> Option<(Object, Handle)> {
    all().into_iter().filter(|o| o != own()).find_map(|object| {
        let handle = object.open()?;
        let address = handle.symbol(name)?;
        object.contains(address as usize).then_some((object, handle))
    })
}

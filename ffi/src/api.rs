//! The functions of a llama.cpp that is part of the program, handed over by the program itself.
//!
//! A static program has no symbols that a library could look up. It fills a list of names and addresses with the macro
//! `EK_API_FILL` of `include/evenkeel.h`; the names make the list good for a library that needs more or fewer.

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_void},
};

/// `ek_api_function`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ApiFunction {
    name: *const c_char,
    function: *const c_void,
}

impl ApiFunction {
    /// An entry; `name` must live as long as it.
    pub fn new(name: &CStr, function: *const c_void) -> ApiFunction {
        ApiFunction { name: name.as_ptr(), function }
    }
}

/// `ek_api`
#[repr(C)]
pub struct Api {
    /// The ABI version of the header that the program was compiled with.
    pub abi_version: u32,
    count: u32,
    functions: *const ApiFunction,
}

impl Api {
    /// What `EK_API_FILL` makes; `list` must live as long as it.
    pub fn new(list: &[ApiFunction]) -> Api {
        Api { abi_version: 1, count: list.len() as u32, functions: list.as_ptr() }
    }
}

/// More functions than any version will need: a longer list is no list of ours.
const MAX_FUNCTIONS: u32 = 1024;

/// The functions by name.
#[derive(Debug, Clone)]
pub struct ApiTable(HashMap<String, usize>);

impl ApiTable {
    /// Copies the list; `None` if it is too long to be one.
    ///
    /// # Safety
    /// `api` was filled by `EK_API_FILL`: its names are C strings, its addresses functions of these names.
    pub unsafe fn read(api: &Api) -> Option<ApiTable> {
        if api.count > MAX_FUNCTIONS || (api.functions.is_null() && api.count > 0) {
            return None;
        }
        let mut table = HashMap::new();
        for i in 0..api.count as usize {
            // SAFETY: the caller's promise.
            let entry = unsafe { *api.functions.add(i) };
            if !entry.name.is_null() && !entry.function.is_null() {
                // SAFETY: as above.
                let name = unsafe { CStr::from_ptr(entry.name) }.to_string_lossy().into_owned();
                table.insert(name, entry.function as usize);
            }
        }
        Some(ApiTable(table))
    }

    /// The address of `name`, if the program handed it over.
    pub fn symbol(&self, name: &str) -> Option<*const c_void> {
        self.0.get(name).map(|address| *address as *const c_void)
    }
}

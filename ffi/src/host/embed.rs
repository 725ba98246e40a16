//! The plug-in as a program that contains llama.cpp uses it: given functions, and told of contexts and batches.

use std::ffi::{CString, c_void};

use super::{Llama, Plugin, PluginError, open};
use crate::{
    api::{Api, ApiFunction},
    generated::types::{llama_batch, llama_context},
};

/// The list of functions that the plug-in takes: `group name need` per line.
const SYMBOLS: &str = include_str!("../../generate/symbols.txt");

type OfContext = unsafe extern "C" fn(*mut llama_context) -> i32;
type OfBatch = unsafe extern "C" fn(*mut llama_context, *const llama_batch) -> i32;

/// The plug-in's functions for such a program.
#[derive(Clone, Copy)]
pub struct Embedded {
    attach: OfContext,
    detach: OfContext,
    before_decode: OfBatch,
}

/// The functions that a header's `EK_API_FILL` hands over: all that are required, those for driving a host apart.
pub fn names() -> Vec<&'static str> {
    let lines = SYMBOLS.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|l| matches!(l[..], [group, _, "required"] if !["#", "host"].contains(&group))).map(|l| l[1]).collect()
}

impl Plugin {
    /// Hands the functions of `llama` over. Contexts are steered that are attached with
    /// [`Context::attach`](super::Context::attach).
    ///
    /// # Errors
    /// [`PluginError::Missing`] for a plug-in without these functions, [`PluginError::Refused`].
    pub fn embed(&self, llama: &Llama) -> Result<Embedded, PluginError> {
        let handle = open::load(self.path()).map_err(PluginError::Load)?;
        let mut missing = Vec::new();
        let mut function = |name: &'static str| {
            let found = CString::new(name).ok().and_then(|n| open::symbol(handle, &n));
            found.unwrap_or_else(|| {
                missing.push(name);
                std::ptr::null()
            })
        };
        let [install, attach, detach, before_decode] =
            ["ek_install_api", "ek_attach", "ek_detach", "ek_before_decode"].map(&mut function);
        if !missing.is_empty() {
            return Err(PluginError::Missing { path: self.path().to_owned(), names: missing });
        }
        let texts: Vec<CString> = names().into_iter().filter_map(|n| CString::new(n).ok()).collect();
        let address = |name: &CString| llama.tables().symbol(name.to_str().ok()?);
        let list: Vec<ApiFunction> =
            texts.iter().filter_map(|name| Some(ApiFunction::new(name, address(name)?))).collect();
        let api = Api::new(&list);
        // SAFETY: none is null, and the types are those of include/evenkeel.h; the list and its names live across the
        // call, which copies them.
        unsafe {
            let install = std::mem::transmute::<*const c_void, unsafe extern "C" fn(*const Api) -> i32>(install);
            self.check("ek_install_api", install(&raw const api))?;
            Ok(Embedded {
                attach: std::mem::transmute::<*const c_void, OfContext>(attach),
                detach: std::mem::transmute::<*const c_void, OfContext>(detach),
                before_decode: std::mem::transmute::<*const c_void, OfBatch>(before_decode),
            })
        }
    }
}

impl Embedded {
    /// # Safety
    /// `ctx` lives and belongs to this thread.
    pub(super) unsafe fn attach(&self, plugin: &Plugin, ctx: *mut llama_context) -> Result<(), PluginError> {
        // SAFETY: the caller's promise.
        plugin.check("ek_attach", unsafe { (self.attach)(ctx) })
    }

    /// # Safety
    /// As [`Embedded::attach`].
    pub(super) unsafe fn detach(&self, ctx: *mut llama_context) {
        // SAFETY: the caller's promise. It fails for a null pointer only.
        unsafe { (self.detach)(ctx) };
    }

    /// # Safety
    /// As [`Embedded::attach`]; the batch is what `llama_decode` gets.
    pub(super) unsafe fn before_decode(&self, ctx: *mut llama_context, batch: &llama_batch) {
        // SAFETY: the caller's promise. What it can say is said in the plug-in's log as well.
        unsafe { (self.before_decode)(ctx, batch) };
    }
}

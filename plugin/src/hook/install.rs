//! The way in for a library that was loaded late: the host's own call slots are pointed at the entries.

use evenkeel_ffi::{
    object::{self, Object},
    reloc,
};

use super::entry::HOOKS;

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// No llama.cpp here.
    #[error("no llama.cpp is loaded in this process yet: load the program's llama library first, then call ek_install")]
    NoLlama,
    /// A llama.cpp is there, but calls inside it do not pass any slot that could be redirected.
    #[error("{object} defines llama.cpp, but its calls to {} do not go through the loader (built with hidden visibility, or static): it cannot be hooked this way", names.join(", "))]
    NoSlots {
        /// The object.
        object: String,
        /// The functions that have no slot.
        names: Vec<&'static str>,
    },
    /// The system refused to make a slot writable.
    #[error("{object}: a call slot cannot be made writable: {error}")]
    Protected {
        /// The object.
        object: String,
        /// The system's word.
        error: std::io::Error,
    },
}

/// Points the call slots of every loaded object at the entries. Doing it again changes nothing.
///
/// # Errors
/// [`InstallError`]
pub fn install() -> Result<(), InstallError> {
    let (llama, _) = object::defining("llama_init_from_model").ok_or(InstallError::NoLlama)?;
    let names: Vec<&str> = HOOKS.iter().map(|h| h.name).collect();
    let slots = reloc::slots(&llama, &names);
    let absent = |name: &str| !slots.iter().any(|s| names[s.name] == name);
    // Others call llama_init_from_model, so llama.cpp itself need not.
    let needed = HOOKS.iter().filter(|h| h.required && h.name != "llama_init_from_model");
    let missing: Vec<&'static str> = needed.map(|h| h.name).filter(|n| absent(n)).collect();
    if !missing.is_empty() {
        return Err(InstallError::NoSlots { object: llama.name().to_owned(), names: missing });
    }
    for object in object::all().iter().filter(|o| *o != object::own()) {
        redirect(object, &names)?;
    }
    Ok(())
}

fn redirect(object: &Object, names: &[&str]) -> Result<(), InstallError> {
    // Keeps the object, whose slots are about to point here, loaded.
    if object.open().is_none() {
        return Ok(());
    }
    for slot in reloc::slots(object, names) {
        // SAFETY: the slot was read from this loaded object, and the entry goes on to the function it named.
        unsafe { reloc::patch(object, slot, HOOKS[slot.name].address()) }
            .map_err(|error| InstallError::Protected { object: object.name().to_owned(), error })?;
    }
    Ok(())
}

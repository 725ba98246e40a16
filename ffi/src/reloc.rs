//! Redirects the calls that an object makes to named functions, by rewriting its relocated pointers. Linux, 64 bit.
//!
//! This is the way in for programs where symbol order does not help, because the plug-in was loaded late and locally.
//! Every JUMP_SLOT and GLOB_DAT relocation of the object whose symbol is on the list gets the replacement's address,
//! whether the loader has already bound it or would do so at the first call.

use std::ffi::{CStr, c_char, c_void};

use crate::object::Object;

const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_RELA: i64 = 7;
const DT_RELASZ: i64 = 8;
const DT_JMPREL: i64 = 23;

#[cfg(target_arch = "x86_64")]
const POINTER_KINDS: [u32; 2] = [6, 7]; // R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT
#[cfg(target_arch = "aarch64")]
const POINTER_KINDS: [u32; 2] = [1025, 1026]; // R_AARCH64_GLOB_DAT, R_AARCH64_JUMP_SLOT

/// One `Elf64_Rela`.
#[repr(C)]
struct Rela {
    offset: u64,
    info: u64,
    addend: i64,
}

/// One `Elf64_Sym`.
#[repr(C)]
struct Sym {
    name: u32,
    info: u8,
    other: u8,
    shndx: u16,
    value: u64,
    size: u64,
}

/// A pointer of an object that the loader fills with a function's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Index into the list of names that was asked for.
    pub name: usize,
    address: usize,
}

/// The pointers of `object` that hold the addresses of `names`.
///
/// An object that cannot be read (no dynamic section) has none.
pub fn slots(object: &Object, names: &[&str]) -> Vec<Slot> {
    if object.dynamic == 0 {
        return Vec::new();
    }
    // SAFETY: the loader mapped the object and its dynamic section, which ends with a DT_NULL entry; the tables that
    // it names are mapped for as long as the object is, which the caller keeps loaded.
    unsafe {
        let (mut strings, mut symbols) = (0usize, 0usize);
        let (mut plt, mut plt_size, mut rela, mut rela_size) = (0usize, 0usize, 0usize, 0usize);
        let mut entry = object.dynamic as *const [i64; 2];
        while (*entry)[0] != 0 {
            let value = (*entry)[1] as usize;
            match (*entry)[0] {
                DT_STRTAB => strings = absolute(object, value),
                DT_SYMTAB => symbols = absolute(object, value),
                DT_JMPREL => plt = absolute(object, value),
                DT_PLTRELSZ => plt_size = value,
                DT_RELA => rela = absolute(object, value),
                DT_RELASZ => rela_size = value,
                _ => {}
            }
            entry = entry.add(1);
        }
        if strings == 0 || symbols == 0 {
            return Vec::new();
        }
        let mut slots = Vec::new();
        for (table, size) in [(plt, plt_size), (rela, rela_size)] {
            if table == 0 {
                continue;
            }
            for entry in std::slice::from_raw_parts(table as *const Rela, size / size_of::<Rela>()) {
                if !POINTER_KINDS.contains(&(entry.info as u32)) {
                    continue;
                }
                let symbol = &*(symbols as *const Sym).add((entry.info >> 32) as usize);
                let name = CStr::from_ptr((strings + symbol.name as usize) as *const c_char);
                if let Some(name) = names.iter().position(|n| n.as_bytes() == name.to_bytes()) {
                    slots.push(Slot { name, address: object.bias + entry.offset as usize });
                }
            }
        }
        slots
    }
}

/// glibc turns the addresses in a dynamic section into absolute ones, other loaders leave them relative.
fn absolute(object: &Object, value: usize) -> usize {
    if value >= object.bias { value } else { value + object.bias }
}

/// Points `slot` of `object` at `target`.
///
/// # Errors
/// The system's error if the page could not be made writable.
///
/// # Safety
/// `slot` comes from [`slots`] of the same, still loaded `object`, and `target` is a function that can stand in for
/// the one the slot names.
pub unsafe fn patch(object: &Object, slot: Slot, target: *const c_void) -> std::io::Result<()> {
    // The loader rounds both ends of RELRO down to whole pages: a last page that it covers in part stays writable, and
    // must stay so, because variables of the object share it.
    let page = page_size();
    let down = |address: usize| address / page * page;
    let inside = |start: usize, len: usize| (down(start)..down(start + len)).contains(&slot.address);
    let read_only = object.relro.is_some_and(|(start, len)| inside(start, len));
    if read_only {
        protect(slot.address, libc::PROT_READ | libc::PROT_WRITE)?;
    }
    // SAFETY: the slot is an aligned pointer of a loaded object, on a page that is writable now. Other threads may
    // call through it at the same time: they see the old or the new address, both of which work.
    unsafe {
        (*(slot.address as *const std::sync::atomic::AtomicPtr<c_void>))
            .store(target.cast_mut(), std::sync::atomic::Ordering::Release);
    }
    if read_only {
        protect(slot.address, libc::PROT_READ)?;
    }
    Ok(())
}

fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

fn protect(address: usize, protection: i32) -> std::io::Result<()> {
    let page = page_size();
    let start = address / page * page;
    // SAFETY: the page holds a slot of a loaded object; only its write permission changes.
    let failed = unsafe { libc::mprotect(start as *mut c_void, page, protection) } != 0;
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

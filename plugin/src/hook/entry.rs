//! The exported entries: one per hooked function, in assembly, because an entry must not know the function's parameters.
//!
//! Some of them are C++ members of llama.cpp's, some pass a large struct by value: an entry saves the argument
//! registers, calls [`dispatch::enter`] with the hook's number and the saved registers, restores them and jumps to the
//! address that it returned, so that the host's function finds everything as its caller left it and returns straight to
//! it. If the address is null, the call is refused: the entry returns 0 (NULL, false).

use std::{ffi::c_void, fmt};

use super::dispatch;

/// The argument registers at the entry of a hooked function.
#[repr(C)]
#[cfg(target_arch = "x86_64")]
pub struct Registers {
    /// r9, r8, rcx, rdx, rsi, rdi
    reversed: [usize; 6],
    rbp: usize,
    return_address: usize,
    stack: [usize; 0],
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// The `n`th argument (from 0) of those that are passed in integer registers.
    pub fn argument(&self, n: usize) -> usize {
        self.reversed[5 - n]
    }

    /// Where the call came from.
    pub fn caller(&self) -> usize {
        self.return_address
    }

    /// The large struct that is passed by value after `_n` other arguments: System V copies it to the stack.
    pub fn by_value<T>(&self, _n: usize) -> *const T {
        self.stack.as_ptr().cast()
    }
}

/// The argument registers at the entry of a hooked function.
#[repr(C)]
#[cfg(target_arch = "aarch64")]
pub struct Registers {
    frame: usize,
    return_address: usize,
    arguments: [usize; 8],
    result: usize,
    _align: usize,
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    /// The `n`th argument (from 0) of those that are passed in integer registers.
    pub fn argument(&self, n: usize) -> usize {
        self.arguments[n]
    }

    /// Where the call came from.
    pub fn caller(&self) -> usize {
        self.return_address
    }

    /// The large struct that is passed by value after `n` other arguments: AAPCS64 passes a pointer to a copy.
    pub fn by_value<T>(&self, n: usize) -> *const T {
        self.arguments[n] as *const T
    }
}

/// A hooked function.
pub struct Hook {
    /// Its symbol.
    pub name: &'static str,
    /// Our entry of the same symbol.
    pub entry: unsafe extern "C" fn(),
    /// What to do before the host's function runs.
    pub work: dispatch::Work,
    /// Without it, nothing can be done in a host.
    pub required: bool,
}

impl Hook {
    /// The entry's address, to be put into a call slot.
    pub fn address(&self) -> *const c_void {
        self.entry as *const c_void
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Defines [`HOOKS`] and an exported entry for each.
macro_rules! hooks {
    ($($index:literal $entry:ident $symbol:literal $need:ident $work:path;)*) => {
        /// All hooks. An entry knows its hook by its place here.
        pub static HOOKS: &[Hook] = &[$(Hook {
            name: $symbol,
            entry: $entry,
            work: $work,
            required: hooks!(@$need),
        }),*];

        $(
            #[doc = concat!("Stands in front of `", $symbol, "`.")]
            // SAFETY: the symbol is llama.cpp's or ggml's own, to be interposed on purpose; every call goes on to it.
            #[unsafe(export_name = $symbol)]
            #[unsafe(naked)]
            pub unsafe extern "C" fn $entry() {
                entry!($index)
            }
        )*
    };
    (@required) => { true };
    (@optional) => { false };
}

/// The entry's code. `$index` is the hook's place in [`HOOKS`].
#[cfg(target_arch = "x86_64")]
macro_rules! entry {
    ($index:literal) => {
        core::arch::naked_asm!(
            // 8 bytes (return address) + 8 + 6·8: the stack is aligned to 16 again at the call.
            "push rbp",
            "mov rbp, rsp",
            "push rdi",
            "push rsi",
            "push rdx",
            "push rcx",
            "push r8",
            "push r9",
            "mov edi, {index}",
            "mov rsi, rsp",
            "call {enter}",
            "pop r9",
            "pop r8",
            "pop rcx",
            "pop rdx",
            "pop rsi",
            "pop rdi",
            "pop rbp",
            "test rax, rax",
            "je 2f",
            "jmp rax",
            "2:",
            "xor eax, eax",
            "ret",
            index = const $index,
            enter = sym dispatch::enter,
        )
    };
}

/// The entry's code. `$index` is the hook's place in [`HOOKS`].
#[cfg(target_arch = "aarch64")]
macro_rules! entry {
    ($index:literal) => {
        core::arch::naked_asm!(
            "stp x29, x30, [sp, #-96]!",
            "mov x29, sp",
            "stp x0, x1, [sp, #16]",
            "stp x2, x3, [sp, #32]",
            "stp x4, x5, [sp, #48]",
            "stp x6, x7, [sp, #64]",
            "str x8, [sp, #80]",
            "mov w0, #{index}",
            "mov x1, sp",
            "bl {enter}",
            "mov x16, x0",
            "ldp x0, x1, [sp, #16]",
            "ldp x2, x3, [sp, #32]",
            "ldp x4, x5, [sp, #48]",
            "ldp x6, x7, [sp, #64]",
            "ldr x8, [sp, #80]",
            "ldp x29, x30, [sp], #96",
            "cbz x16, 2f",
            "br x16",
            "2:",
            "mov x0, xzr",
            "ret",
            index = const $index,
            enter = sym dispatch::enter,
        )
    };
}

hooks! {
    0 init_from_model "llama_init_from_model" required super::context::before_init;
    1 context_new "_ZN13llama_contextC1ERK11llama_model20llama_context_params" required super::context::before_new;
    2 context_drop "_ZN13llama_contextD1Ev" required super::context::before_drop;
    3 process_ubatch "_ZN13llama_context14process_ubatchERK12llama_ubatch14llm_graph_typeP22llama_memory_context_iR11ggml_status" required super::context::before_ubatch;
    4 graph_reserve "_ZN13llama_context13graph_reserveEjjjPK22llama_memory_context_ibPm" required super::context::before_graph_reserve;
    5 sched_reserve "ggml_backend_sched_reserve" required super::graph::before_reserve;
    6 sched_reserve_size "ggml_backend_sched_reserve_size" optional super::graph::before_measure;
    7 sched_split_graph "ggml_backend_sched_split_graph" optional super::graph::before_measure;
    8 sched_alloc_graph "ggml_backend_sched_alloc_graph" required super::graph::before_alloc;
    9 sched_graph_compute_async "ggml_backend_sched_graph_compute_async" required super::graph::before_compute;
    10 sched_free "ggml_backend_sched_free" required super::graph::before_sched_free;
}

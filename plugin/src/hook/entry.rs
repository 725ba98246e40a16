//! The exported entries: one per hooked function, in assembly, because an entry must not know the function's parameters.
//!
//! Some of them are C++ members of llama.cpp's, some pass a large struct by value: an entry saves the argument
//! registers, calls [`dispatch::enter`] with the hook's number and the saved registers, restores them (or what the hook
//! changed in them) and jumps to the address that it returned, so that the host's function finds everything as its caller
//! left it and returns straight to it. If the address is null, the host's function does not run, and the entry returns
//! what the hook says: 0 (NULL, false) if the call is refused.
//!
//! Where something has to follow the host's function (what goes with a saved state), the entry calls it instead of
//! jumping, and then [`dispatch::leave`]. Such functions take no more than six integers. Both kinds carry unwind
//! information, so that an exception of the host's passes.

use std::{cell::Cell, ffi::c_void, fmt};

use super::dispatch;

/// The argument registers at the entry of a hooked function.
#[repr(C)]
#[cfg(target_arch = "x86_64")]
pub struct Registers {
    /// xmm0 to xmm3: no hooked function takes more numbers.
    floats: [[usize; 2]; 4],
    /// r9, r8, rcx, rdx, rsi, rdi
    reversed: [Cell<usize>; 6],
    rbp: usize,
    return_address: usize,
    stack: [usize; 0],
}

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// The `n`th argument (from 0) of those that are passed in integer registers.
    pub fn argument(&self, n: usize) -> usize {
        self.reversed[5 - n].get()
    }

    /// What the host's function will find there.
    pub fn set_argument(&self, n: usize, value: usize) {
        self.reversed[5 - n].set(value);
    }

    /// Where the call came from.
    pub fn caller(&self) -> usize {
        self.return_address
    }

    /// The place among [`Self::argument`]s of the `n`th one of a function that returns a large struct: System V passes where
    /// it shall lie as the first.
    pub const fn behind_result(n: usize) -> usize {
        n + 1
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
    arguments: [Cell<usize>; 8],
    result: usize,
    _align: usize,
    /// q0 to q3: no hooked function takes more numbers.
    floats: [[usize; 2]; 4],
}

#[cfg(target_arch = "aarch64")]
impl Registers {
    /// The `n`th argument (from 0) of those that are passed in integer registers.
    pub fn argument(&self, n: usize) -> usize {
        self.arguments[n].get()
    }

    /// What the host's function will find there.
    pub fn set_argument(&self, n: usize, value: usize) {
        self.arguments[n].set(value);
    }

    /// Where the call came from.
    pub fn caller(&self) -> usize {
        self.return_address
    }

    /// The place among [`Self::argument`]s of the `n`th one of a function that returns a large struct: AAPCS64 passes where it
    /// shall lie in x8.
    pub const fn behind_result(n: usize) -> usize {
        n
    }

    /// The large struct that is passed by value after `n` other arguments: AAPCS64 passes a pointer to a copy.
    pub fn by_value<T>(&self, n: usize) -> *const T {
        self.arguments[n].get() as *const T
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
    /// What to do after it.
    pub after: Option<dispatch::After>,
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
    ($($index:literal $entry:ident $symbol:literal $need:ident $work:path $(=> $after:path)?;)*) => {
        /// All hooks. An entry knows its hook by its place here.
        pub static HOOKS: &[Hook] = &[$(Hook {
            name: $symbol,
            entry: $entry,
            work: $work,
            after: hooks!(@after $($after)?),
            required: hooks!(@$need),
        }),*];

        $(
            #[doc = concat!("Stands in front of `", $symbol, "`.")]
            // SAFETY: the symbol is llama.cpp's or ggml's own, to be interposed on purpose; every call goes on to it.
            #[unsafe(export_name = $symbol)]
            #[unsafe(naked)]
            pub unsafe extern "C" fn $entry() {
                hooks!(@code $index $($after)?)
            }
        )*
    };
    (@after) => { None };
    (@after $after:path) => { Some($after) };
    (@code $index:literal) => { entry!($index) };
    (@code $index:literal $after:path) => { entry_around!($index) };
    (@required) => { true };
    (@optional) => { false };
}

/// The entry's code. `$index` is the hook's place in [`HOOKS`].
#[cfg(target_arch = "x86_64")]
macro_rules! entry {
    ($index:literal) => {
        core::arch::naked_asm!(
            save!(),
            "mov edi, {index}",
            "mov rsi, rsp",
            "call {enter}",
            "mov r11, rdx",
            restore!(),
            "leave",
            ".cfi_def_cfa rsp, 8",
            "test rax, rax",
            "je 2f",
            "jmp rax",
            "2:",
            "mov rax, r11",
            "ret",
            ".cfi_endproc",
            index = const $index,
            enter = sym dispatch::enter,
        )
    };
}

/// The code of an entry that comes back after the host's function.
#[cfg(target_arch = "x86_64")]
macro_rules! entry_around {
    ($index:literal) => {
        core::arch::naked_asm!(
            save!(),
            "mov edi, {index}",
            "mov rsi, rsp",
            "call {enter}",
            "test rax, rax",
            "je 2f",
            "mov r11, rax",
            restore!(),
            "call r11",
            "mov edi, {index}",
            "mov rsi, rsp",
            "mov rdx, rax",
            "call {leave}",
            "mov rdx, rax",
            "2:",
            "mov rax, rdx",
            "leave",
            ".cfi_def_cfa rsp, 8",
            "ret",
            ".cfi_endproc",
            index = const $index,
            enter = sym dispatch::enter,
            leave = sym dispatch::leave,
        )
    };
}

/// Saves the argument registers as [`Registers`]. 8 bytes (return address) + 8 + 6·8 + 64: the stack is aligned to 16
/// again.
#[cfg(target_arch = "x86_64")]
macro_rules! save {
    () => {
        concat!(
            ".cfi_startproc\n",
            "push rbp\n",
            ".cfi_def_cfa_offset 16\n",
            ".cfi_offset rbp, -16\n",
            "mov rbp, rsp\n",
            ".cfi_def_cfa_register rbp\n",
            "push rdi\n",
            "push rsi\n",
            "push rdx\n",
            "push rcx\n",
            "push r8\n",
            "push r9\n",
            "sub rsp, 64\n",
            "movups [rsp], xmm0\n",
            "movups [rsp + 16], xmm1\n",
            "movups [rsp + 32], xmm2\n",
            "movups [rsp + 48], xmm3",
        )
    };
}

/// Loads the argument registers from what was saved; the stack stays.
#[cfg(target_arch = "x86_64")]
macro_rules! restore {
    () => {
        concat!(
            "movups xmm0, [rsp]\n",
            "movups xmm1, [rsp + 16]\n",
            "movups xmm2, [rsp + 32]\n",
            "movups xmm3, [rsp + 48]\n",
            "mov r9, [rsp + 64]\n",
            "mov r8, [rsp + 72]\n",
            "mov rcx, [rsp + 80]\n",
            "mov rdx, [rsp + 88]\n",
            "mov rsi, [rsp + 96]\n",
            "mov rdi, [rsp + 104]",
        )
    };
}

/// The entry's code. `$index` is the hook's place in [`HOOKS`].
#[cfg(target_arch = "aarch64")]
macro_rules! entry {
    ($index:literal) => {
        core::arch::naked_asm!(
            save!(),
            "mov w0, #{index}",
            "mov x1, sp",
            "bl {enter}",
            "mov x16, x0",
            "mov x17, x1",
            restore!(),
            "ldp x29, x30, [sp], #160",
            ".cfi_def_cfa sp, 0",
            "cbz x16, 2f",
            "br x16",
            "2:",
            "mov x0, x17",
            "ret",
            ".cfi_endproc",
            index = const $index,
            enter = sym dispatch::enter,
        )
    };
}

/// The code of an entry that comes back after the host's function.
#[cfg(target_arch = "aarch64")]
macro_rules! entry_around {
    ($index:literal) => {
        core::arch::naked_asm!(
            save!(),
            "mov w0, #{index}",
            "mov x1, sp",
            "bl {enter}",
            "cbz x0, 2f",
            "mov x16, x0",
            restore!(),
            "blr x16",
            "mov x2, x0",
            "mov w0, #{index}",
            "mov x1, sp",
            "bl {leave}",
            "mov x1, x0",
            "2:",
            "mov x0, x1",
            "ldp x29, x30, [sp], #160",
            ".cfi_def_cfa sp, 0",
            "ret",
            ".cfi_endproc",
            index = const $index,
            enter = sym dispatch::enter,
            leave = sym dispatch::leave,
        )
    };
}

/// Saves the argument registers as [`Registers`].
#[cfg(target_arch = "aarch64")]
macro_rules! save {
    () => {
        concat!(
            ".cfi_startproc\n",
            "stp x29, x30, [sp, #-160]!\n",
            "mov x29, sp\n",
            ".cfi_def_cfa x29, 160\n",
            ".cfi_offset x29, -160\n",
            ".cfi_offset x30, -152\n",
            "stp x0, x1, [sp, #16]\n",
            "stp x2, x3, [sp, #32]\n",
            "stp x4, x5, [sp, #48]\n",
            "stp x6, x7, [sp, #64]\n",
            "str x8, [sp, #80]\n",
            "stp q0, q1, [sp, #96]\n",
            "stp q2, q3, [sp, #128]",
        )
    };
}

/// Loads the argument registers from what was saved; the stack stays.
#[cfg(target_arch = "aarch64")]
macro_rules! restore {
    () => {
        concat!(
            "ldp x0, x1, [sp, #16]\n",
            "ldp x2, x3, [sp, #32]\n",
            "ldp x4, x5, [sp, #48]\n",
            "ldp x6, x7, [sp, #64]\n",
            "ldr x8, [sp, #80]\n",
            "ldp q0, q1, [sp, #96]\n",
            "ldp q2, q3, [sp, #128]",
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
    7 sched_split_graph "ggml_backend_sched_split_graph" optional super::graph::before_split;
    8 sched_alloc_graph "ggml_backend_sched_alloc_graph" required super::graph::before_alloc;
    9 sched_graph_compute_async "ggml_backend_sched_graph_compute_async" required super::graph::before_compute;
    10 sched_free "ggml_backend_sched_free" required super::graph::before_sched_free;
    11 can_reuse "_ZN16llm_graph_result9can_reuseERK16llm_graph_params" required super::context::before_can_reuse;
    12 decode_batch "_ZN13llama_context6decodeERK11llama_batch" required super::decode::before_decode;
    13 decode_batch_ext "_ZN13llama_context6decodeERK15llama_batch_ext" optional super::decode::before_decode;
    14 memory_clear "llama_memory_clear" optional super::memory::before_clear;
    15 memory_seq_rm "llama_memory_seq_rm" optional super::memory::before_remove;
    16 memory_seq_cp "llama_memory_seq_cp" optional super::memory::before_copy;
    17 memory_seq_keep "llama_memory_seq_keep" optional super::memory::before_keep;
    18 memory_seq_add "llama_memory_seq_add" optional super::memory::before_shift;
    19 memory_seq_div "llama_memory_seq_div" optional super::memory::before_divide;
    20 memory_seq_pos_min "llama_memory_seq_pos_min" optional super::memory::before_pos_min;
    21 state_seq_get_size "llama_state_seq_get_size_ext" optional super::saved::before_any => super::saved::after_size;
    22 state_seq_get_data "llama_state_seq_get_data_ext" optional super::saved::before_any => super::saved::after_save;
    23 state_seq_set_data "llama_state_seq_set_data_ext" optional super::saved::before_restore => super::saved::after_restore;
    24 state_seq_save_file "llama_state_seq_save_file" optional super::saved::before_any => super::saved::after_save_file;
    25 state_seq_load_file "llama_state_seq_load_file" optional super::saved::before_any => super::saved::after_load_file;
    26 state_set_data "llama_state_set_data" optional super::saved::before_restore_all;
    27 state_load_file "llama_state_load_file" optional super::saved::before_restore_all;
    28 set_sampler "llama_set_sampler" optional super::request::before_set_sampler;
    29 sampler_init_dry "llama_sampler_init_dry" optional super::request::before_init_dry;
    30 sampler_chain_init "llama_sampler_chain_init" optional super::request::before_chain_init;
    31 graph_overhead "ggml_graph_overhead_custom" optional super::capacity::before_overhead;
    32 new_graph "ggml_new_graph_custom" optional super::capacity::before_new_graph;
    33 sched_new "ggml_backend_sched_new" optional super::capacity::before_new_sched => super::capacity::after_new_sched;
    34 split_simple "_ZN18llama_batch_allocr12split_simpleEj" optional super::split::before_simple;
    35 split_equal "_ZN18llama_batch_allocr11split_equalEjbj" optional super::split::before_equal;
    36 set_adapters_lora "llama_set_adapters_lora" optional super::contrast::before_lora;
    37 set_adapter_cvec "llama_set_adapter_cvec" optional super::contrast::before_cvec;
}

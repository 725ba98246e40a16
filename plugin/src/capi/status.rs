//! Status codes, as in `include/evenkeel.h`.

/// `ek_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A null pointer, text that is not UTF-8, a number that is not finite or too large.
    Argument = 1,
    /// The version asked for is not spoken.
    Version = 2,
    /// No llama.cpp here, or none that can be hooked.
    Host = 3,
    /// The profile or one of its files has errors.
    Profile = 4,
    /// No such rule, or its strength cannot be changed.
    Rule = 5,
    /// The buffer is too small.
    Space = 6,
    /// An internal error: the plug-in passes everything through from here on.
    Internal = 7,
    /// No context of ours.
    Context = 8,
}

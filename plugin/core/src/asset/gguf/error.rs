//! What can be wrong with the structure of a GGUF file.

/// A GGUF file that cannot be read. Printed as `what, got, allowed`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file ends early.
    #[error("the GGUF file is cut short, got {have} bytes, allowed: at least the {need} that it refers to")]
    Truncated {
        /// Bytes the file would need to have.
        need: u64,
        /// Bytes it has.
        have: u64,
    },
    /// It does not begin as a GGUF file does.
    #[error("not a GGUF file, got the first bytes {got:02x?}, allowed: \"GGUF\"")]
    Magic {
        /// The first bytes.
        got: Vec<u8>,
    },
    /// A version that is not read here.
    #[error("GGUF version, got {got}, allowed: 2, 3")]
    Version {
        /// The version.
        got: u32,
    },
    /// The numbers are stored in the other byte order.
    #[error("byte order of the GGUF file, got big-endian, allowed: little-endian")]
    BigEndian,
    /// A count over its cap.
    #[error("too many {what} in the GGUF file, got {got}, allowed: at most {max}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The count in the file.
        got: u64,
        /// The cap.
        max: u64,
    },
    /// A key or tensor name that is empty, too long, not UTF-8 or has control characters.
    #[error("bad name at byte {at} of the GGUF file, got {got}, allowed: 1 to 65535 bytes of printable UTF-8")]
    BadName {
        /// Where the name begins.
        at: u64,
        /// What is wrong with it.
        got: String,
    },
    /// A metadata value of a type that GGUF does not have, or a list of lists.
    #[error("type of the value of `{key}`, got {got}, allowed: GGUF types 0 to 12, no lists of lists")]
    ValueType {
        /// The metadata key.
        key: String,
        /// The type's number.
        got: u32,
    },
    /// A metadata key twice.
    #[error("the GGUF file has a key twice, got `{key}`, allowed: each key once")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A tensor name twice.
    #[error("the GGUF file has a tensor twice, got `{name}`, allowed: each tensor once")]
    DuplicateTensor {
        /// The name.
        name: String,
    },
    /// A metadata value that is needed has another type than it must have.
    #[error("value of `{key}`, got {got}, allowed: {allowed}")]
    Value {
        /// The metadata key.
        key: &'static str,
        /// What it is.
        got: String,
        /// What it must be.
        allowed: &'static str,
    },
    /// A tensor with more dimensions than ggml has.
    #[error("dimensions of tensor `{name}`, got {got}, allowed: 1 to 4")]
    Dimensions {
        /// The tensor.
        name: String,
        /// Their number.
        got: u32,
    },
    /// A tensor whose data does not follow that of the tensor before it.
    #[error("data of tensor `{name}`, got offset {got}, allowed: {expected}")]
    Offset {
        /// The tensor.
        name: String,
        /// The offset in the file.
        got: u64,
        /// The only offset it can have.
        expected: u64,
    },
}

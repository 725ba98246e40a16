//! How matrices are stored, and their random filling.

use half::f16;

use crate::random::Random;

/// The storage of a model's matrices. Vectors (norms, biases) are always F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// 4 bytes per weight.
    F32,
    /// 2 bytes per weight.
    F16,
    /// 34 bytes per 32 weights: one F16 scale and 32 signed bytes.
    Q8_0,
}

/// Weights per Q8_0 block.
const BLOCK: usize = 32;

impl FileType {
    /// `general.file_type`, as llama.cpp's `llama_ftype` numbers it.
    pub(crate) fn llama_ftype(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 7,
        }
    }

    /// The tensor type, as `ggml_type` numbers it.
    pub(crate) fn ggml_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
        }
    }

    /// Bytes of `elements` weights. Rows must be whole blocks.
    pub(crate) fn bytes(self, elements: u64) -> u64 {
        match self {
            Self::F32 => elements * 4,
            Self::F16 => elements * 2,
            Self::Q8_0 => elements / BLOCK as u64 * (2 + BLOCK as u64),
        }
    }

    /// Weights that one call of [`FileType::fill`] must be a multiple of.
    pub(crate) fn block(self) -> usize {
        if self == Self::Q8_0 { BLOCK } else { 1 }
    }

    /// Appends `elements` random weights with mean 0 and standard deviation `deviation`.
    pub(crate) fn fill(self, random: &mut Random, deviation: f32, elements: usize, out: &mut Vec<u8>) {
        match self {
            Self::F32 => {
                (0..elements).for_each(|_| out.extend((random.normal() * deviation).to_le_bytes()));
            }
            Self::F16 => {
                (0..elements).for_each(|_| out.extend(f16::from_f32(random.normal() * deviation).to_le_bytes()));
            }
            Self::Q8_0 => {
                // Uniform bytes in −128..=127 have a standard deviation of 73.9. llama.cpp never writes −128 itself,
                // and its integer kernels may overflow on it: one bit is dropped there.
                let scale = f16::from_f32(deviation / 73.9).to_le_bytes();
                for _ in 0..elements / BLOCK {
                    out.extend(scale);
                    for _ in 0..BLOCK / 8 {
                        out.extend(random.bits().to_le_bytes().map(|byte| if byte == 0x80 { 0x81 } else { byte }));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_bytes_match_the_declared_size() {
        for file_type in [FileType::F32, FileType::F16, FileType::Q8_0] {
            let mut out = Vec::new();
            file_type.fill(&mut Random::named(0, "t"), 0.1, 4 * BLOCK, &mut out);
            assert_eq!(out.len() as u64, file_type.bytes(4 * BLOCK as u64), "{file_type:?}");
        }
    }
}

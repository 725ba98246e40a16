//! Vision encoders: what llama.cpp's libmtmd turns images into rows of embeddings with.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::arch::{Arch, Fill, List, Part};
use crate::file_type::FileType;
use crate::gguf::Value;
use crate::tiny::{TINY_EMBD, weights};

/// Layers, of which LLaVA's last one is not used.
const LAYERS: u32 = 3;
/// Width of its residual stream.
const EMBD: u64 = 32;
const HEADS: u32 = 2;
const FF: u64 = 64;
/// Pixels on a side: of an image whose size is fixed, and of a patch.
const IMAGE: u64 = 28;
const PATCH: u64 = 7;
/// Patches on a side that become one row, where some do.
const MERGED: u64 = 2;

/// A tiny vision transformer with a projector, named after the family that has the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vision {
    /// A row for each patch and nothing around them (Liu et al. 2023).
    Llava,
    /// The image keeps its shape: rows in a grid, positions of several dimensions, text before and after it.
    Qwen2Vl,
    /// Few rows, which attend to each other in both directions in the text model, text before and after it.
    Gemma3,
}

impl Vision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Llava, Self::Qwen2Vl, Self::Gemma3];

    /// The text model it is for.
    pub fn arch(self) -> Arch {
        match self {
            Self::Llava => Arch::Llama,
            Self::Qwen2Vl => Arch::Qwen2Vl,
            Self::Gemma3 => Arch::Gemma2,
        }
    }

    /// Text that libmtmd puts before and after an image; to the tiny models it is text as any other.
    pub fn around(self) -> [&'static str; 2] {
        match self {
            Self::Llava => ["", ""],
            Self::Qwen2Vl => ["<|vision_start|>", "<|vision_end|>"],
            Self::Gemma3 => ["<start_of_image>", "<end_of_image>"],
        }
    }

    /// Rows that an image of so many pixels becomes; with [`Vision::Qwen2Vl`] the sides are multiples of 14 and there are at least
    /// 8 rows, or the image would be scaled.
    pub fn rows(self, width: u64, height: u64) -> u64 {
        match self {
            Self::Llava => (IMAGE / PATCH).pow(2),
            Self::Qwen2Vl => width / (PATCH * MERGED) * (height / (PATCH * MERGED)),
            Self::Gemma3 => (IMAGE / PATCH / MERGED).pow(2),
        }
    }

    /// Writes one with random F32 weights, for a tiny text model.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn write(self, seed: u64, path: &Path) -> io::Result<()> {
        weights(&self.metadata(), &self.parts(), FileType::F32, seed, File::create(path)?, &mut |_, _| {})
    }

    fn metadata(self) -> Vec<(String, Value)> {
        let projector = match self {
            Self::Llava => "mlp",
            Self::Qwen2Vl => "qwen2vl_merger",
            Self::Gemma3 => "gemma3",
        };
        let of_vision = [
            ("embedding_length", Value::U32(EMBD as u32)),
            ("feed_forward_length", Value::U32(FF as u32)),
            ("block_count", Value::U32(LAYERS)),
            ("projection_dim", Value::U32(TINY_EMBD)),
            ("attention.head_count", Value::U32(HEADS)),
            ("attention.layer_norm_epsilon", Value::F32(1e-5)),
            ("image_size", Value::U32(IMAGE as u32)),
            ("patch_size", Value::U32(PATCH as u32)),
            ("projector.scale_factor", Value::U32(MERGED as u32)),
            ("image_mean", Value::F32s(vec![0.5; 3])),
            ("image_std", Value::F32s(vec![0.5; 3])),
        ];
        [
            ("general.architecture", Value::Text("clip".into())),
            ("general.type", Value::Text("mmproj".into())),
            ("general.file_type", Value::U32(FileType::F32.llama_ftype())),
            ("clip.has_vision_encoder", Value::Bool(true)),
            ("clip.projector_type", Value::Text(projector.into())),
            ("clip.use_gelu", Value::Bool(true)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .chain(of_vision.map(|(key, value)| (format!("clip.vision.{key}"), value)))
        .collect()
    }

    fn parts(self) -> Vec<Part> {
        let mut list = List(Vec::new());
        let patches = (IMAGE / PATCH).pow(2);
        let kernel = 1.0 / ((PATCH * PATCH * 3) as f32).sqrt();
        // Two frames of a video go into one row, a still image twice.
        let kernels = if self == Self::Qwen2Vl { &["", ".1"][..] } else { &[""] };
        for kernels in kernels {
            list.matrix(&format!("v.patch_embd.weight{kernels}"), &[PATCH, PATCH, 3, EMBD], kernel);
        }
        if self == Self::Llava {
            list.push("v.class_embd", &[EMBD], Fill::Bias);
        }
        if self != Self::Qwen2Vl {
            let class = u64::from(self == Self::Llava);
            list.matrix("v.position_embd.weight", &[EMBD, patches + class], 1.0);
        }
        for layer in 0..LAYERS {
            let blk = format!("v.blk.{layer}");
            norm(&mut list, &format!("{blk}.ln1"));
            for name in ["q", "k", "v", "out"] {
                affine(&mut list, &format!("{blk}.attn_{name}"), EMBD, EMBD);
            }
            norm(&mut list, &format!("{blk}.ln2"));
            affine(&mut list, &format!("{blk}.ffn_up"), EMBD, FF);
            affine(&mut list, &format!("{blk}.ffn_down"), FF, EMBD);
        }
        norm(&mut list, "v.post_ln");
        let text = TINY_EMBD.into();
        match self {
            Self::Llava => {
                affine(&mut list, "mm.0", EMBD, text);
                affine(&mut list, "mm.2", text, text);
            }
            Self::Qwen2Vl => {
                let joined = EMBD * MERGED * MERGED;
                affine(&mut list, "mm.0", joined, joined);
                affine(&mut list, "mm.2", joined, text);
            }
            Self::Gemma3 => {
                list.scale("mm.soft_emb_norm.weight", EMBD);
                // Transposed before it is applied.
                list.matrix("mm.input_projection.weight", &[text, EMBD], 1.0 / (EMBD as f32).sqrt());
            }
        }
        list.0
    }
}

fn affine(list: &mut List, name: &str, from: u64, to: u64) {
    list.linear(&format!("{name}.weight"), &[from, to]);
    list.bias(name, to);
}

fn norm(list: &mut List, name: &str) {
    list.scale(&format!("{name}.weight"), EMBD);
    list.bias(name, EMBD);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct() {
        for vision in Vision::ALL {
            let parts = vision.parts();
            let names: HashSet<&str> = parts.iter().map(|part| part.name.as_str()).collect();
            assert_eq!(names.len(), parts.len(), "{vision:?}");
            let metadata = vision.metadata();
            let keys: HashSet<&str> = metadata.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(keys.len(), metadata.len(), "{vision:?}");
        }
    }

    #[test]
    fn rows_of_an_image() {
        assert_eq!(Vision::ALL.map(|vision| vision.rows(56, 28)), [16, 8, 4]);
    }
}

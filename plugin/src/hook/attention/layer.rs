//! The nodes of one layer. The host's own nodes stay as they are, and what they make of rows that a region concerns is
//! overwritten behind them: rows of other sequences are exactly what they are without.

use std::sync::Arc;

use evenkeel_core::{
    invariance::Part,
    lower::{AttentionSite, Form},
};
use evenkeel_ffi::generated::types::*;

use super::{
    super::view::Viewed,
    build::{Build, Tensor},
    inputs::Inputs,
    kept::{self, Kept},
    places::Places,
};

/// One region in one graph.
pub struct Piece {
    pub part: Part,
    pub kept: Arc<Kept>,
    pub inputs: Places,
}

/// Extents of one layer.
#[derive(Clone, Copy)]
pub struct Extents {
    pub d: i64,
    pub heads: i64,
    pub kv_heads: i64,
    pub values: i64,
    pub n: i64,
    pub n_kv: i64,
}

impl Extents {
    /// Heads of the queries for each of the keys.
    pub fn group(&self) -> i64 {
        self.heads / self.kv_heads
    }
}

/// New nodes behind one of the graph's.
pub struct Edit {
    pub behind: u32,
    pub nodes: Vec<Tensor>,
}

pub struct Emit<'a> {
    pub build: Build<'a>,
    pub viewed: &'a Viewed,
    pub inputs: &'a Inputs,
    /// Bytes of scores that are made at once, where it can be chosen.
    pub budget: usize,
    pub edits: Vec<Edit>,
}

/// What is applied to scores before their softmax.
pub enum Cap {
    /// Nothing.
    None,
    /// What the host's nodes do.
    Like(Vec<Tensor>),
    /// A soft cap, after this scale.
    At(f32, f32),
}

/// What a layer's nodes are made of.
pub struct Layer<'a> {
    pub site: &'a AttentionSite,
    pub x: Extents,
    pub scale: f32,
    /// What the host multiplies rotated queries by; those without positions are multiplied by the same.
    pub query_scale: f32,
    pub cap: Cap,
    /// Null if there are none.
    pub sinks: Tensor,
}

/// A region's keys and values in a layer, as nodes of the graph.
#[derive(Clone, Copy)]
pub struct Slots {
    /// Without positions, `[n_embd_head, n_slots, n_head_kv]`.
    pub bare: Tensor,
    /// `[n_embd_k, n_slots]`
    pub keys: Tensor,
    /// `[n_slots, n_embd_v]`
    pub values: Tensor,
}

impl<'a> Emit<'a> {
    pub fn of(&self, id: evenkeel_core::lower::TensorId) -> Tensor {
        self.viewed.tensor(id)
    }

    pub fn input(&self, number: usize) -> Tensor {
        self.inputs.tensors()[number]
    }

    /// # Safety
    /// The site was found in the graph, whose shapes were compared then.
    pub unsafe fn layer(&mut self, index: usize, site: &'a AttentionSite, x: Extents, pieces: &[Piece]) {
        // SAFETY: the caller's promise.
        unsafe {
            let out = self.of(site.out);
            let (cap, scale, sinks) = match &site.form {
                Form::Scores { caps, soft_max, .. } => {
                    let soft_max = self.of(*soft_max);
                    let caps = caps.iter().map(|cap| self.of(*cap)).collect();
                    (Cap::Like(caps), (*soft_max).op_params[0], (*soft_max).src[2])
                }
                Form::Flash => {
                    let [scale, cap] = [0, 2].map(|i| f32::from_bits((*out).op_params[i] as u32));
                    let cap = if cap == 0.0 { Cap::None } else { Cap::At(scale, cap) };
                    (cap, (*out).op_params[0], (*out).src[4])
                }
            };
            let scales = site.query_scales.iter().map(|id| f32::from_bits((*self.of(*id)).op_params[0] as u32));
            let query_scale = scales.product();
            let layer = Layer { site, x, scale: f32::from_bits(scale as u32), query_scale, cap, sinks };
            for piece in pieces {
                let slots = self.slots(&layer, piece, piece.kept.layers[index]);
                if let Some(own) = &piece.inputs.own {
                    self.own_rows(&layer, piece, own, slots);
                }
                if let Some(after) = &piece.inputs.after {
                    self.rows_after(&layer, piece, after, slots);
                }
            }
            let nodes = self.build.take();
            self.edits.push(Edit { behind: site.out.0, nodes });
        }
    }

    /// The keys and values of a region: gathered from the rows of the micro-batch and kept, or as they were kept.
    unsafe fn slots(&mut self, layer: &Layer<'_>, piece: &Piece, kept: kept::Layer) -> Slots {
        let x = layer.x;
        let (key, bare, value) = (self.of(layer.site.key), self.of(layer.site.bare_key), self.of(layer.site.value));
        let rows = piece.inputs.own.as_ref().map(|own| self.input(own.keys));
        let b = &mut self.build;
        // SAFETY: as in `layer`.
        unsafe {
            let (bare, keys, values) = match rows {
                Some(rows) => {
                    let mut gather = |t: Tensor, width: i64, into: Tensor, turn: bool| {
                        let all = b.rows(t, width, x.n);
                        let mut own = b.get_rows(all, rows);
                        if turn {
                            let turned = b.permute(own, [1, 0, 2, 3]);
                            own = b.contiguous(turned);
                        }
                        b.copy(own, into)
                    };
                    let (wide, wide_values) = (x.d * x.kv_heads, x.values * x.kv_heads);
                    (
                        gather(bare, wide, kept.bare, false),
                        gather(key, wide, kept.keys, false),
                        gather(value, wide_values, kept.values, true),
                    )
                }
                None => (kept.bare, kept.keys, kept.values),
            };
            let bare = b.reshape(bare, [x.d, x.kv_heads, piece.part.n_slots() as i64, 1]);
            let bare = b.permute(bare, [0, 2, 1, 3]);
            Slots { bare, keys, values }
        }
    }

    /// Scores as their softmax takes them, and the scale that is left for it.
    pub unsafe fn capped(&mut self, layer: &Layer<'_>, mut scores: Tensor) -> (Tensor, f32) {
        // SAFETY: as in `layer`.
        unsafe {
            match &layer.cap {
                Cap::None => (scores, layer.scale),
                Cap::Like(caps) => {
                    for cap in caps {
                        scores = self.build.as_in(*cap, scores);
                    }
                    (scores, layer.scale)
                }
                Cap::At(scale, cap) => (self.build.cap(scores, *scale, *cap), 1.0),
            }
        }
    }
}

/// What a cast to F16 was made of: flash attention's builder casts an F32 cache.
pub unsafe fn uncast(t: Tensor) -> Tensor {
    // SAFETY: a tensor of the graph; a copy's first source is what is copied.
    unsafe {
        let source = (*t).src[0];
        let cast = (*t).type_ == GGML_TYPE_F16 && !source.is_null() && (*source).type_ == GGML_TYPE_F32;
        if cast { source } else { t }
    }
}

//! The architectures, and which tensors and hyperparameters llama.cpp wants of each.

use crate::gguf::Value;

/// A model architecture that the tests cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// Plain pre-norm transformer, adjacent-pair rotary positions, grouped queries.
    Llama,
    /// Half-split rotary positions, biases on queries, keys and values.
    Qwen2,
    /// Norms on queries and keys, a head size of its own.
    Qwen3,
    /// Sliding windows, soft caps, norms after the blocks, tied output.
    Gemma2,
    /// Fused query-key-value and gate-up matrices.
    Phi3,
    /// Learned positions, layer norms with biases, no gate.
    Gpt2,
    /// Mixture of experts with a shared expert.
    Qwen2Moe,
    /// Hybrid: short convolutions, whose state cannot be rolled back, and attention in every second layer.
    Lfm2,
    /// A llama whose feed-forward networks are mixtures of experts.
    Mixtral,
    /// Fused query-key-value matrices with biases; rotary positions in half of a head's dimensions, adjacent pairs.
    ChatGlm,
    /// Layer norms with biases; half-split rotary positions in half of a head's dimensions.
    StableLm,
    /// A soft cap on attention's scores without a window. Its experts' gates are zero: a block is its attention.
    Grok,
    /// A llama whose every fourth layer has no positions.
    SmolLm3,
    /// Positions as a bias on the scores (ALiBi).
    Refact,
    /// Norms on queries and keys after their rotation.
    Maincoder,
    /// Qwen2 with positions of several dimensions.
    Qwen2Vl,
    /// Attention sinks, and a window in every second layer.
    GptOss,
    /// Compressed keys and values, positions in a part of a head of their own.
    Plm,
}

/// The extents of a model.
pub(crate) struct Extents {
    pub layers: u64,
    pub embd: u64,
    pub heads: u64,
    pub kv_heads: u64,
    pub head: u64,
    /// Dimensions of a head that rotary positions turn.
    pub rot: u64,
    pub positions: Positions,
    pub ff: u64,
    pub vocab: u64,
    pub context: u64,
}

/// How a model's rotary positions are changed for longer contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// They are not.
    Plain,
    /// Divided by 4.
    Linear,
    /// YaRN (Peng et al. 2023), by 4, from an eighth of the context.
    Yarn,
    /// Each frequency divided by a number of its own (`rope_freqs.weight`), as Llama 3.1 does.
    Factors,
}

/// What positions are divided by where they are scaled.
const SCALED_BY: f32 = 4.0;

/// Experts of a mixture, and how many of them a token uses.
const EXPERTS: u64 = 4;
const EXPERTS_USED: u64 = 2;

/// Width of compressed keys and values.
const COMPRESSED: u64 = 16;

/// Rows that a short convolution sees.
const CONVOLUTION: u64 = 3;

/// Whether a layer of a hybrid has attention.
fn attends(layer: u64) -> bool {
    layer % 2 == 1
}

/// How a tensor is filled.
#[derive(Clone, Copy)]
pub(crate) enum Fill {
    /// A matrix, with this standard deviation.
    Matrix(f32),
    /// A norm's weight: close to 1.
    Scale,
    /// A bias: close to 0.
    Bias,
    /// Divisors of frequencies: 1, 2, 3 and so on.
    Factors,
}

/// A tensor that the model has.
pub(crate) struct Part {
    pub name: String,
    pub shape: Vec<u64>,
    pub fill: Fill,
}

impl Arch {
    /// Every architecture whose layers are all alike; [`Arch::Lfm2`]'s are not.
    pub const ALL: [Self; 7] =
        [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Gemma2, Self::Phi3, Self::Gpt2, Self::Qwen2Moe];

    /// The name in `general.architecture`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Phi3 => "phi3",
            Self::Gpt2 => "gpt2",
            Self::Qwen2Moe => "qwen2moe",
            Self::Lfm2 => "lfm2",
            Self::Mixtral => "llama",
            Self::ChatGlm => "chatglm",
            Self::StableLm => "stablelm",
            Self::Grok => "grok",
            Self::SmolLm3 => "smollm3",
            Self::Refact => "refact",
            Self::Maincoder => "maincoder",
            Self::Qwen2Vl => "qwen2vl",
            Self::GptOss => "gpt-oss",
            Self::Plm => "plm",
        }
    }

    /// Whether its norms subtract the mean and have biases.
    fn layer_norms(self) -> bool {
        matches!(self, Self::Gpt2 | Self::StableLm)
    }

    /// The hyperparameters, keys prefixed with the architecture's name.
    pub(crate) fn metadata(self, extents: &Extents) -> Vec<(String, Value)> {
        let int = |value: u64| Value::U32(u32::try_from(value).expect("extents fit 32 bits"));
        let mut pairs = vec![
            ("context_length", int(extents.context)),
            ("embedding_length", int(extents.embd)),
            ("block_count", int(extents.layers)),
            ("feed_forward_length", int(extents.ff)),
            ("attention.head_count", int(extents.heads)),
            ("attention.head_count_kv", int(extents.kv_heads)),
        ];
        if self == Self::Lfm2 {
            let of = |layer| if attends(layer) { extents.kv_heads as i32 } else { 0 };
            pairs.retain(|(key, _)| *key != "attention.head_count_kv");
            pairs.push(("attention.head_count_kv", Value::I32s((0..extents.layers).map(of).collect())));
            pairs.push(("shortconv.l_cache", int(CONVOLUTION)));
            pairs.push(("vocab_size", int(extents.vocab)));
        }
        let epsilon =
            if self.layer_norms() { "attention.layer_norm_epsilon" } else { "attention.layer_norm_rms_epsilon" };
        pairs.push((epsilon, Value::F32(1e-5)));
        if self != Self::Gpt2 {
            pairs.push(("rope.dimension_count", int(extents.rot)));
            pairs.push(("rope.freq_base", Value::F32(10_000.0)));
        }
        if matches!(extents.positions, Positions::Linear | Positions::Yarn) {
            let kind = if extents.positions == Positions::Yarn { "yarn" } else { "linear" };
            pairs.push(("rope.scaling.type", Value::Text(kind.into())));
            pairs.push(("rope.scaling.factor", Value::F32(SCALED_BY)));
            pairs.push(("rope.scaling.original_context_length", int(extents.context / 8)));
        }
        if extents.head != extents.embd / extents.heads || matches!(self, Self::Qwen3 | Self::Gemma2 | Self::Plm) {
            pairs.push(("attention.key_length", int(extents.head)));
            pairs.push(("attention.value_length", int(extents.head)));
        }
        if self == Self::Gemma2 {
            // Shorter than the tests' prompts, so that both masks matter.
            pairs.push(("attention.sliding_window", int(16)));
            pairs.push(("attn_logit_softcapping", Value::F32(50.0)));
            pairs.push(("final_logit_softcapping", Value::F32(30.0)));
        }
        if self == Self::Grok {
            // A cap that random scores come near.
            pairs.push(("attention.output_scale", Value::F32(0.25)));
            pairs.push(("attn_logit_softcapping", Value::F32(2.0)));
            pairs.push(("embedding_scale", Value::F32(1.5)));
            pairs.push(("logit_scale", Value::F32(0.75)));
        }
        if self == Self::Qwen2Vl {
            pairs.push(("rope.dimension_sections", Value::I32s(vec![4, 2, 2, 0])));
        }
        if self == Self::GptOss {
            pairs.push(("attention.sliding_window", int(16)));
            pairs.push(("expert_feed_forward_length", int(extents.ff)));
        }
        if self == Self::Plm {
            pairs.push(("attention.kv_lora_rank", int(COMPRESSED)));
        }
        if matches!(self, Self::Qwen2Moe | Self::Mixtral | Self::Grok | Self::GptOss) {
            pairs.push(("expert_count", int(EXPERTS)));
            pairs.push(("expert_used_count", int(EXPERTS_USED)));
        }
        if self == Self::Qwen2Moe {
            pairs.push(("expert_feed_forward_length", int(extents.ff / EXPERTS_USED)));
            pairs.push(("expert_shared_feed_forward_length", int(extents.ff)));
        }
        pairs.into_iter().map(|(key, value)| (format!("{}.{key}", self.name()), value)).collect()
    }

    /// All tensors, in file order.
    pub(crate) fn parts(self, extents: &Extents) -> Vec<Part> {
        let mut list = List(Vec::new());
        list.matrix("token_embd.weight", &[extents.embd, extents.vocab], 1.0);
        if self == Self::Gpt2 {
            list.matrix("position_embd.weight", &[extents.embd, extents.context], 0.2);
        }
        list.norm(self, if self == Self::Lfm2 { "token_embd_norm" } else { "output_norm" }, extents.embd);
        if extents.positions == Positions::Factors {
            list.push("rope_freqs.weight", &[extents.rot / 2], Fill::Factors);
        }
        // These tie their output to the embedding.
        if !matches!(self, Self::Gemma2 | Self::Lfm2 | Self::Plm) {
            list.linear("output.weight", &[extents.embd, extents.vocab]);
        }
        for layer in 0..extents.layers {
            let blk = format!("blk.{layer}");
            if self == Self::Lfm2 && !attends(layer) {
                self.convolution(&mut list, &blk, extents);
            } else {
                self.layer(&mut list, &blk, extents);
            }
        }
        list.0
    }

    fn convolution(self, list: &mut List, blk: &str, x: &Extents) {
        list.norm(self, &format!("{blk}.attn_norm"), x.embd);
        list.linear(&format!("{blk}.shortconv.conv.weight"), &[CONVOLUTION, x.embd]);
        list.linear(&format!("{blk}.shortconv.in_proj.weight"), &[x.embd, 3 * x.embd]);
        list.linear(&format!("{blk}.shortconv.out_proj.weight"), &[x.embd, x.embd]);
        list.norm(self, &format!("{blk}.ffn_norm"), x.embd);
        self.feed_forward(list, blk, x);
    }

    fn layer(self, list: &mut List, blk: &str, x: &Extents) {
        let (q, kv) = (x.heads * x.head, x.kv_heads * x.head);
        list.norm(self, &format!("{blk}.attn_norm"), x.embd);
        if self == Self::Plm {
            // A head is a part without positions and a part with them, whose keys all heads share.
            let bare = x.head - x.rot;
            list.linear(&format!("{blk}.attn_q.weight"), &[x.embd, q]);
            list.linear(&format!("{blk}.attn_kv_a_mqa.weight"), &[x.embd, COMPRESSED + x.rot]);
            list.scale(&format!("{blk}.attn_kv_a_norm.weight"), COMPRESSED);
            list.linear(&format!("{blk}.attn_kv_b.weight"), &[COMPRESSED, x.heads * (bare + x.head)]);
        } else if matches!(self, Self::Phi3 | Self::Gpt2 | Self::ChatGlm) {
            list.linear(&format!("{blk}.attn_qkv.weight"), &[x.embd, q + 2 * kv]);
        } else {
            for (name, rows) in [("q", q), ("k", kv), ("v", kv)] {
                list.linear(&format!("{blk}.attn_{name}.weight"), &[x.embd, rows]);
            }
        }
        list.linear(&format!("{blk}.attn_output.weight"), &[q, x.embd]);
        match self {
            Self::GptOss => {
                list.bias(&format!("{blk}.attn_output"), x.embd);
                list.push(&format!("{blk}.attn_sinks.weight"), &[x.heads], Fill::Bias);
                list.norm(self, &format!("{blk}.post_attention_norm"), x.embd);
            }
            Self::Qwen2 | Self::Qwen2Moe | Self::Qwen2Vl => {
                for (name, rows) in [("q", q), ("k", kv), ("v", kv)] {
                    list.bias(&format!("{blk}.attn_{name}"), rows);
                }
            }
            Self::Qwen3 | Self::Lfm2 | Self::Maincoder => {
                list.norm(self, &format!("{blk}.attn_q_norm"), x.head);
                list.norm(self, &format!("{blk}.attn_k_norm"), x.head);
            }
            Self::Gemma2 => {
                list.norm(self, &format!("{blk}.post_attention_norm"), x.embd);
                list.norm(self, &format!("{blk}.post_ffw_norm"), x.embd);
            }
            Self::Gpt2 => {
                list.bias(&format!("{blk}.attn_qkv"), q + 2 * kv);
                list.bias(&format!("{blk}.attn_output"), x.embd);
                list.bias(&format!("{blk}.ffn_up"), x.ff);
                list.bias(&format!("{blk}.ffn_down"), x.embd);
            }
            Self::ChatGlm => list.bias(&format!("{blk}.attn_qkv"), q + 2 * kv),
            Self::Grok => {
                list.norm(self, &format!("{blk}.attn_output_norm"), x.embd);
                list.norm(self, &format!("{blk}.layer_output_norm"), x.embd);
            }
            Self::Llama | Self::Phi3 | Self::Mixtral | Self::StableLm | Self::SmolLm3 | Self::Refact | Self::Plm => {}
        }
        if self != Self::GptOss {
            list.norm(self, &format!("{blk}.ffn_norm"), x.embd);
        }
        self.feed_forward(list, blk, x);
    }

    fn feed_forward(self, list: &mut List, blk: &str, x: &Extents) {
        match self {
            Self::Gpt2 | Self::Plm => {
                list.linear(&format!("{blk}.ffn_up.weight"), &[x.embd, x.ff]);
                list.linear(&format!("{blk}.ffn_down.weight"), &[x.ff, x.embd]);
            }
            Self::Phi3 | Self::ChatGlm => {
                list.linear(&format!("{blk}.ffn_up.weight"), &[x.embd, 2 * x.ff]);
                list.linear(&format!("{blk}.ffn_down.weight"), &[x.ff, x.embd]);
            }
            Self::Qwen2Moe => {
                let ff = x.ff / EXPERTS_USED;
                list.linear(&format!("{blk}.ffn_gate_inp.weight"), &[x.embd, EXPERTS]);
                list.linear(&format!("{blk}.ffn_gate_exps.weight"), &[x.embd, ff, EXPERTS]);
                list.linear(&format!("{blk}.ffn_down_exps.weight"), &[ff, x.embd, EXPERTS]);
                list.linear(&format!("{blk}.ffn_up_exps.weight"), &[x.embd, ff, EXPERTS]);
                list.scale(&format!("{blk}.ffn_gate_inp_shexp.weight"), x.embd);
                list.linear(&format!("{blk}.ffn_gate_shexp.weight"), &[x.embd, x.ff]);
                list.linear(&format!("{blk}.ffn_down_shexp.weight"), &[x.ff, x.embd]);
                list.linear(&format!("{blk}.ffn_up_shexp.weight"), &[x.embd, x.ff]);
            }
            Self::GptOss => {
                list.linear(&format!("{blk}.ffn_gate_inp.weight"), &[x.embd, EXPERTS]);
                list.bias(&format!("{blk}.ffn_gate_inp"), EXPERTS);
                for (name, from, to) in [("gate", x.embd, x.ff), ("up", x.embd, x.ff), ("down", x.ff, x.embd)] {
                    list.linear(&format!("{blk}.ffn_{name}_exps.weight"), &[from, to, EXPERTS]);
                    list.push(&format!("{blk}.ffn_{name}_exps.bias"), &[to, EXPERTS], Fill::Bias);
                }
            }
            Self::Mixtral | Self::Grok => {
                let gate = if self == Self::Grok { 0.0 } else { 1.0 / (x.embd as f32).sqrt() };
                list.linear(&format!("{blk}.ffn_gate_inp.weight"), &[x.embd, EXPERTS]);
                list.matrix(&format!("{blk}.ffn_gate_exps.weight"), &[x.embd, x.ff, EXPERTS], gate);
                list.linear(&format!("{blk}.ffn_down_exps.weight"), &[x.ff, x.embd, EXPERTS]);
                list.linear(&format!("{blk}.ffn_up_exps.weight"), &[x.embd, x.ff, EXPERTS]);
            }
            Self::Llama
            | Self::Qwen2
            | Self::Qwen3
            | Self::Gemma2
            | Self::Lfm2
            | Self::StableLm
            | Self::SmolLm3
            | Self::Refact
            | Self::Maincoder
            | Self::Qwen2Vl => {
                list.linear(&format!("{blk}.ffn_gate.weight"), &[x.embd, x.ff]);
                list.linear(&format!("{blk}.ffn_down.weight"), &[x.ff, x.embd]);
                list.linear(&format!("{blk}.ffn_up.weight"), &[x.embd, x.ff]);
            }
        }
    }
}

/// Tensors under construction.
pub(crate) struct List(pub Vec<Part>);

impl List {
    pub(crate) fn push(&mut self, name: &str, shape: &[u64], fill: Fill) {
        self.0.push(Part { name: name.to_owned(), shape: shape.to_vec(), fill });
    }

    pub(crate) fn matrix(&mut self, name: &str, shape: &[u64], deviation: f32) {
        self.push(name, shape, Fill::Matrix(deviation));
    }

    /// A matrix that keeps the variance of what it is applied to.
    pub(crate) fn linear(&mut self, name: &str, shape: &[u64]) {
        self.matrix(name, shape, 1.0 / (shape[0] as f32).sqrt());
    }

    pub(crate) fn scale(&mut self, name: &str, length: u64) {
        self.push(name, &[length], Fill::Scale);
    }

    pub(crate) fn bias(&mut self, name: &str, length: u64) {
        self.push(&format!("{name}.bias"), &[length], Fill::Bias);
    }

    /// A norm, with a bias where it subtracts the mean.
    fn norm(&mut self, arch: Arch, name: &str, length: u64) {
        self.scale(&format!("{name}.weight"), length);
        if arch.layer_norms() {
            self.bias(name, length);
        }
    }
}

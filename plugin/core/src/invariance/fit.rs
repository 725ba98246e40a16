//! Which kinds of models the modes are defined for.

/// Why the order of segments cannot be taken out of a model of this architecture by its name alone; `None` if it may be
/// possible: then the graph decides, layer by layer.
///
/// Names are those of `general.architecture`.
pub fn unfit(arch: &str) -> Option<&'static str> {
    let reasons: [(&'static str, &str); 6] = [
        ("its positions are learned", "gpt2 starcoder pockettts"),
        ("its positions are a bias on the scores", "bloom mpt refact jais t5 t5encoder"),
        (
            "its order enters through a recurrent state or a convolution",
            "mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7 jamba falcon-h1 granitehybrid graniteswitch nemotron_h nemotron_h_moe \
             plamo2 lfm2 lfm2moe qwen3next qwen35 qwen35moe qwen4exp kimi-linear kimi-k3 bailingmoe3 minimax-01 glm5-next",
        ),
        (
            "some of its layers see a window only",
            "gemma2 gemma3 gemma3n gemma4 gemma4-assistant cohere2 cohere2moe gpt-oss llama4 exaone4 exaone-moe smallthinker mimo2 \
             step35 spark2_5 afmoe plamo3 granite_swa laguna maple mellum muse-glimmer nanbeige dots3note",
        ),
        (
            "its keys are compressed, or chosen by an index",
            "deepseek2 deepseek2-ocr deepseek32 deepseek4 minicpm3 minimax-m3 plm glm-dsa mistral4 hy_v4",
        ),
        (
            "it has no causal cache of keys",
            "bert modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert gemma-embedding llama-embed \
             wavtokenizer-dec dream llada llada-moe rnd1 clip",
        ),
    ];
    let named = |archs: &str| archs.split(' ').any(|known| known == arch);
    reasons.into_iter().find(|(_, archs)| named(archs)).map(|(why, _)| why)
}

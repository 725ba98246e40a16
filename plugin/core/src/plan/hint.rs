//! Whether the model family a vector file names is the model's architecture.

/// Names that Hugging Face's `model_type` (which some tools write) and llama.cpp's `general.architecture` give to the
/// same kind of model, where they differ by more than punctuation.
const ALIASES: &[(&str, &str)] = &[
    ("mistral", "llama"),
    ("mixtral", "llama"),
    ("gemma3text", "gemma3"),
    ("gemma3ntext", "gemma3n"),
    ("phi", "phi2"),
    ("gptbigcode", "starcoder"),
    ("cohere", "commandr"),
    ("llama4text", "llama4"),
];

/// True if `hint` means `arch`. Case and punctuation do not count (`qwen2_moe` is `qwen2moe`).
pub(super) fn fits(hint: &str, arch: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let (hint, arch) = (plain(hint), plain(arch));
    hint == arch || ALIASES.iter().any(|(h, a)| *h == hint && *a == arch)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn names_of_one_family_fit() {
        for (hint, arch) in [
            ("llama", "llama"),
            ("mistral", "llama"),
            ("qwen2_moe", "qwen2moe"),
            ("Qwen3", "qwen3"),
            ("gpt_neox", "gptneox"),
        ] {
            assert!(fits(hint, arch), "{hint} {arch}");
        }
        for (hint, arch) in [("llama", "qwen3"), ("qwen2", "qwen3"), ("mistral", "gemma")] {
            assert!(!fits(hint, arch), "{hint} {arch}");
        }
    }
}

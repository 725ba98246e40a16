//! The facts of a model, from the first bytes of its file.

mod support;

use evenkeel_core::asset::GgufError;
use evenkeel_core::model::{ModelError, ModelFacts};
use support::folder::Folder;
use support::gguf::{Gguf, string};

fn error(gguf: &Gguf) -> ModelError {
    ModelFacts::parse(&gguf.build()).expect_err("it was accepted")
}

fn key_error(gguf: &Gguf, expected: &str) {
    match error(gguf) {
        ModelError::Key { key, .. } => assert_eq!(key, expected),
        other => panic!("{other}"),
    }
}

#[test]
fn facts() {
    let facts = ModelFacts::parse(&Gguf::model("qwen3", 2560, 36).build()).unwrap();
    let name = Some("A test model".to_owned());
    assert_eq!(facts, ModelFacts { arch: "qwen3".into(), n_embd: 2560, n_layer: 36, n_head: None, name });
    let deeper = Gguf::model("glm4moe", 64, 47).u32("glm4moe.nextn_predict_layers", 1);
    assert_eq!(ModelFacts::parse(&deeper.build()).unwrap().n_layer, 46);
}

#[test]
fn keys_that_every_model_has() {
    let bare = || Gguf::new().text("general.architecture", "llama");
    key_error(&bare(), "llama.block_count");
    key_error(&bare().u32("llama.block_count", 2), "llama.embedding_length");
    key_error(&bare().u32("llama.block_count", 0), "llama.block_count");
    key_error(&bare().u32("llama.block_count", 1 << 17), "llama.block_count");
    key_error(&bare().text("llama.block_count", "six"), "llama.block_count");
    key_error(&bare().raw("llama.block_count", 5, &(-1i32).to_le_bytes()), "llama.block_count");
    let signed = bare().raw("llama.block_count", 11, &6i64.to_le_bytes()).u32("llama.embedding_length", 8);
    assert_eq!(ModelFacts::parse(&signed.build()).unwrap().n_layer, 6);
}

#[test]
fn other_files() {
    let error_of = |bytes: &[u8]| ModelFacts::parse(bytes).unwrap_err();
    assert_eq!(error_of(b"GGML123"), ModelError::Gguf(GgufError::Magic { got: b"GGML".to_vec() }));
    assert!(matches!(error(&Gguf::vector("llama")), ModelError::NotAModel { .. }));
    assert!(matches!(error(&Gguf::new()), ModelError::NotAModel { .. }));
    let later = Gguf::new().raw("split.no", 2, &[1, 0]).raw("split.count", 2, &[3, 0]);
    assert_eq!(error(&later), ModelError::LaterPart { part: 2, count: 3 });
    let first = Gguf::model("llama", 8, 6).raw("split.no", 2, &[0, 0]).raw("split.count", 2, &[3, 0]);
    assert!(ModelFacts::parse(&first.build()).is_ok());
}

#[test]
fn of_a_large_file_only_the_metadata_are_read() {
    let folder = Folder::new();
    // A vocabulary as large as real ones, so that the first guess at the metadata's length is too short.
    let words: Vec<_> = (0..200_000).map(|n| format!("word-{n}")).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let gguf = Gguf::model("llama", 8, 6).texts("tokenizer.ggml.tokens", &words);
    let path = folder.write("model.gguf", gguf.build());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(ModelFacts::read(&path).unwrap().n_layer, 6);
}

#[test]
fn cut_and_endless_metadata() {
    let folder = Folder::new();
    let whole = Gguf::model("llama", 8, 6).build();
    for n in [0, 3, 20, 100] {
        let error = ModelFacts::read(&folder.write("cut.gguf", &whole[..n])).unwrap_err();
        assert!(matches!(error, ModelError::Gguf(GgufError::Truncated { .. })), "{n}: {error}");
    }
    // A list that goes on for longer than the file.
    let list = [&8u32.to_le_bytes()[..], &u64::MAX.to_le_bytes(), &string(b"x")].concat();
    let path = folder.write("list.gguf", Gguf::model("llama", 8, 6).raw("list", 9, &list).build());
    let error = ModelFacts::read(&path).unwrap_err();
    assert!(matches!(error, ModelError::Gguf(GgufError::Truncated { .. })), "{error}");
    // One value of 300 MiB, which the file has: more than metadata may be.
    let path =
        folder.write("long.gguf", Gguf::model("llama", 8, 6).raw("text", 8, &(300u64 << 20).to_le_bytes()).build());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(400 << 20).unwrap();
    assert_eq!(ModelFacts::read(&path).unwrap_err(), ModelError::HeaderTooLarge { max: 256 << 20 });
}

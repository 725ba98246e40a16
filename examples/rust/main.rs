mod evenkeel; // examples/rust/evenkeel.rs, with its linker arguments in build.rs

use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::model::{LlamaModel, params::LlamaModelParams};
use llama_cpp_2::{llama_backend::LlamaBackend, llama_batch::LlamaBatch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    evenkeel::load("libevenkeel.so".as_ref(), Some("judge.toml".as_ref()))?; // before the first context
    let backend = LlamaBackend::init()?;
    let model = LlamaModel::load_from_file(&backend, "model.gguf", &LlamaModelParams::default())?;
    let mut context = model.new_context(&backend, LlamaContextParams::default())?;
    let prompt = model.vocab().tokenize(b"the nurse said that", true, false);
    let mut batch = LlamaBatch::new(prompt.len(), 1);
    batch.add_sequence(&prompt, 0, false)?;
    context.decode(&mut batch)?;
    let answer = context.token_data_array().sample_token_greedy();
    println!("{}", String::from_utf8_lossy(&model.vocab().token_to_piece(answer, false, None)));
    Ok(())
}

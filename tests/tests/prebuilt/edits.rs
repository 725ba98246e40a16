//! `[[edit]]` on a real host: a model that is edited while it runs computes what a model file with the edited matrices
//! computes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use evenkeel_model::{Arch, FileType, TINY_EMBD, TINY_LAYERS};
use evenkeel_tests::host::{CHost, Decode};
use evenkeel_tests::{Door, Profile, Recording, Scratch};

use crate::float64::{dot, wide};
use crate::gguf::tensors;
use crate::safetensors::{Tensor, write};

const LAST: u32 = TINY_LAYERS - 1;
const RANK: usize = 3;

/// Numbers that look random and are the same everywhere.
fn noise(seed: u32, n: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next() * scale).collect()
}

/// The matrices that are edited.
fn weights(arch: Arch) -> Vec<String> {
    let of_block: &[&str] = match arch {
        Arch::Phi3 | Arch::Gpt2 => &["attn_qkv", "attn_output", "ffn_up", "ffn_down"],
        Arch::Qwen2Moe => &["attn_q", "attn_k", "attn_v", "attn_output"],
        _ => &["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"],
    };
    let blocks = [1, LAST].into_iter().flat_map(|n| of_block.iter().map(move |w| format!("blk.{n}.{w}")));
    // gemma2's head is its embeddings: a file cannot have the one edited and not the other.
    blocks.chain((arch != Arch::Gemma2).then(|| "output".to_owned())).collect()
}

/// An edit of each of these matrices, and the model with the edited matrices as `edited.gguf`.
fn edit(scratch: &Scratch, model: &Path, weights: &[String]) -> Vec<Tensor> {
    let mut bytes = fs::read(model).expect("the model");
    let places = tensors(&bytes);
    let mut file = vec![];
    for (seed, name) in (1..).zip(weights) {
        let (at, shape) = &places[&format!("{name}.weight")];
        let (inputs, outputs) = (shape[0] as usize, shape[1] as usize);
        let (a, b) = (noise(seed, RANK * inputs, 0.2), noise(seed + 100, outputs * RANK, 0.2));
        for o in 0..outputs {
            for i in 0..inputs {
                let place = at + (o * inputs + i) * 4;
                let value: &mut [u8; 4] = (&mut bytes[place..place + 4]).try_into().expect("four bytes");
                let change: f64 = (0..RANK).map(|r| f64::from(b[o * RANK + r]) * f64::from(a[r * inputs + i])).sum();
                *value = ((f64::from(f32::from_le_bytes(*value)) + change) as f32).to_le_bytes();
            }
        }
        file.push((format!("{name}.a"), vec![RANK, inputs], a));
        file.push((format!("{name}.b"), vec![outputs, RANK], b));
    }
    fs::write(scratch.path("edited.gguf"), bytes).expect("a model is written");
    file
}

fn profile(rules: &[(&str, &str)]) -> Profile {
    let rule = |(number, (file, keys)): (usize, &(&str, &str))| {
        format!("[[edit]]\nname = \"edit-{number}\"\nfile = \"{file}\"\n{keys}\n")
    };
    rules.iter().enumerate().map(rule).fold(Profile::empty(), |profile, table| profile.with(&table))
}

/// Squared difference of all logits relative to their squares.
fn apart(a: &Recording, b: &Recording) -> f64 {
    let logits = |r: &Recording| -> Vec<f64> {
        r.rows.iter().flat_map(|row| row.logits.iter().map(|bits| f64::from(f32::from_bits(*bits)))).collect()
    };
    let (a, b) = (logits(a), logits(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / dot(&b, &b)
}

#[test]
fn an_edited_model_is_the_model_with_edited_matrices() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe, Arch::Phi3, Arch::Gpt2] {
        for flash in [false, true] {
            let scratch = Scratch::new();
            let model = scratch.model(arch, FileType::F32);
            let file = edit(&scratch, &model, &weights(arch));
            fs::write(scratch.path("edit.safetensors"), write(&file)).expect("edits are written");
            let decode = Decode { flash, sequences: 2, ubatch: 5, ..Decode::new(&model) };
            let run = |rules: &[(&str, &str)]| host.with(&decode, Door::Preload, &scratch.profile(&profile(rules)));
            let expected = host.plain(&Decode { model: scratch.path("edited.gguf"), ..decode.clone() });
            let plain = host.plain(&decode);
            // A cache of F16 rounds what differs in the last bit of F32 to other halves now and then.
            let bound = 1e-7;
            let effect = apart(&plain, &expected);
            assert!(effect > 1e-3, "{arch:?}: the edits change {effect:e}");
            for rules in [
                &[("edit.safetensors", "")][..],
                &[("edit.safetensors", "adjustable = true")],
                &[("edit.safetensors", "strength = 0.25"), ("edit.safetensors", "strength = 0.75\nadjustable = true")],
            ] {
                let error = apart(&run(rules), &expected);
                assert!(error <= bound, "{arch:?}, flash attention {flash}, {rules:?}: {error:e} of {effect:e}");
            }
            let off = run(&[("edit.safetensors", "strength = 0.0\nadjustable = true")]);
            plain.assert_same(&off, &format!("{arch:?}: strength 0 in the graph"));
        }
    }
}

/// One edit, by its formula, on what was captured: the head's input is what the last norm's rule leaves.
#[test]
fn an_edit_of_the_head_is_its_formula() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Gemma2, Arch::Qwen2Moe] {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        let vocabulary = evenkeel_model::TINY_VOCAB as usize;
        let (a, b) = (noise(1, RANK * TINY_EMBD as usize, 0.2), noise(2, vocabulary * RANK, 0.2));
        let file = [
            ("output.a".to_owned(), vec![RANK, TINY_EMBD as usize], a.clone()),
            ("output.b".to_owned(), vec![vocabulary, RANK], b.clone()),
        ];
        fs::write(scratch.path("edit.safetensors"), write(&file)).expect("edits are written");
        let still = "operator = \"project\"\nsite = \"final-norm\"\nfraction = 0.5";
        for keys in ["strength = -0.5", "strength = -0.5\nadjustable = true"] {
            let profile = profile(&[("edit.safetensors", keys)]).and_rule_on("\"all\"", "v.gguf", still);
            let decode = Decode { sequences: 2, ubatch: 5, last_only: true, capture: true, ..Decode::new(&model) };
            let recording = host.with(&decode, Door::Preload, &scratch.profile(&profile));
            let column = |name: &str| -> Vec<Vec<f64>> {
                let found = recording.captures.iter().filter(|c| c.name == name).flat_map(|c| &c.rows);
                found.map(|row| wide(row)).collect()
            };
            let (x, before, after) = (column("result_norm"), column("ek.output"), column("output"));
            assert!(x.len() > 5 && x.len() == before.len() && before.len() == after.len(), "{arch:?}: rows");
            let (mut error, mut power, mut changed) = (0.0, 0.0, 0.0);
            for ((x, before), after) in x.iter().zip(&before).zip(&after) {
                let read: Vec<f64> = a.chunks(x.len()).map(|row| dot(&wide(row), x)).collect();
                for ((row, before), after) in b.chunks(RANK).zip(before).zip(after) {
                    let change = -0.5 * dot(&wide(row), &read);
                    error += (before + change - after).powi(2);
                    changed += change * change;
                    power += after * after;
                }
            }
            assert!(
                error <= 1e-10 * power && changed > 1e5 * error,
                "{arch:?}: {error:e} and {changed:e} of {power:e}"
            );
        }
    }
}

/// A projection and what it adds to the stream are one node in a llama: the edit acts first, and rules on its result.
#[test]
fn an_edit_and_a_rule_at_one_node_act_one_after_the_other() {
    let host = CHost::node_llama_cpp();
    for arch in [Arch::Llama, Arch::Qwen2Moe, Arch::Gpt2] {
        let scratch = Scratch::new();
        let model = scratch.model(arch, FileType::F32);
        scratch.vector(arch);
        let file = edit(&scratch, &model, &["blk.2.attn_output".to_owned(), "blk.3.attn_output".to_owned()]);
        fs::write(scratch.path("edit.safetensors"), write(&file)).expect("edits are written");
        let decode = Decode { sequences: 2, ubatch: 5, ..Decode::new(&model) };
        let rule = |profile: Profile| profile.and_rule("v.gguf", "operator = \"project\"\nsite = \"attn-out\"");
        let edited = Decode { model: scratch.path("edited.gguf"), ..decode.clone() };
        let run = |decode: &Decode, profile: &Profile| host.with(decode, Door::Preload, &scratch.profile(profile));
        let expected = run(&edited, &rule(Profile::empty()));
        let got = run(&decode, &rule(profile(&[("edit.safetensors", "")])));
        let (error, effect) = (apart(&got, &expected), apart(&run(&decode, &rule(Profile::empty())), &expected));
        assert!(error <= 1e-7 && effect > 1e-3, "{arch:?}: {error:e} of {effect:e}");
    }
}

/// An edit that does not fit the model's matrix, or names one that the model lacks, is an error and changes nothing.
#[test]
fn an_edit_that_does_not_fit_is_named() {
    let host = CHost::node_llama_cpp();
    let shape = |name: &str, inputs: usize, outputs: usize| -> BTreeMap<String, Tensor> {
        let a = (format!("{name}.a"), vec![1, inputs], vec![0.1; inputs]);
        let b = (format!("{name}.b"), vec![outputs, 1], vec![0.1; outputs]);
        [a, b].into_iter().map(|t| (t.0.clone(), t)).collect()
    };
    let cases = [
        (
            Arch::Llama,
            shape("blk.1.attn_k", 64, 64),
            "the edit is of 64 inputs and 64 outputs, the matrix of 64 and 32",
        ),
        (Arch::Phi3, shape("blk.1.attn_k", 64, 32), "(this model has blk.1.attn_qkv.weight)"),
    ];
    for (arch, file, why) in cases {
        let scratch = Scratch::new();
        let decode = Decode::new(&scratch.model(arch, FileType::F32));
        let file: Vec<Tensor> = file.into_values().collect();
        fs::write(scratch.path("edit.safetensors"), write(&file)).expect("edits are written");
        let setting = scratch.profile(&profile(&[("edit.safetensors", "")]));
        let (finished, recording) = host.try_run(&decode, Some(Door::Preload), &setting);
        assert!(finished.stderr.contains(why), "{arch:?}: {}", finished.stderr);
        assert!(finished.stderr.contains("rule `edit-0` found no place to act"), "{arch:?}: {}", finished.stderr);
        host.plain(&decode).assert_same(&recording.expect("the host goes on"), "an edit that does not fit");
    }
}

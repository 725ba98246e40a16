//! Reading the residual stream: what the plug-in's hook copies is what llama.cpp's own evaluation callback sees, and costs little.

use std::time::{Duration, Instant};

use evenkeel_ffi::host::{
    CallbackCapture, Capture, Context, ContextOptions, FlashAttention, Model, ModelOptions, Plugin, Row,
};
use evenkeel_model::{Arch, FileType};
use evenkeel_tests::Scratch;

use super::lab::{hooked, llama, model};
use super::learn::MODEL;

/// Rows of several sequences, one after the other; every third gives output, and the last.
fn rows(model: &Model, texts: &[&str]) -> Vec<Row> {
    let sequence = |(seq, text): (usize, &&str)| -> Vec<Row> {
        let tokens = model.tokenize(text, true).expect("tokens");
        let row = |(pos, token): (usize, &i32)| {
            let output = pos % 3 == 1 || pos + 1 == tokens.len();
            Row { token: *token, pos: pos as i32, seq: seq as i32, output }
        };
        tokens.iter().enumerate().map(row).collect()
    };
    texts.iter().enumerate().flat_map(sequence).collect()
}

const TEXTS: [&str; 3] =
    ["<s> the nurse said that", "<s> the mechanic was late when", "<s><user> what is the capital of france?<bot>"];

/// Bits of all layers, and of what the output matrix reads.
fn bits(layers: &[Option<&[f32]>]) -> Vec<Option<Vec<u32>>> {
    layers.iter().map(|layer| layer.map(|values| values.iter().map(|x| x.to_bits()).collect())).collect()
}

/// What both ways give for these texts: by the hook, and by the callback.
fn both(plugin: &Plugin, model: &Model, options: &ContextOptions, rows: &[Row]) -> [Vec<Option<Vec<u32>>>; 2] {
    let mut hook = Capture::new(plugin, model, options).expect("a context");
    let by_hook = bits(&hook.read(rows).expect("activations"));
    let mut callback = CallbackCapture::new(model, options).expect("a context");
    [by_hook, bits(&callback.read(rows).expect("activations"))]
}

#[test]
fn the_hook_captures_every_bit_that_the_callback_does() {
    let scratch = Scratch::new();
    let tiny =
        [Arch::Llama, Arch::Qwen2, Arch::Qwen3, Arch::Gemma2, Arch::Phi3, Arch::Gpt2, Arch::Qwen2Moe, Arch::Lfm2];
    hooked(None, |plugin| {
        for file_type in [FileType::F32, FileType::F16] {
            for arch in tiny {
                let model =
                    Model::load(llama(), &scratch.model(arch, file_type), ModelOptions::default()).expect("a model");
                for flash_attention in [FlashAttention::On, FlashAttention::Off] {
                    let options = ContextOptions {
                        threads: 1,
                        n_seq_max: 3,
                        kv_unified: true,
                        flash_attention,
                        ..Default::default()
                    };
                    // A hybrid regroups the rows of several sequences, which only the hook can follow.
                    let texts = if arch == Arch::Lfm2 { &TEXTS[..1] } else { &TEXTS };
                    let [hook, callback] = both(plugin, &model, &options, &rows(&model, texts));
                    let named = hook.iter().flatten().count();
                    assert!(named == hook.len() && hook.len() == model.n_layer() + 1, "{arch:?}: {named} layers");
                    assert!(hook == callback, "{arch:?}, {file_type:?}, flash attention {flash_attention:?}");
                }
            }
        }
        let sandbox = model(MODEL);
        let options = ContextOptions { threads: 1, n_seq_max: 3, kv_unified: true, ..Default::default() };
        let [hook, callback] = both(plugin, &sandbox, &options, &rows(&sandbox, &TEXTS));
        assert!(hook == callback && hook.iter().all(Option::is_some));
    });
}

/// Rows of a batch in micro-batches of any size, regrouped or not, and of one text after the other, are the same up to the
/// rounding that comes with another number of rows.
#[test]
fn what_is_captured_does_not_depend_on_the_batch() {
    let scratch = Scratch::new();
    hooked(None, |plugin| {
        let hybrid = Model::load(llama(), &scratch.model(Arch::Lfm2, FileType::F32), ModelOptions::default());
        for model in [model(MODEL), hybrid.expect("a model")] {
            let read = |options: ContextOptions, rows: &[Row]| -> Vec<Vec<f32>> {
                let mut capture = Capture::new(plugin, &model, &options).expect("a context");
                let layers = capture.read(rows).expect("activations");
                layers.into_iter().map(|l| l.expect("every layer is named").to_vec()).collect()
            };
            let options = ContextOptions { threads: 1, n_seq_max: 3, ..ContextOptions::default() };
            let all = rows(&model, &TEXTS);
            let (width, mut first) = (model.n_embd(), 0);
            let together = read(options, &all);
            for n_ubatch in [1, 5, 7] {
                let cut = read(ContextOptions { n_ubatch, ..options }, &all);
                same(&together.concat(), &cut.concat());
            }
            for text in TEXTS {
                let own = rows(&model, &[text]);
                let n = own.iter().filter(|r| r.output).count();
                for (alone, together) in read(options, &own).iter().zip(&together) {
                    same(alone, &together[first * width..(first + n) * width]);
                }
                first += n;
            }
            assert_eq!(first * width, together[0].len());
        }
    });
}

fn same(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let size = a.iter().map(|x| x * x).sum::<f32>().sqrt();
    let far = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(size > 0.1 && far < 1e-3 * size, "{far} of {size}");
}

/// Under a profile, what is captured is what its rules leave: a direction added at a layer is there, to the last bit of an
/// addition.
#[test]
fn what_a_rule_adds_is_captured() {
    let scratch = Scratch::new();
    let path = scratch.model(Arch::Llama, FileType::F32);
    scratch.vector(Arch::Llama);
    let profile = scratch.path("add.toml");
    let text = "schema = 1\n[[steer]]\nname = \"v\"\ndirection = \"v.gguf\"\nlayers = [1]\n";
    std::fs::write(&profile, text).expect("a profile is written");
    let model = Model::load(llama(), &path, ModelOptions::default()).expect("a model");
    let options = ContextOptions { threads: 1, n_seq_max: 3, ..ContextOptions::default() };
    let rows = rows(&model, &TEXTS);
    let read = |plugin: &Plugin| -> Vec<Vec<f32>> {
        let mut capture = Capture::new(plugin, &model, &options).expect("a context");
        let layers = capture.read(&rows).expect("activations");
        layers.into_iter().map(|l| l.expect("every layer is named").to_vec()).collect()
    };
    let plain = hooked(None, read);
    let steered = hooked(Some(&profile), read);
    assert_eq!(plain[0], steered[0], "before the rule");
    let added: Vec<Vec<f32>> =
        [&plain[1], &steered[1]].map(|l| l.chunks(model.n_embd()).map(<[f32]>::to_vec).collect::<Vec<_>>()).concat();
    let (before, after) = added.split_at(added.len() / 2);
    let change = |i: usize| -> Vec<f32> { after[i].iter().zip(&before[i]).map(|(a, b)| a - b).collect() };
    let first = change(0);
    assert!(first.iter().any(|x| x.abs() > 0.01), "the rule acts");
    for i in 1..before.len() {
        same(&first, &change(i));
    }
    assert_ne!(plain[2], steered[2], "behind the rule");
}

/// The least of many, side by side: whatever else the machine does only adds.
#[test]
fn capture_takes_at_most_a_fifth_more_than_a_plain_prefill() {
    hooked(None, |plugin| {
        let model = model(MODEL);
        let options = ContextOptions {
            threads: 1,
            n_seq_max: 16,
            n_batch: 800,
            n_ubatch: 800,
            n_ctx: 1024,
            ..Default::default()
        };
        let options = ContextOptions { kv_unified: true, ..options };
        let mut capture = Capture::new(plugin, &model, &options).expect("a context");
        let mut callback = CallbackCapture::new(&model, &options).expect("a context");
        let mut plain = Context::new(&model, &options).expect("a context");
        let text = "<s> the nurse said that she was late when the engineer asked.".repeat(6);
        let tokens = model.tokenize(&text, true).expect("tokens");
        let rows: Vec<Row> = (0..16)
            .flat_map(|seq| (0..50).map(move |pos| (seq, pos)))
            .map(|(seq, pos)| Row { token: tokens[pos], pos: pos as i32, seq, output: pos == 49 })
            .collect();
        let mut least = [Duration::MAX; 3];
        for _ in 0..40 {
            plain.clear();
            let begin = Instant::now();
            plain.decode_rows(&rows).expect("a batch");
            plain.synchronize();
            least[0] = least[0].min(begin.elapsed());
            capture.clear();
            let begin = Instant::now();
            capture.read(&rows).expect("activations");
            least[1] = least[1].min(begin.elapsed());
            callback.clear();
            let begin = Instant::now();
            callback.read(&rows).expect("activations");
            least[2] = least[2].min(begin.elapsed());
        }
        let ratio = |i: usize| least[i].as_secs_f64() / least[0].as_secs_f64();
        println!(
            "16 texts of 50 tokens: plain {:?}; by the hook {:?}, {:.3} of it; by the callback {:?}, {:.3} of it",
            least[0],
            least[1],
            ratio(1),
            least[2],
            ratio(2)
        );
        assert!(ratio(1) <= 1.2, "{}", ratio(1));
    });
}
